"""Figures of a model against closed forms and slow computations: scipy, numpy, and loops written out by hand."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp

from narrows.baseline import fit_baseline
from narrows.data.schema import infer_schema
from narrows.data.specimens import MIXED, examples
from narrows.errors import InputError
from narrows.evaluate import distortion_and_rate, evaluate, importance, kl_by_unit, log_likelihood
from narrows.fit import fit
from narrows.model import Model
from narrows.noise import Noise
from narrows.persist import Fitted, load, save
from narrows.plan import Plan
from narrows.presets import choose

COLUMNS = 5


def table(n: int = 60, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    clean = random.normal(size=(n, 2)) @ random.normal(size=(2, COLUMNS))
    return (3 * clean + 0.5 * random.normal(size=(n, COLUMNS)) + 10).astype("float32")


def small(preset: str = "variational", settings=None, rows=None, kind=None) -> Fitted:
    """A model with random weights, but larger than at the start of a training so that its codes tell rows apart."""
    rows = table() if rows is None else rows
    schema = infer_schema(rows, kind=kind)
    model = Model(choose(preset, schema, {"network.width": 8} | (settings or {})), schema)
    values = torch.from_numpy(rows)
    model.adapt(values)
    baseline = fit_baseline([model.transform.comparable(model.transform(values).x)], 2)
    return Fitted(model.eval(), preset, baseline)


class LinearGaussian:
    """p(z) = N(0, I), p(x | z) = N(W z + b, s^2 I): its likelihood and its posterior are known."""

    def __init__(self, *, orthogonal: bool, spread: float = 1.0) -> None:
        random = np.random.default_rng(1)
        self.W = random.normal(size=(COLUMNS, 2))
        if orthogonal:
            self.W = np.linalg.qr(self.W)[0] * [1.5, 0.7]
        self.b, self.s = random.normal(size=COLUMNS), 0.6
        self.fitted = small(settings={"network.depth": 0, "latent.size": 2})
        model = self.fitted.model
        precision = np.eye(2) + self.W.T @ self.W / self.s**2
        to_mean = np.linalg.solve(precision, self.W.T) / self.s**2
        self.scale = spread * np.diag(precision) ** -0.5
        with torch.no_grad():
            model.network.decoder[0].weight.copy_(torch.from_numpy(self.W))
            model.network.decoder[0].bias.copy_(torch.from_numpy(self.b))
            model.likelihood.log_sigma.fill_(math.log(self.s))
            encoder = model.network.encoder[0]
            encoder.weight.zero_()
            encoder.weight[:2] = torch.from_numpy(to_mean)
            encoder.bias[:2] = -torch.from_numpy(to_mean @ self.b)
            # The encoder's s with softplus(s + 0.54...) + 1e-4 = scale.
            encoder.bias[2:] = torch.from_numpy(np.log(np.expm1(self.scale - 1e-4)) - 0.5413248546129181)
        self.rows = table(40, seed=2)
        x = (self.rows - model.transform.shift.numpy()) / model.transform.scale.numpy()
        covariance = self.W @ self.W.T + self.s**2 * np.eye(COLUMNS)
        self.log_px = (
            stats.multivariate_normal(self.b, covariance).logpdf(x) - np.log(model.transform.scale.numpy()).sum()
        )


# --- The importance-sampled likelihood -------------------------------------------------------------------------------


def test_a_single_draw_gives_the_exact_likelihood_where_q_is_the_posterior():
    problem = LinearGaussian(orthogonal=True)
    for draws in (1, 3):
        found = log_likelihood(problem.fitted.model, torch.from_numpy(problem.rows), draws, 0)
        np.testing.assert_allclose(found.log_px, problem.log_px, atol=2e-4)
        np.testing.assert_allclose(found.effective, draws, rtol=1e-4)
    figures = evaluate(problem.fitted, torch.from_numpy(problem.rows), draws=3)
    assert figures.log_likelihood_nats == pytest.approx(problem.log_px.mean(), abs=1e-4)
    assert figures.log_likelihood_standard_error == pytest.approx(stats.sem(problem.log_px), rel=1e-3)
    bits = -problem.log_px.mean() / COLUMNS / math.log(2)
    assert figures.log_likelihood_bits_per_dim == pytest.approx(bits, rel=1e-5)


@pytest.mark.parametrize("seed", [0, 1])
def test_many_draws_come_to_the_exact_likelihood(seed):
    """The posterior is correlated and wider than q, so weights vary; their mean is still p(x)."""
    problem = LinearGaussian(orthogonal=False, spread=1.2)
    values = torch.from_numpy(problem.rows)
    draws = 4000
    found = log_likelihood(problem.fitted.model, values, draws, seed)
    # Delta method: the relative variance of a weight is draws / effective - 1.
    error = np.sqrt((draws / found.effective.numpy() - 1) / draws)
    assert error.max() < 0.1
    deviations = (found.log_px.numpy() - problem.log_px) / error
    assert np.abs(deviations).max() < 4
    assert 0.5 < np.sqrt(np.square(deviations).mean()) < 2
    assert abs(deviations.mean()) < 4 / math.sqrt(len(deviations))


def test_the_bound_closes_as_draws_grow_and_lies_above_the_elbo():
    problem = LinearGaussian(orthogonal=False, spread=1.8)
    values = torch.from_numpy(np.repeat(problem.rows, 20, axis=0))
    reached = [evaluate(problem.fitted, values, draws=draws).log_likelihood_nats for draws in (1, 5, 50, 500)]
    elbo = evaluate(problem.fitted, values).elbo_nats
    gap = problem.log_px.mean() - elbo
    assert gap > 0.05
    assert abs(reached[0] - elbo) < 0.5 * gap
    assert elbo + 0.2 * gap < reached[1] < reached[2] < problem.log_px.mean() + 0.01
    assert reached[3] == pytest.approx(problem.log_px.mean(), abs=0.1 * gap)


def test_one_draw_is_the_elbo_in_expectation():
    problem = LinearGaussian(orthogonal=False, spread=1.2)
    values = torch.from_numpy(problem.rows)
    single = np.array([log_likelihood(problem.fitted.model, values, 1, seed).mean for seed in range(100)])
    bounds = np.array([evaluate(problem.fitted, values, seed=seed).elbo_nats for seed in range(100)])
    assert abs(single.mean() - bounds.mean()) < 4 * math.hypot(stats.sem(single), stats.sem(bounds))
    assert stats.sem(single) < 0.03


@pytest.mark.parametrize("draws", [1, 2, 7, 100])
@pytest.mark.parametrize("preset", ["variational", "discrete"])
def test_uses_exactly_the_draws_asked_for(preset, draws, monkeypatch):
    """A few at a time where rows are large; the figure is that of a slow loop over all of them."""
    model = small(preset, {"latent.size": 3}).model
    values = torch.from_numpy(table(11))
    drawn: list[torch.Tensor] = []
    sample = importance.sample

    def counting(q, k, noise):
        drawn.append(sample(q, k, noise))
        return drawn[-1]

    monkeypatch.setattr(importance, "sample", counting)
    monkeypatch.setattr(importance, "NUMBERS_AT_ONCE", 3 * 11 * COLUMNS)
    found = log_likelihood(model, values, draws, 0)
    assert [len(z) for z in drawn] == [3] * (draws // 3) + [draws % 3] * (draws % 3 > 0)
    z = torch.cat(drawn).numpy().astype("float64")
    batch = model.transform(values)
    q = model.posterior(batch.seen)
    if preset == "variational":
        mean, scale = (part.detach().numpy() for part in (q.base_dist.loc, q.base_dist.scale))
        log_q, log_p = stats.norm(mean, scale).logpdf(z).sum(2), stats.norm.logpdf(z).sum(2)
    else:
        log_q, log_p = (
            stats.bernoulli(q.mean.detach().numpy()).logpmf(z).sum(2),
            np.full(z.shape[:2], 3 * math.log(0.5)),
        )
    with torch.no_grad():
        means = model.decode(torch.cat(drawn)).mean.numpy()
    sigma = float(model.likelihood.scale.detach())
    log_w = stats.norm(means, sigma).logpdf(batch.x.numpy()).sum(2) + log_p - log_q
    expected = logsumexp(log_w, 0) - math.log(draws) - np.log(model.transform.scale.numpy()).sum()
    np.testing.assert_allclose(found.log_px, expected, atol=1e-4)
    weights = np.exp(log_w - log_w.max(0))
    np.testing.assert_allclose(found.effective, weights.sum(0) ** 2 / np.square(weights).sum(0), rtol=1e-3)


@pytest.mark.parametrize("preset", ["autoencoder", "sparse", "vq"])
def test_codes_with_a_price_have_no_likelihood_and_no_bound(preset):
    fitted = small(preset, {"latent.entries": 8} if preset == "vq" else {"latent.size": 4})
    with pytest.raises(InputError, match="gives no log likelihood"):
        evaluate(fitted, torch.from_numpy(table()), draws=10)
    figures = evaluate(fitted, torch.from_numpy(table()))
    assert figures.elbo_nats is figures.bits_per_dim is figures.log_likelihood_nats is figures.kl_by_unit_nats is None
    assert (figures.rate_nats > 0) == (preset == "vq")
    assert figures.distortion_nats > 0


def test_a_negative_number_of_draws_is_refused():
    with pytest.raises(InputError, match="draws was given as -1"):
        evaluate(small(), torch.from_numpy(table()), draws=-1)


# --- The bound and its parts -----------------------------------------------------------------------------------------


def test_the_elbo_is_distortion_plus_rate_and_its_error_is_that_of_the_mean():
    fitted, values = small(settings={"latent.size": 3}), torch.from_numpy(table(300, seed=3))
    figures = evaluate(fitted, values)
    distortion, rate = (part.double().numpy() for part in distortion_and_rate(fitted.model, values, 0))
    assert figures.distortion_nats == pytest.approx(distortion.mean())
    assert figures.rate_nats == pytest.approx(rate.mean())
    assert figures.elbo_nats == pytest.approx(-(distortion + rate).mean(), rel=1e-6)
    assert figures.elbo_standard_error == pytest.approx(stats.sem(distortion + rate), rel=1e-5)
    assert figures.bits_per_dim == pytest.approx((distortion + rate).mean() / COLUMNS / math.log(2), rel=1e-6)
    assert (figures.rows, figures.cells, figures.code_size, figures.units) == (300, COLUMNS, 3, 3)
    assert figures.density


def test_the_standard_error_is_the_spread_of_figures_over_samples_of_rows():
    fitted = small()
    rows = torch.from_numpy(table(8000, seed=4))
    figures = [evaluate(fitted, part) for part in rows.split(100)]
    spread = np.std([one.elbo_nats for one in figures], ddof=1)
    assert np.mean([one.elbo_standard_error for one in figures]) == pytest.approx(spread, rel=0.3)


@pytest.mark.parametrize(
    ("preset", "settings", "units"),
    [
        ("variational", {"latent.size": 3}, 3),
        ("discrete", {"latent.size": 6}, 6),
        ("discrete", {"latent": "categorical", "latent.symbols": 4, "latent.categories": 3}, 4),
    ],
)
def test_the_rate_is_the_sum_over_units(preset, settings, units):
    fitted, values = small(preset, settings), torch.from_numpy(table(500))
    figures = evaluate(fitted, values)
    assert len(figures.kl_by_unit_nats) == units
    assert sum(figures.kl_by_unit_nats) == pytest.approx(figures.rate_nats, rel=1e-4)
    assert all(nats > 0 for nats in figures.kl_by_unit_nats)


def test_the_divergence_of_gaussian_units_is_the_closed_form():
    model, rows = small(settings={"latent.size": 3}).model, table(700)
    q = model.posterior(model.transform(torch.from_numpy(rows)).seen).base_dist
    mean, scale = q.loc.detach().double().numpy(), q.scale.detach().double().numpy()
    expected = (0.5 * (mean**2 + scale**2 - 1) - np.log(scale)).mean(0)
    np.testing.assert_allclose(kl_by_unit(model, torch.from_numpy(rows)), expected, rtol=1e-4)


def test_active_units_are_those_whose_mean_moves_with_the_data():
    problem = LinearGaussian(orthogonal=True)
    values = torch.from_numpy(problem.rows)
    assert evaluate(problem.fitted, values).active_units == 2
    with torch.no_grad():
        problem.fitted.model.network.encoder[0].weight[1] *= 0.01
    assert evaluate(problem.fitted, values).active_units == 1


# --- Units -----------------------------------------------------------------------------------------------------------


def test_nats_are_those_of_the_raw_data_so_a_unit_shifts_them_exactly():
    rows = table(200)
    one, sixteen = (
        evaluate(small(rows=unit * rows), torch.from_numpy(unit * rows), draws=20)
        for unit in (np.float32(1), np.float32(16))
    )
    shift = COLUMNS * math.log(16)
    assert sixteen.distortion_nats - one.distortion_nats == pytest.approx(shift, abs=1e-4)
    assert sixteen.elbo_nats - one.elbo_nats == pytest.approx(-shift, abs=1e-4)
    assert sixteen.log_likelihood_nats - one.log_likelihood_nats == pytest.approx(-shift, abs=1e-4)
    assert sixteen.bits_per_dim - one.bits_per_dim == pytest.approx(math.log2(16), abs=1e-5)
    for name in ("rate_nats", "reconstruction_error", "pca_error", "mean_error", "active_units", "effective_draws"):
        assert getattr(sixteen, name) == pytest.approx(getattr(one, name), rel=1e-4), name


def test_masses_of_levels_are_at_most_one_and_have_no_unit():
    rows = np.random.default_rng(0).integers(0, 9, (80, COLUMNS))
    one, spread = (
        evaluate(small(rows=values, kind="levels"), torch.from_numpy(values), draws=10) for values in (rows, rows + 100)
    )
    assert not one.density
    assert one.log_likelihood_nats < 0
    assert spread.elbo_nats == pytest.approx(one.elbo_nats, rel=1e-5)


def test_errors_are_mean_squares_a_cell():
    fitted, rows = small("autoencoder", {"latent.size": 2}), table(333, seed=5)
    model = fitted.model
    shift, scale = model.transform.shift.numpy(), model.transform.scale.numpy()
    with torch.no_grad():
        seen = torch.from_numpy((rows - shift) / scale)
        rebuilt = model.network.decode(model.network.encode(seen)).view_as(seen).numpy()
    x = (rows - shift) / scale
    figures = evaluate(fitted, torch.from_numpy(rows))
    assert figures.reconstruction_error == pytest.approx(np.square(x - rebuilt).mean(), rel=1e-5)
    assert figures.mean_error == pytest.approx(np.square(x - fitted.baseline.mean.numpy()).mean(), rel=1e-5)
    components = fitted.baseline.components.numpy()
    centred = x - fitted.baseline.mean.numpy()
    assert figures.pca_error == pytest.approx(np.square(centred - centred @ components.T @ components).mean(), rel=1e-5)
    assert figures.error_unit == "units of the data's standard deviation"


def test_errors_of_levels_are_in_shares_of_their_range():
    rows = np.random.default_rng(0).integers(0, 256, (50, COLUMNS)).astype("uint8")
    fitted = small("autoencoder", rows=rows)
    figures = evaluate(fitted, torch.from_numpy(rows))
    assert figures.error_unit == "values scaled to [0, 1]"
    assert figures.mean_error == pytest.approx(np.square(rows / 255 - (rows / 255).mean(0)).mean(), rel=1e-4)


def test_without_a_baseline_there_are_no_errors_beside_the_models():
    fitted, values = small(), torch.from_numpy(table())
    alone = evaluate(dataclasses.replace(fitted, baseline=None), values)
    assert alone.pca_error is alone.mean_error is None
    assert alone.reconstruction_error == evaluate(fitted, values).reconstruction_error


# --- Every call the same ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["variational", "discrete", "denoising-variational", "autoencoder"])
def test_equal_seeds_give_equal_figures(preset):
    fitted, values = small(preset, {"latent.size": 3}), torch.from_numpy(table())
    draws = 0 if preset == "autoencoder" else 9
    first = evaluate(fitted, values, draws=draws)
    torch.manual_seed(5)
    fitted.model.train()
    assert evaluate(fitted, values, draws=draws) == first
    other = evaluate(fitted, values, draws=draws, seed=1)
    assert (other == first) == (preset == "autoencoder")
    assert other.reconstruction_error == first.reconstruction_error
    assert other.kl_by_unit_nats == first.kl_by_unit_nats


@pytest.mark.parametrize("preset", ["variational", "autoencoder"])
def test_one_row_has_figures_but_no_spread(preset):
    figures = evaluate(small(preset), torch.from_numpy(table(1)), draws=3 if preset == "variational" else 0)
    assert figures.rows == 1
    assert figures.elbo_standard_error is figures.log_likelihood_standard_error is figures.active_units is None
    numbers = [value for value in dataclasses.asdict(figures).values() if isinstance(value, float)]
    assert all(map(math.isfinite, numbers))


def test_missing_cells_enter_no_figure():
    """Rows with gaps score as their observed cells do, and figures a cell are over observed cells."""
    rows = next(example.values for example in examples() if example.schema is MIXED)
    plan = Plan(epochs=3, batch_size=4, validation=0.0, device="cpu", precision="float32")
    fitted = fit(rows.numpy(), MIXED, "variational", {"network.width": 8, "latent.size": 2}, plan)
    model, gone = fitted.model, torch.full((1, 6), torch.nan)
    assert float(distortion_and_rate(model, gone, 0)[0]) == 0
    weighed = log_likelihood(model, gone.expand(3, -1), 2000, 0).log_px
    np.testing.assert_allclose(weighed, 0, atol=0.1)  # the log of an integral over nothing but codes
    figures = evaluate(fitted, rows)
    x = model.transform(rows).x
    rebuilt = model.decode(model.latent.code(model.posterior(model.batch(rows, Noise(0)).seen))[None]).mean[0]
    expected = np.nanmean(model.transform.squared_errors(x, rebuilt).detach())
    assert figures.reconstruction_error == pytest.approx(expected, rel=1e-5)
    observed = float((~rows.isnan()).sum()) / len(rows)
    assert figures.bits_per_dim == pytest.approx(-figures.elbo_nats / (observed * math.log(2)), rel=1e-6)
    assert figures.pca_error is None
    assert figures.density


def test_the_baseline_of_a_mixed_table_is_the_mean_and_the_mode(tmp_path):
    rows = next(example.values for example in examples() if example.schema is MIXED)
    plan = Plan(epochs=1, batch_size=4, validation=0.0, device="cpu", precision="float32")
    fitted = fit(rows.numpy(), MIXED, "variational", {"network.width": 8, "latent.size": 2}, plan)
    symbols = [bool(column.categories) for column in MIXED.columns]
    squares, cells = 0.0, 0
    for cells_of, symbol in zip(rows.double().numpy().T, symbols, strict=True):
        there = cells_of[~np.isnan(cells_of)]
        wrong = (
            np.bincount(there.astype(int)).argmax() != there if symbol else (there - there.mean()) ** 2 / there.var()
        )
        squares, cells = squares + wrong.sum(), cells + len(there)
    save(fitted, tmp_path / "m.safetensors")
    for one in (fitted, load(tmp_path / "m.safetensors")):
        assert evaluate(one, rows).mean_error == pytest.approx(squares / cells, rel=1e-5)
