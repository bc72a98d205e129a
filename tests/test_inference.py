"""A trained model in use: the same row gives the same figures in any batch, and draws are what their seed says."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import stats

from narrows import inference
from narrows.data.schema import Column, infer_schema, mixed_schema
from narrows.data.specimens import MIXED, examples
from narrows.errors import InputError
from narrows.evaluate import evaluate
from narrows.fit import fit
from narrows.inference import bounds, codes, decoded, imputations, imputed, in_float64, reconstructed, samples
from narrows.model import Model
from narrows.persist import Fitted
from narrows.plan import Plan
from narrows.presets import choose


def table(n: int = 300, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    clean = random.normal(size=(n, 2)) @ np.random.default_rng(9).normal(size=(2, 7))
    return (clean + 0.3 * random.normal(size=(n, 7)) + 5).astype("float32")


def levels(n: int = 300) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 7)).astype("uint8")


def images(n: int = 60) -> np.ndarray:
    """A bright square somewhere on noise."""
    random = np.random.default_rng(0)
    made = random.integers(0, 60, (n, 12, 12))
    for image, row, column in zip(made, random.integers(0, 8, n), random.integers(0, 8, n), strict=True):
        image[row : row + 4, column : column + 4] += 150
    return made.astype("uint8")


TRAINED = {
    "autoencoder": (table, "autoencoder", {}, {}),
    "denoising": (levels, "denoising", {}, {}),
    "kl-sparse": (table, "autoencoder", {"latent": "kl-sparse", "latent.weight": 1.0}, {}),
    "variational": (table, "variational", {}, {}),
    "iwae on levels": (levels, "iwae", {"likelihood.components": 2}, {}),
    "vq": (table, "vq", {"latent.entries": 8}, {}),
    "bits": (table, "discrete", {"latent.size": 6}, {}),
    "symbols": (table, "discrete", {"latent": "categorical"}, {}),
    "drawn bits": (levels, "variational", {}, {"binarize": "draw"}),
    "images": (images, "variational", {"network.channels": 4, "network.hidden": 16}, {}),
}


@pytest.fixture(scope="module")
def trained() -> dict[str, tuple[Fitted, torch.Tensor]]:
    made = {}
    for name, (data, preset, settings, plan) in TRAINED.items():
        rows = data()
        schema = infer_schema(rows)
        small = settings if schema.is_image else {"network.width": 16, **settings}
        plan = Plan(epochs=10, precision="float32", **plan)
        values = np.ascontiguousarray(schema.from_user(rows))
        made[name] = (fit(values, schema, preset, small, plan), torch.from_numpy(values))
    return made


# --- The same row, the same figures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("function", [codes, reconstructed, bounds])
def test_a_row_has_the_same_figures_in_any_batch_and_order(function, name, trained):
    fitted, values = trained[name]
    model, values = fitted.model, values[:50]
    whole = function(model, values)
    assert torch.equal(function(model, values), whole)
    # The last bits of float32 sums differ: relative to the size of the figures, not of those that happen to be near 0.
    near = {"rtol": 1e-6, "atol": 1e-6 * float(whole.abs().max())}
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(function(model, values[order]), whole[order], **near)
    alone = torch.cat([function(model, row[None]) for row in values[:7]])
    torch.testing.assert_close(alone, whole[:7], **near)
    torch.testing.assert_close(function(model, values[10:13]), whole[10:13], **near)


@pytest.mark.parametrize("function", [codes, reconstructed, bounds])
def test_figures_do_not_depend_on_the_chunks(function, trained, monkeypatch):
    fitted, values = trained["variational"]
    whole = function(fitted.model, values)
    seen: list[int] = []
    posterior = fitted.model.posterior
    monkeypatch.setattr(fitted.model, "posterior", lambda x: (seen.append(len(x)), posterior(x))[1])
    monkeypatch.setattr(inference, "CELLS_AT_ONCE", 7 * 64)
    torch.testing.assert_close(function(fitted.model, values), whole, rtol=1e-6, atol=2e-5)
    assert max(seen) == (4 if function is bounds else 64)


def test_figures_do_not_depend_on_what_was_done_before(trained):
    fitted, values = trained["variational"]
    first = bounds(fitted.model, values)
    torch.manual_seed(3)
    fitted.model.train()
    samples(fitted.model, 5, seed=4)
    assert torch.equal(bounds(fitted.model.train(), values), first)
    assert not fitted.model.training
    assert all(parameter.grad is None for parameter in fitted.model.parameters())


def test_in_float64_a_batch_makes_no_difference_at_all(trained):
    fitted, values = trained["variational"]
    exact = in_float64(fitted.model)
    for function in (codes, reconstructed, bounds):
        whole = function(exact, values)
        assert whole.dtype == torch.float64
        alone = torch.cat([function(exact, row[None]) for row in values[:5]])
        torch.testing.assert_close(alone, whole[:5], rtol=1e-13, atol=1e-12)
        torch.testing.assert_close(whole.float(), function(fitted.model, values), rtol=1e-4, atol=1e-4)
    assert fitted.model.transform.scale.dtype == torch.float32


# --- What the figures are --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["variational", "bits", "iwae on levels"])
def test_scores_average_to_the_elbo(name, trained):
    """All rows share a row's draws, so their mean over many draws is the elbo, in nats of the raw data."""
    fitted, values = trained[name]
    single = [evaluate(fitted, values, seed=seed).elbo_nats for seed in range(30)]
    reached = float(bounds(fitted.model, values, samples=400).double().mean())
    assert abs(reached - np.mean(single)) < 4 * stats.sem(single) + 0.02 * abs(np.mean(single)) / math.sqrt(len(values))


def test_a_points_score_is_its_density_less_its_price(trained):
    fitted, values = trained["kl-sparse"]
    model = fitted.model
    rebuilt = reconstructed(model, values).numpy()
    sigma = float(model.likelihood.scale.detach()) * model.transform.scale.numpy()
    rho, use = model.latent.rho, model.latent.use.numpy()
    price = model.latent.weight * np.sum(rho * np.log(rho / use) + (1 - rho) * np.log((1 - rho) / (1 - use)))
    expected = stats.norm(rebuilt, sigma).logpdf(values.numpy()).sum(1) - price
    np.testing.assert_allclose(bounds(model, values), expected, rtol=1e-4, atol=1e-3)


def test_odd_rows_score_lower(trained):
    fitted, values = trained["variational"]
    odd = values[:50] * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
    assert float(bounds(fitted.model, odd).max()) < float(bounds(fitted.model, values).median())


@pytest.mark.parametrize("name", TRAINED)
def test_codes_and_reconstructions_have_the_shapes_and_units_of_the_data(name, trained):
    fitted, values = trained[name]
    z = codes(fitted.model, values)
    assert z.shape == (len(values), fitted.model.latent.size)
    rebuilt = reconstructed(fitted.model, values)
    assert rebuilt.shape == values.shape
    assert torch.equal(decoded(fitted.model, z), rebuilt)
    assert torch.equal(decoded(fitted.model, z.double()), rebuilt)
    low, high = float(values.min()), float(values.max())
    assert abs(float(rebuilt.mean()) - float(values.double().mean())) < 0.5 * (high - low)
    if fitted.schema.levels:
        assert fitted.schema.low <= float(rebuilt.min()) <= float(rebuilt.max()) <= fitted.schema.high


# --- New examples ----------------------------------------------------------------------------------------------------

RANDOM = [
    name for name in TRAINED if name in ("variational", "iwae on levels", "bits", "symbols", "images", "drawn bits")
]


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("draw", [False, True])
def test_samples_have_the_shape_asked_for_and_are_those_of_their_seed(name, draw, trained):
    fitted, values = trained[name]
    torch.manual_seed(0)
    made = samples(fitted.model, 9, seed=1, draw=draw)
    assert made.shape == (9, *values.shape[1:])
    torch.manual_seed(1)
    assert torch.equal(samples(fitted.model.train(), 9, seed=1, draw=draw), made)
    assert not torch.equal(samples(fitted.model, 9, seed=2, draw=draw), made)
    assert len({tuple(row.flatten().tolist()) for row in made}) >= 7
    if fitted.schema.levels:
        assert fitted.schema.low <= float(made.min()) <= float(made.max()) <= fitted.schema.high
    if draw and fitted.schema.levels:
        grid = (made - fitted.schema.low) / fitted.model.transform.modelled.step
        assert torch.equal(grid, grid.round())


def test_samples_come_in_chunks(trained, monkeypatch):
    fitted, _ = trained["variational"]
    assert samples(fitted.model, 1203, seed=0).shape == (1203, 7)
    monkeypatch.setattr(inference, "CELLS_AT_ONCE", 7 * 10)
    made = samples(fitted.model, 25, seed=0)
    assert made.shape == (25, 7)
    assert len({tuple(row.tolist()) for row in made}) == 25


def test_drawn_samples_have_the_moments_of_the_model(trained):
    """E[x] is that of the means; Var[x] is theirs and the noise's."""
    fitted, _ = trained["variational"]
    means, drawn = (samples(fitted.model, 20_000, seed=0, draw=draw).double() for draw in (False, True))
    noise = float(fitted.model.likelihood.scale.detach()) * fitted.model.transform.scale.double()
    torch.testing.assert_close(drawn.mean(0), means.mean(0), rtol=0, atol=0.06)
    torch.testing.assert_close(drawn.var(0), means.var(0) + noise**2, rtol=0.06, atol=0)


@pytest.mark.parametrize("name", ["autoencoder", "kl-sparse", "vq", "denoising"])
def test_codes_without_a_prior_give_no_new_examples(name, trained):
    with pytest.raises(InputError, match=r"have no distribution to draw new ones from.* preset variational"):
        samples(trained[name][0].model, 3, seed=0)


@pytest.mark.parametrize("n", [0, -1])
def test_at_least_one_sample_is_asked_for(n, trained):
    with pytest.raises(InputError, match=f"n was given as {n}"):
        samples(trained["variational"][0].model, n, seed=0)


def test_use_leaves_the_weights_alone(trained):
    for fitted, values in trained.values():
        model: Model = fitted.model
        before = copy.deepcopy(model.state_dict())
        codes(model.train(), values)
        bounds(model.train(), values)
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_many_fillings_have_the_mean_and_spread_of_the_one_and_a_row_has_its_own():
    rows = next(example.values for example in examples() if example.schema is MIXED)
    plan = Plan(epochs=2, batch_size=4, validation=0.0, device="cpu", precision="float32")
    model = fit(rows.numpy(), MIXED, "imputing", {"network.width": 8, "latent.size": 3}, plan).model
    # Seven rows have a range that most draws are beyond.
    model.transform.lowest.fill_(-torch.inf)
    model.transform.highest.fill_(torch.inf)
    filled, spread = imputed(model, rows, 4000)
    drawn = imputations(model, rows, 4000)
    assert drawn.shape == (len(rows), 4000, 6)
    gaps = rows.isnan()
    assert torch.equal(drawn[:, 7][~gaps], rows[~gaps])
    assert drawn.isfinite().all()
    numbers = gaps & torch.tensor([not column.categories for column in MIXED.columns])
    mean, deviation = drawn.mean(1)[numbers], drawn.std(1)[numbers]
    # Five standard errors of a mean of 4,000, twice, and of a deviation.
    assert ((mean - filled[numbers]).abs() < 10 * spread[numbers] / math.sqrt(4000)).all()
    torch.testing.assert_close(deviation, spread[numbers], rtol=0.1, atol=0)
    for place, column in enumerate(MIXED.columns):
        if column.categories:
            assert drawn[..., place][gaps[:, place]].max() < len(column.categories)
    torch.testing.assert_close(imputations(model, rows[4:5], 4000), drawn[4:5], rtol=1e-4, atol=1e-4)


def test_gaps_are_filled_within_the_range_of_what_training_rows_hold():
    rng = np.random.default_rng(0)
    size = rng.exponential(size=400)
    values = np.stack([size, 2 * size + 0.1 * rng.normal(size=400), -size], 1).astype(np.float32)
    schema = mixed_schema(tuple(Column(name, "numeric") for name in "abc"))
    plan = Plan(epochs=3, device="cpu", precision="float32")
    model = fit(values, schema, "imputing", {"network.width": 8, "latent.size": 2}, plan).model
    assert model.transform.lowest.tolist() == values.min(0).tolist()
    assert model.transform.highest.tolist() == values.max(0).tolist()
    model.transform.lowest.copy_(torch.tensor([0.5, 1.0, -0.6]))
    model.transform.highest.copy_(torch.tensor([0.6, 1.1, -0.5]))
    outside = torch.tensor([[1e3, torch.nan, torch.nan], [torch.nan, -1e3, torch.nan]])
    filled, _ = imputed(model, outside)
    torch.testing.assert_close(filled, torch.tensor([[1e3, 1.1, -0.6], [0.5, -1e3, -0.5]]))
    for drawn in imputations(model, outside, 50).unbind(1):
        assert torch.equal(drawn[~outside.isnan()], torch.tensor([1e3, -1e3]))
        assert torch.equal(drawn, model.transform.within(drawn).where(outside.isnan(), outside))


def test_a_column_without_a_cell_in_training_has_no_range():
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    values[:, 1] = np.nan
    schema = mixed_schema(tuple(Column(name, "numeric") for name in "abc"))
    plan = Plan(epochs=1, device="cpu", precision="float32")
    model = fit(values, schema, "imputing", {"network.width": 8, "latent.size": 2}, plan).model
    rows = torch.from_numpy(values[:5])
    assert imputed(model, rows)[0].isfinite().all()
    assert imputations(model, rows, 3).isfinite().all()


def test_only_tables_with_gaps_are_filled_many_times():
    values = torch.from_numpy(table(20))
    model = Model(choose("variational", infer_schema(values.numpy())), infer_schema(values.numpy()))
    with pytest.raises(InputError, match="only the gaps of tables can be filled"):
        imputations(model, values)
