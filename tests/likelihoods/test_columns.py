"""The likelihood of mixed tables, against scipy's laws; a missing cell is as if it were not there."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from narrows.data.schema import Column, Schema, mixed_schema
from narrows.data.specimens import MIXED, examples
from narrows.errors import InputError
from narrows.fit import fit
from narrows.likelihoods import Columns
from narrows.likelihoods.reals import SMALLEST_SIGMA
from narrows.model import Model
from narrows.noise import Noise
from narrows.persist import load, save
from narrows.plan import Plan
from narrows.presets import choose
from narrows.sampling import sample

ROWS = next(example.values for example in examples() if example.schema is MIXED)
K, N = 3, len(ROWS)


def built(numeric="gaussian", schema=MIXED, seed=0):
    likelihood = Columns(numeric)
    likelihood.build(schema)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in likelihood.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return likelihood


def given(likelihood, n=N):
    return torch.randn(K, n, likelihood.n_params, generator=torch.manual_seed(1))


def laws(likelihood, params):
    """The log mass of every column by scipy: functions of its cells (n,), each (k, n)."""
    shares = dict(zip(map(id, likelihood.laws), params.split(likelihood.sizes, -1), strict=True))
    found = {}
    for law in likelihood.laws:
        share = shares[id(law)].double().numpy()
        for place, column in enumerate(law.columns.tolist()):
            if hasattr(law, "width"):
                classes = len(MIXED.columns[column].categories) + 1
                logits = share[..., place * law.width : place * law.width + classes]
                found[column] = lambda x, logits=logits: np.take_along_axis(
                    special.log_softmax(logits, -1), np.broadcast_to(x.astype(int)[None, :, None], (K, len(x), 1)), -1
                )[..., 0]
            elif hasattr(law, "freedom"):
                scale = np.sqrt(SMALLEST_SIGMA**2 + np.exp(2 * law.log_sigma[place].item()))
                df = 2 + np.log1p(np.exp(law.freedom[place].item()))
                found[column] = stats.t(df, share[..., place], scale).logpdf
            elif hasattr(law, "log_sigma"):
                scale = np.sqrt(SMALLEST_SIGMA**2 + np.exp(2 * law.log_sigma[place].item()))
                found[column] = stats.norm(share[..., place], scale).logpdf
            else:
                found[column] = stats.poisson(np.exp(20 * np.tanh(share[..., place] / 20))).logpmf
    return found


@pytest.mark.parametrize("numeric", ["gaussian", "student-t"])
def test_each_cell_is_scored_by_the_law_of_its_column_and_a_missing_one_by_none(numeric):
    likelihood = built(numeric)
    params = given(likelihood)
    p = likelihood(params)
    expected = np.zeros((K, N, 6))
    for column, log_mass in laws(likelihood, params).items():
        cells = ROWS[:, column].double().numpy()
        expected[..., column] = np.where(np.isnan(cells), 0, log_mass(np.nan_to_num(cells)))
    np.testing.assert_allclose(p.cell_log_prob(ROWS).detach(), expected, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(p.log_prob(ROWS).detach(), expected.sum(-1), rtol=2e-5, atol=2e-5)
    assert (p.log_prob(ROWS)[:, 3] == 0).all()  # a row with no cell left


@pytest.mark.parametrize("numeric", ["gaussian", "student-t"])
def test_no_gap_comes_near_a_gradient(numeric):
    likelihood = built(numeric)
    params = given(likelihood).requires_grad_()
    likelihood(params).log_prob(ROWS).sum().backward()
    assert params.grad.isfinite().all()
    assert (params.grad[:, 3] == 0).all()
    assert all(parameter.grad.isfinite().all() for parameter in likelihood.parameters())


def test_the_masses_of_a_category_and_its_unseen_class_sum_to_one():
    likelihood = built()
    params = given(likelihood, 1)
    total = 0
    for value in range(5 - 1):
        row = torch.full((1, 6), torch.nan)
        row[0, 3] = value
        total = total + likelihood(params).log_prob(row).exp()
    torch.testing.assert_close(total, torch.ones(K, 1))


@pytest.mark.parametrize("numeric", ["gaussian", "student-t"])
def test_draws_have_the_mean_and_the_variance_that_are_told(numeric):
    likelihood = built(numeric)
    with torch.no_grad():
        for law in likelihood.laws:
            if hasattr(law, "freedom"):
                law.freedom.fill_(8.0)  # so that the variance of the variance is finite
    p = likelihood(0.7 * given(likelihood, 1)[:1].detach())
    drawn = sample(p, 40_000, Noise(0)).detach()[:, 0, 0]
    numbers = [0, 1, 4]
    error = p.variance[0, 0, numbers].sqrt() / 200
    assert ((drawn.mean(0)[numbers] - p.mean[0, 0, numbers]).abs() < 4.5 * error).all()
    torch.testing.assert_close(drawn.var(0)[numbers], p.variance[0, 0, numbers], rtol=0.06, atol=0)
    for column in (2, 3, 5):
        shares = np.bincount(drawn[:, column].int(), minlength=len(MIXED.columns[column].categories))
        assert len(shares) == len(MIXED.columns[column].categories)  # every draw has a name
        assert shares.argmax() == int(p.mean[0, 0, column])


def test_student_draws_follow_student():
    likelihood = built("student-t", mixed_schema((Column("a", "numeric"),)))
    p = likelihood(torch.zeros(1, 1, 1))
    df, scale = p.parts[0][1].df.item(), p.parts[0][1].scale.item()
    drawn = sample(p, 20_000, Noise(0)).flatten().detach().numpy()
    assert stats.kstest(drawn, stats.t(df, 0, scale).cdf).pvalue > 1e-4
    assert np.isfinite(drawn).all()


def test_the_mean_of_a_mixture_is_that_of_its_laws():
    likelihood = built()
    p = likelihood(given(likelihood))
    mean, variance = (part.detach() for part in p.averaged())
    numbers = [0, 1, 4]
    second = (p.variance + p.mean.square()).mean(0) - p.mean.mean(0).square()
    torch.testing.assert_close(mean[:, numbers], p.mean.mean(0)[:, numbers])
    torch.testing.assert_close(variance[:, numbers], second[:, numbers], rtol=1e-4, atol=1e-5)
    assert (variance[:, [2, 3, 5]] == 0).all()
    single = likelihood(given(likelihood)[1:2])
    torch.testing.assert_close(single.averaged()[0], single.mean[0])


def test_columns_of_very_different_lists_do_not_fill_each_other_up():
    sizes = (2, 3, 4, 500)
    schema = mixed_schema(tuple(Column(f"c{n}", "category", tuple(map(str, range(n)))) for n in sizes))
    likelihood = built(schema=schema)
    assert likelihood.n_params < 2 * sum(sizes)
    assert likelihood(torch.randn(1, 2, likelihood.n_params)).mean.shape == (1, 2, 4)


def test_what_it_is_not_for_is_refused():
    assert "take likelihood=gaussian" in Columns().refuses(Schema((3,), -1.0, 1.0))
    assert Columns().refuses(MIXED) is None
    with pytest.raises(InputError, match="did you mean 'student-t'"):
        Columns("student")


@pytest.mark.parametrize("preset", ["autoencoder", "variational"])
def test_a_saved_model_reads_back_and_scores_the_same(tmp_path, preset):
    from narrows.inference import bounds, imputed

    plan = Plan(epochs=2, batch_size=5, device="cpu", validation=0.0)
    fitted = fit(ROWS.numpy(), MIXED, preset, {"likelihood.numeric": "student-t", "network.width": 8}, plan)
    save(fitted, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.schema == MIXED
    for figure in (bounds, lambda model, rows: imputed(model, rows)[0]):
        torch.testing.assert_close(figure(again.model, ROWS), figure(fitted.model, ROWS), rtol=0, atol=0)


def test_a_column_whose_sigma_rests_on_its_floor_is_named():
    model = Model(choose("autoencoder", MIXED), MIXED)
    assert not list(model.likelihood.diagnose())
    with torch.no_grad():
        model.likelihood.laws[0].log_sigma[1] = -20
    (finding,) = model.likelihood.diagnose()
    assert "weight" in finding.what


@pytest.mark.parametrize("numeric", ["gaussian", "student-t"])
def test_the_targets_of_rows_are_parameters_under_which_they_are_likely(numeric):
    """No step away from the target of a number makes it likelier; of others the named class gets nine tenths."""
    likelihood = built(numeric)
    targets = likelihood.targets(ROWS)
    assert targets.shape == (N, likelihood.n_params)
    gone = ROWS.isnan()
    at = targets.nan_to_num(0.0)[None]
    best = likelihood(at).cell_log_prob(ROWS)[0]
    for place, column in enumerate(MIXED.columns):
        there = ~gone[:, place]
        if column.categories:
            named = there & (ROWS[:, place] < len(column.categories))
            assert (best[named, place].exp() > 0.85).all()
        else:
            steps = torch.tensor([-0.7, 0.7])
            worse = torch.stack([likelihood(at + step).cell_log_prob(ROWS)[0, :, place] for step in steps])
            assert (worse < best[:, place])[:, there].all()
    assert targets[3].isnan().all()
    assert int(targets.isnan().sum()) == sum(
        int(gone[:, column].sum()) * law.size // len(law.columns) for law in likelihood.laws for column in law.columns
    )


@pytest.mark.parametrize("numeric", ["gaussian", "student-t"])
def test_a_start_gives_numbers_the_variance_that_is_left(numeric):
    likelihood = Columns(numeric)
    likelihood.build(MIXED)
    left = torch.linspace(0.1, 0.9, likelihood.n_params)
    with torch.no_grad():
        likelihood.start(left)
    p = likelihood(torch.zeros(1, 1, likelihood.n_params))
    law = next(law for law in likelihood.laws if hasattr(law, "log_sigma"))
    begin = sum(likelihood.sizes[: list(likelihood.laws).index(law)])
    torch.testing.assert_close(p.variance[0, 0, law.columns], left[begin : begin + law.size], rtol=1e-3, atol=1e-4)
