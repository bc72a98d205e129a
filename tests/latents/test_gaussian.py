"""The gaussian code: where it starts, its divergence, and its bounds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from narrows.distributions import FullNormal, divergence
from narrows.errors import InputError
from narrows.latents import FullGaussian, Gaussian
from narrows.noise import Noise
from narrows.sampling import sample

CPU = torch.device("cpu")
UNIT = Gaussian(1)


def kl(h):
    return divergence(UNIT.posterior(h), UNIT.prior(len(h), CPU))


def test_it_starts_at_the_prior():
    assert kl(torch.zeros(3, 2)).abs().max() < 1e-7
    q = Gaussian(5).posterior(torch.zeros(3, 10))
    torch.testing.assert_close(q.stddev, torch.ones(3, 5), atol=2e-4, rtol=0)


def test_parameters_are_the_means_and_then_the_scales():
    latent = Gaussian(3)
    h = torch.tensor([[1.0, 2.0, 3.0, -1.0, 0.0, 5.0]])
    q = latent.posterior(h)
    assert latent.n_params == 6
    assert torch.equal(q.mean, h[:, :3])
    torch.testing.assert_close(q.stddev, torch.log1p(torch.exp(h[:, 3:] + 0.5413248546)) + 1e-4)
    assert torch.equal(latent.code(q), h[:, :3])


@settings(max_examples=40)
@given(mean=st.floats(-6, 6), s=st.floats(-6, 20))
def test_divergence_equals_quadrature_to_1e_6(mean, s):
    h = torch.tensor([[mean, s]], dtype=torch.float64)
    q = stats.norm(mean, UNIT.posterior(h).stddev.item())
    low, high = q.mean() - 12 * q.std(), q.mean() + 12 * q.std()
    numerical, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), low, high, epsabs=1e-10, limit=200, points=[mean]
    )
    assert kl(h).item() == pytest.approx(numerical, rel=1e-6, abs=1e-6)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_divergence_is_never_negative_and_zero_only_at_the_prior(mean, s):
    h = torch.tensor([[mean, s]], dtype=torch.float64)
    q = UNIT.posterior(h)
    apart = max(abs(q.mean.item()), abs(q.stddev.item() - 1))
    assert kl(h).item() >= -1e-14
    assert apart < 1e-5 or kl(h).item() > 0


def test_divergence_is_zero_at_equality_and_not_symmetric():
    wide, narrow = (torch.distributions.Normal(0.0, scale) for scale in (2.0, 0.5))
    assert divergence(wide, wide).item() == 0
    assert abs(divergence(wide, narrow).item() - divergence(narrow, wide).item()) > 1


def test_divergence_sums_over_units():
    h = torch.randn(4, 12)
    latent = Gaussian(6)
    whole = divergence(latent.posterior(h), latent.prior(4, CPU))
    by_unit = torch.stack([kl(h[:, [unit, 6 + unit]]) for unit in range(6)]).sum(0)
    torch.testing.assert_close(whole, by_unit)


@pytest.mark.parametrize("s", [-1e4, 1e4])
def test_extreme_scales_stay_positive_and_finite(s):
    h = torch.tensor([[0.0, s]], requires_grad=True)
    q = UNIT.posterior(h)
    assert 0 < q.stddev.item() < np.inf
    kl(h).sum().backward()
    assert h.grad.isfinite().all()


def test_units_in_use_are_those_whose_mean_moves():
    codes = torch.randn(1000, 3, generator=torch.manual_seed(0)) * torch.tensor([1.0, 0.05, 0.2])
    assert Gaussian(3).used(codes).tolist() == [True, False, True]


def test_collapse_and_idle_units_are_told_with_a_remedy():
    latent = Gaussian(3)
    (collapse,) = latent.diagnose(torch.tensor([False, False, False]))
    (idle,) = latent.diagnose(torch.tensor([True, False, False]))
    assert collapse.name == "collapse"
    assert "2 of 3" in str(idle)
    assert "objective.beta" in collapse.remedy
    assert not list(latent.diagnose(torch.ones(3, dtype=torch.bool)))


def test_a_code_has_at_least_one_number():
    with pytest.raises(InputError, match=r"latent\.size was given as 0; it must be at least 1"):
        Gaussian(0)


class TestFullGaussian:
    LATENT = FullGaussian(3)

    def given(self, n=4):
        h = torch.randn(n, self.LATENT.n_params, generator=torch.manual_seed(0), dtype=torch.float64)
        q = self.LATENT.posterior(h)
        precision = q.factor @ q.factor.mT
        return h, q, torch.distributions.MultivariateNormal(q.mean, precision_matrix=precision)

    def test_it_starts_at_the_prior(self):
        q = self.LATENT.posterior(torch.zeros(2, 9))
        assert self.LATENT.n_params == 9
        assert divergence(q, self.LATENT.prior(2, CPU)).abs().max() < 1e-6

    def test_density_moments_and_divergence_are_those_of_torch(self):
        _, q, theirs = self.given()
        z = torch.randn(5, 4, 3, generator=torch.manual_seed(1), dtype=torch.float64)
        torch.testing.assert_close(q.log_prob(z), theirs.log_prob(z))
        torch.testing.assert_close(q.variance, theirs.variance)
        unit = torch.distributions.MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
        expected = torch.distributions.kl_divergence(theirs, unit)
        torch.testing.assert_close(divergence(q, self.LATENT.prior(4, CPU)), expected)
        other = self.LATENT.posterior(self.given()[0].flip(1))
        precision = other.factor @ other.factor.mT
        expected = torch.distributions.kl_divergence(
            theirs, torch.distributions.MultivariateNormal(other.mean, precision_matrix=precision)
        )
        torch.testing.assert_close(divergence(q, other), expected)

    def test_draws_have_its_mean_and_covariance(self):
        _, q, theirs = self.given(2)
        z = sample(q, 40_000, Noise(0)).transpose(0, 1)
        for drawn, mean, covariance in zip(z, theirs.mean, theirs.covariance_matrix, strict=True):
            scale = covariance.diagonal().sqrt()
            # Six standard errors of a correlation, or of a mean in deviations.
            assert ((drawn.mean(0) - mean) / scale).abs().max() < 6 / 200
            assert ((drawn.T.cov() - covariance) / torch.outer(scale, scale)).abs().max() < 6 * 1.5 / 200

    def test_numbers_are_the_inverse(self):
        h, q, _ = self.given()
        torch.testing.assert_close(q.numbers(), h)
        assert torch.equal(FullNormal.of(q.numbers(), 3).loc, q.loc)

    @pytest.mark.parametrize("s", [-1e4, 1e4])
    def test_extreme_numbers_stay_finite(self, s):
        h = torch.zeros(1, 9)
        h[:, 3:6] = s
        h.requires_grad_()
        q = self.LATENT.posterior(h)
        assert q.numbers().isfinite().all()
        divergence(q, self.LATENT.prior(1, CPU)).sum().backward()
        assert h.grad.isfinite().all()
