"""Exact expectations: against loops over codes, closed forms, and finite differences of their own value."""

import itertools

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from narrows.distributions import divergence
from narrows.errors import InputError
from narrows.latents import Bernoulli, Categorical, FullGaussian, Gaussian, Point
from narrows.objectives import Elbo, Iwae
from narrows.study.exact import expected, points

X = torch.tensor([0.3, -1.0], dtype=torch.float64)
WEIGHT = torch.tensor([[0.5, -0.3], [0.4, 0.2], [-0.6, 0.1], [0.2, 0.7], [0.3, 0.3], [-0.1, 0.4]], dtype=torch.float64)
CODES = [Bernoulli(3), Categorical(symbols=2, categories=3), Gaussian(1), Gaussian(2), FullGaussian(2)]
BOUNDS = [Elbo(beta=2.0, samples=2), Elbo(samples=3, divergence="sampled"), Iwae(2)]
CODED = pytest.mark.parametrize("latent", CODES, ids=lambda latent: f"{latent.kind}{latent.size}")


def of(latent, seed=0):
    """A posterior that can be varied, and the numbers it is told by."""
    latent.build((2,))
    h = 0.5 * torch.randn(1, latent.n_params, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    h.requires_grad_()
    return latent.posterior(h), h


def log_px(z, bias):
    return -0.5 * (X - torch.tanh(z.flatten(1) @ WEIGHT[: z[0].numel()]) - bias).square().sum(1)


@CODED
def test_weights_sum_to_one_and_give_the_mean_and_the_second_moments(latent):
    q, _ = of(latent)
    at = points(q)
    z = at.z.flatten(1)
    assert at.weight.sum().item() == pytest.approx(1)
    assert not at.z.requires_grad
    mean = at.weight @ z
    torch.testing.assert_close(mean, q.mean.detach().flatten())
    if latent.discrete:
        assert len(at.z.unique(dim=0)) == len(at.z) == {"bernoulli": 2**3, "categorical": 3**2}[latent.kind]
    else:
        variance = at.weight @ z.square() - mean.square()
        torch.testing.assert_close(variance, q.variance.detach().flatten())


def test_points_of_a_full_normal_have_its_covariance():
    q, _ = of(FullGaussian(2))
    at = points(q)
    apart = at.z - q.mean.detach()
    factor = q.factor.detach()[0]
    torch.testing.assert_close(apart.T @ (at.weight[:, None] * apart), torch.linalg.inv(factor @ factor.T))
    normal = MultivariateNormal(q.mean[0], precision_matrix=factor @ factor.T)
    entropy = -(at.weight * q.log_prob(at.z[:, None])[:, 0]).sum()
    torch.testing.assert_close(entropy, normal.entropy())


def test_the_value_is_that_of_a_loop_over_tuples_of_codes():
    q, _ = of(Bernoulli(2))
    bias, prior, objective = torch.zeros(2, dtype=torch.float64), Bernoulli(2).prior(1, X.device), Iwae(3)
    slow = 0.0
    for bits in itertools.product(itertools.product((0.0, 1.0), repeat=2), repeat=3):
        z = torch.tensor(bits, dtype=torch.float64)
        log_q = q.log_prob(z[:, None])[:, 0]
        weights = (log_px(z, bias) + prior.log_prob(z[:, None])[:, 0] - log_q).exp()
        slow -= log_q.sum().exp() * weights.mean().log()
    at = points(q)
    torch.testing.assert_close(expected(objective, log_px(at.z, bias), q, prior, at), slow)


def test_sampled_divergences_come_to_the_closed_form():
    for latent in CODES:
        q, h = of(latent)
        at, prior = points(q), latent.prior(1, X.device)
        nothing = torch.zeros(len(at.z), dtype=torch.float64)
        value = expected(Elbo(divergence="sampled"), nothing, q, prior, at)
        closed = divergence(q, prior).sum()
        torch.testing.assert_close(value, closed)
        torch.testing.assert_close(*(torch.autograd.grad(one, h, retain_graph=True)[0] for one in (value, closed)))


def test_a_linear_decoder_has_the_gradient_of_the_closed_form():
    """E |x - W z|^2 / 2 adds tr(W diag(sigma^2) W^T) / 2 to the error of the mean."""
    latent = Gaussian(2)
    q, h = of(latent)
    at, W = points(q, 4), WEIGHT[:2]
    squares = -0.5 * (X - at.z @ W).square().sum(1)
    value = expected(Elbo(), squares, q, latent.prior(1, X.device), at)
    closed = 0.5 * ((X - q.mean @ W).square().sum() + (q.variance @ W.square()).sum())
    closed = closed + divergence(q, latent.prior(1, X.device)).sum()
    torch.testing.assert_close(value, closed)
    torch.testing.assert_close(*(torch.autograd.grad(one, h, retain_graph=True)[0] for one in (value, closed)))


@CODED
@pytest.mark.parametrize("objective", BOUNDS, ids=lambda objective: objective.kind)
def test_the_gradient_is_that_of_finite_differences(latent, objective):
    """Points move with the parameters from one value to the next, and so owe nothing to how the gradient is taken."""
    latent.build((2,))
    start = torch.cat([0.4 * torch.randn(latent.n_params, generator=torch.Generator().manual_seed(1)), torch.ones(2)])

    def value(numbers):
        h, bias = numbers.split([latent.n_params, 2])
        q = latent.posterior(h[None])
        at = points(q, 24)
        return expected(objective, log_px(at.z, bias), q, latent.prior(1, X.device), at)

    numbers = start.double().requires_grad_()
    (gradient,) = torch.autograd.grad(value(numbers), numbers)
    step = 1e-5 * torch.eye(len(numbers), dtype=torch.float64)
    with torch.no_grad():
        differences = torch.stack([value(numbers + one) - value(numbers - one) for one in step]) / 2e-5
    torch.testing.assert_close(gradient, differences, rtol=1e-6, atol=1e-7)


def test_more_nodes_change_nothing():
    latent = Gaussian(2)
    q, h = of(latent)
    bias = torch.zeros(2, dtype=torch.float64)

    def gradient(nodes):
        at = points(q, nodes)
        value = expected(Elbo(), log_px(at.z, bias), q, latent.prior(1, X.device), at)
        return torch.autograd.grad(value, h, retain_graph=True)[0]

    torch.testing.assert_close(gradient(40), gradient(60), rtol=0, atol=1e-9)


def test_sums_that_are_too_long_or_have_no_rule_are_refused():
    q, _ = of(Bernoulli(23))
    with pytest.raises(InputError, match=r"over 2\^23 codes"):
        points(q)
    q, _ = of(Bernoulli(10))
    at = points(q)
    with pytest.raises(InputError, match=r"1024\^3 .* take a smaller latent.size or objective.samples"):
        expected(Iwae(3), torch.zeros(1024), q, Bernoulli(10).prior(1, X.device), at)
    with pytest.raises(InputError, match="nodes was given as 0"):
        points(of(Gaussian(1))[0], 0)
    with pytest.raises(TypeError, match="no points are known for Point"):
        points(of(Point(2))[0])
    with pytest.raises(TypeError, match="no points are known for Normal"):
        points(Normal(torch.zeros(1), torch.ones(1)))


def test_draws_that_depend_on_each_other_are_refused():
    q, _ = of(Gaussian(1))
    at = points(q)
    tied = Elbo(free_nats=1.0, samples=2, divergence="sampled")
    with pytest.raises(InputError, match=r"take objective\.free_nats=0"):
        expected(tied, torch.zeros(len(at.z)), q, Gaussian(1).prior(1, X.device), at)
