"""Factor analysis with gaps, against the joint gaussian that it is, and against scikit-learn's without gaps."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import FactorAnalysis as OfScikitLearn

from narrows.networks.analysis import FactorAnalysis, _components, analyse

FEATURES, FACTORS = 6, 2


def known(seed=0):
    generator = torch.Generator().manual_seed(seed)
    loadings = torch.randn(FEATURES, FACTORS, generator=generator, dtype=torch.float64) * 0.7
    offset = torch.randn(FEATURES, generator=generator, dtype=torch.float64)
    noise = 0.1 + torch.rand(FEATURES, generator=generator, dtype=torch.float64)
    return FactorAnalysis(loadings, offset, noise)


def rows(model, n, gaps=0.0, seed=1):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, FACTORS, generator=generator, dtype=torch.float64)
    e = torch.randn(n, FEATURES, generator=generator, dtype=torch.float64) * model.noise.sqrt()
    x = model.expected(z) + e
    x[torch.rand(x.shape, generator=generator) < gaps] = torch.nan
    return x


def covariance(model):
    return model.loadings @ model.loadings.T + torch.diag(model.noise)


def test_the_posterior_is_that_of_the_joint_gaussian_whichever_cells_are_missing():
    model = known()
    x = rows(model, 20, gaps=0.4)
    x[0] = torch.nan
    mean, factor = model.posterior(x)
    spread = torch.cholesky_inverse(factor)
    for row, one in enumerate(x):
        seen = ~one.isnan()
        pull = torch.linalg.solve(covariance(model)[seen][:, seen], model.loadings[seen]).T
        torch.testing.assert_close(mean[row], pull @ (one - model.offset)[seen])
        torch.testing.assert_close(spread[row], torch.eye(2, dtype=torch.float64) - pull @ model.loadings[seen])


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_it_finds_the_model_that_made_the_rows(gaps):
    model = known()
    found = analyse(rows(model, 20_000, gaps), FACTORS)
    torch.testing.assert_close(covariance(found), covariance(model), rtol=0.05, atol=0.03)
    torch.testing.assert_close(found.offset, model.offset, rtol=0, atol=0.04)


def test_without_gaps_it_agrees_with_scikit_learn():
    x = rows(known(3), 5000)
    theirs = OfScikitLearn(FACTORS, tol=1e-6, max_iter=5000).fit(x.numpy())
    np.testing.assert_allclose(covariance(analyse(x, FACTORS)), theirs.get_covariance(), rtol=0.03, atol=0.03)


def test_the_map_to_features_themselves_is_the_loadings():
    x = rows(known(), 5000, gaps=0.2)
    found = analyse(x, FACTORS)
    weight, bias, noise = found.map_to(x, x)
    torch.testing.assert_close(weight, found.loadings, rtol=0.02, atol=0.02)
    torch.testing.assert_close(bias, found.offset, rtol=0, atol=0.02)
    torch.testing.assert_close(noise, found.noise, rtol=0.05, atol=0.01)


def test_few_rows_do_not_promise_too_much():
    """Cells left out lie within 1.645 predicted deviations about as often as 90 % of the time, though rows are few."""
    inside = []
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        whole = torch.randn(60, 12, generator=generator, dtype=torch.float64)
        hidden = torch.rand(whole.shape, generator=generator) < 0.2
        x = whole.where(~hidden, torch.nan)
        found = analyse(x, 10)
        mean, factor = found.posterior(x)
        spread = torch.einsum("fi,nij,fj->nf", found.loadings, torch.cholesky_inverse(factor), found.loadings)
        deviation = (spread + found.noise).sqrt()
        inside.append(((whole - found.expected(mean)).abs() < 1.645 * deviation)[hidden])
    assert 0.85 < torch.cat(inside).double().mean() < 0.95


def test_more_factors_than_features_and_a_feature_without_a_cell():
    x = rows(known(), 200)
    x[:, 2] = torch.nan
    found = analyse(x, 9)
    assert found.loadings.shape == (6, 9)
    assert bool(found.loadings.isfinite().all())
    assert float(found.loadings[2].abs().max()) == 0
    assert bool(found.posterior(x)[0].isfinite().all())


def test_it_begins_at_the_principal_components():
    x = rows(known(), 500) - rows(known(), 500).mean(0)
    values, vectors = torch.linalg.eigh(x.T @ x / 500)
    found = _components(x, 2)
    expected = (vectors * values.sqrt()).flip(1)[:, :2]
    torch.testing.assert_close(found @ found.T, expected @ expected.T, rtol=1e-3, atol=1e-4)
    assert _components(x[:1], 1).isfinite().all()
