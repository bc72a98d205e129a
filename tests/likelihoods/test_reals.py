"""The gaussian likelihood against scipy, and its sigma."""

import numpy as np
import pytest
import torch
from scipy import stats

from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.likelihoods import Gaussian

SHAPE = (2, 3)


def built(shape=SHAPE, **settings):
    likelihood = Gaussian(**settings)
    likelihood.build(Schema(shape, -1.0, 1.0))
    return likelihood


def sample_params(k=4, n=5, shape=SHAPE):
    return torch.randn(k, n, 1, *shape, generator=torch.manual_seed(0))


def sample_x(n=5, shape=SHAPE):
    return torch.randn(n, *shape, generator=torch.manual_seed(1)) * 3


@pytest.mark.parametrize("sigma", [0.01, 1.0, 30.0])
def test_fixed_sigma_is_the_normal_density_summed_over_cells(sigma):
    p = built(sigma=sigma)(sample_params())
    expected = stats.norm.logpdf(sample_x().numpy(), sample_params()[:, :, 0].numpy(), sigma).sum((2, 3))
    np.testing.assert_allclose(p.log_prob(sample_x()).detach().numpy(), expected, rtol=1e-5)
    assert torch.equal(p.mean, sample_params()[:, :, 0])


@pytest.mark.parametrize("by_cell", [False, True])
def test_learned_sigma_is_the_normal_density_too(by_cell):
    likelihood = built(by_cell=by_cell)
    with torch.no_grad():
        likelihood.log_sigma.copy_(0.1 * torch.randn(SHAPE if by_cell else ()))
    sigma = likelihood.scale.detach()
    assert sigma.shape == (SHAPE if by_cell else ())
    expected = stats.norm.logpdf(sample_x().numpy(), sample_params()[:, :, 0].numpy(), sigma.numpy()).sum((2, 3))
    np.testing.assert_allclose(likelihood(sample_params()).log_prob(sample_x()).detach().numpy(), expected, rtol=1e-4)


def test_with_sigma_one_it_is_half_the_squared_error_and_a_constant():
    """Summed over cells: the mean over pixels is the trap that collapses a code."""
    p = built(sigma=1.0)(sample_params())
    squared = (sample_x() - sample_params()[:, :, 0]).square().sum((2, 3))
    torch.testing.assert_close(-p.log_prob(sample_x()), 0.5 * squared + 3 * np.log(2 * np.pi))


def test_the_best_learned_sigma_is_the_root_mean_squared_error():
    likelihood, params, x = built(), sample_params(), sample_x()
    optimizer = torch.optim.LBFGS(likelihood.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -likelihood(params).log_prob(x).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    error = (x - params[:, :, 0]).square().mean().sqrt()
    torch.testing.assert_close(likelihood.scale.detach(), error, rtol=1e-3, atol=0)


def test_sigma_never_falls_below_the_resolution_of_the_data():
    likelihood = built()
    with torch.no_grad():
        likelihood.log_sigma.fill_(-100.0)
    assert likelihood.scale.item() == pytest.approx(1e-3)
    likelihood.calibrate(0.2)
    assert likelihood.scale.item() == pytest.approx(0.2 / np.sqrt(12))
    (finding,) = likelihood.diagnose()
    assert finding.name == "sigma at its floor"
    assert not list(built().diagnose())
    assert not list(built(sigma=1e-3).diagnose())


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan")])
def test_sigma_is_positive(sigma):
    with pytest.raises(InputError, match=r"likelihood\.sigma"):
        Gaussian(sigma)


def test_it_takes_any_data():
    for schema in (Schema((3,), 0.0, 1.0), Schema((3,), 0.0, 255.0, 1.0), Schema((3,), 0.0, np.inf, 1.0)):
        assert Gaussian().refuses(schema) is None
