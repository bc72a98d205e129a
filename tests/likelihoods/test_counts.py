"""The Poisson likelihood against scipy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from narrows.data.schema import Schema
from narrows.likelihoods import Poisson

COUNTS = Schema((3,), 0.0, np.inf, 1.0)


def built():
    likelihood = Poisson()
    likelihood.build(COUNTS)
    return likelihood


def test_is_the_poisson_mass_summed_over_cells():
    params = 3 * torch.randn(2, 4, 1, 3, generator=torch.manual_seed(0))
    x = torch.randint(40, (4, 3), generator=torch.manual_seed(1)).float()
    p = built()(params)
    rate = np.exp(20 * np.tanh(params[:, :, 0].double().numpy() / 20))
    np.testing.assert_allclose(p.mean.numpy(), rate, rtol=1e-5)
    expected = stats.poisson.logpmf(x.numpy(), rate).sum(2)
    np.testing.assert_allclose(p.log_prob(x).numpy(), expected, rtol=1e-5, atol=1e-4)


@given(st.floats(-60, 5))
def test_sums_to_one(log_rate):
    p = built()(torch.full((1, 1, 1, 3), log_rate, dtype=torch.float64))
    counts = torch.arange(400.0, dtype=torch.float64).view(-1, 1, 1).expand(400, 1, 3)
    assert (p.log_prob(counts) / 3).exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("params", [-150.0, -20.0, 20.0, 150.0])
@pytest.mark.parametrize("x", [0.0, 7.0, 1e6])
def test_extremes_are_finite_and_keep_a_gradient(params, x):
    given_params = torch.full((1, 1, 1, 3), params, requires_grad=True)
    log_prob = built()(given_params).log_prob(torch.full((1, 3), x))
    log_prob.sum().backward()
    assert log_prob.isfinite()
    assert given_params.grad.isfinite().all()
    assert given_params.grad.abs().min() > 0


def test_only_counts_are_taken():
    assert built().refuses(COUNTS) is None
    for schema in (Schema((3,), 0.0, 1.0), Schema((3,), 1.0, np.inf, 1.0), Schema((3,), 0.0, 510.0, 2.0)):
        assert "likelihood poisson scores counts" in built().refuses(schema)
