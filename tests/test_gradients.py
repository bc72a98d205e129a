"""Estimators of the gradient against exact gradients: by enumeration of small codes, and in closed form.

Each row of a large batch is one independent estimate, of the gradient with respect to its own copy of the parameters.
The mean of an unbiased estimator passes Hotelling's test against the exact gradient at level 1e-4; that of a biased one
must fail it.
"""

import itertools

import pytest
import torch
from scipy import stats

from narrows.distributions import divergence
from narrows.gradients import Pathwise, Score, StraightThrough
from narrows.gradients.score import replaced
from narrows.latents import Bernoulli, Categorical, Gaussian
from narrows.latents import Point as PlainCode
from narrows.noise import Noise
from narrows.objectives import Elbo, Iwae
from narrows.values import Clock, Terms

ESTIMATES = 40_000
LEVEL = 1e-4
END = Clock.at_end()

X = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
BIAS = torch.tensor([-1.0, 0.5, 0.2], dtype=torch.float64)
WEIGHT = torch.tensor([[3.0, -2.0, 1.0], [-2.5, 1.5, 0.5], [1.0, 2.0, -2.0]], dtype=torch.float64)
H = torch.tensor([0.4, -0.8, 1.1, 0.3], dtype=torch.float64)


def bits_log_px(z, bias):
    """log p(x | z) of binary cells under one linear map."""
    logits = z.flatten(2) @ WEIGHT[:, : z[0, 0].numel()].T + bias
    return torch.distributions.Bernoulli(logits=logits).log_prob(X).sum(-1)


def squares_log_px(z, bias):
    """log p(x | z) of real cells under one linear map, sigma 1, without its constant."""
    return -0.5 * (X - z @ WEIGHT[:, : z.shape[-1]].T - bias).square().sum(-1)


def estimates(latent, gradient, objective, log_px):
    """Independent estimates of the gradient with respect to h and the decoder's bias, a row each."""
    h = H[: latent.n_params].expand(ESTIMATES, -1).clone().requires_grad_()
    bias = BIAS.expand(ESTIMATES, -1).clone().requires_grad_()
    z, q = gradient.draw(latent.posterior(h), objective.samples, Noise(12), END)
    terms = Terms(log_px(z, bias), z, q, latent.prior(ESTIMATES, z.device))
    surrogate = gradient.surrogate(objective.cost(terms, END), terms, objective)
    return ESTIMATES * torch.cat(torch.autograd.grad(surrogate, [h, bias]), dim=1)


def enumerated(latent, objective, codes):
    """The exact gradient of the expected objective: a sum over all tuples of codes."""
    h, bias = H[: latent.n_params].clone().requires_grad_(), BIAS.clone().requires_grad_()
    q = latent.posterior(h[None])
    log_q = q.log_prob(codes[:, None])[:, 0]
    expected = torch.zeros((), dtype=torch.float64)
    for picked in itertools.product(range(len(codes)), repeat=objective.samples):
        z = codes[list(picked)][:, None]
        terms = Terms(bits_log_px(z, bias[None]), z, q, latent.prior(1, z.device))
        cost = objective.combine(objective.cost(terms, END))[0]
        expected = expected + log_q[list(picked)].sum().exp() * cost
    return torch.cat(torch.autograd.grad(expected, [h, bias]))


def same_mean(rows, exact):
    """p-value of Hotelling's test that the rows' mean is the exact gradient; 0 where they agree on another one."""
    variance, directions = torch.linalg.eigh(rows.T.cov())
    gap = directions.T @ (rows.mean(0) - exact)
    noisy = variance > 1e-9 * variance.max()  # the logits of a softmax have a direction without noise
    if gap[~noisy].abs().gt(1e-6).any():
        return 0.0
    return stats.chi2.sf((len(rows) * gap**2 / variance)[noisy].sum().item(), int(noisy.sum()))


BITS = Bernoulli(2)
SYMBOL = Categorical(symbols=1, categories=3)
CODES = {
    BITS: torch.tensor(list(itertools.product((0.0, 1.0), repeat=2)), dtype=torch.float64),
    SYMBOL: torch.eye(3, dtype=torch.float64)[:, None],
}
ENUMERABLE = pytest.mark.parametrize("latent", CODES, ids=lambda latent: latent.kind)
OBJECTIVES = pytest.mark.parametrize(
    "objective", [Elbo(samples=2), Elbo(beta=3.0, samples=3), Iwae(2), Iwae(3)], ids=lambda o: f"{o.kind}{o.samples}"
)


@ENUMERABLE
@OBJECTIVES
def test_the_score_function_is_unbiased(latent, objective):
    rows = estimates(latent, Score(), objective, bits_log_px)
    assert same_mean(rows, enumerated(latent, objective, CODES[latent])) > LEVEL


@ENUMERABLE
@OBJECTIVES
def test_straight_through_is_biased_and_the_test_says_so(latent, objective):
    rows = estimates(latent, StraightThrough(), objective, bits_log_px)
    assert same_mean(rows, enumerated(latent, objective, CODES[latent])) < LEVEL


def test_a_score_function_without_the_others_draws_fails_the_same_test():
    """The test has the power to see one wrong term: here a baseline that holds the draw's own cost."""

    class OwnCost(Score):
        def surrogate(self, cost, terms, objective):
            advantage = (cost - cost.mean(0)).detach() / len(cost)
            return (cost.mean(0) + (advantage * terms.log_q).sum(0)).mean()

    rows = estimates(BITS, OwnCost(), Elbo(samples=2), bits_log_px)
    assert same_mean(rows, enumerated(BITS, Elbo(samples=2), CODES[BITS])) < LEVEL


def closed_form(beta):
    """Gradient of E |x - W z - b|^2 / 2 + beta KL for a gaussian code: its spread adds tr(W diag(sigma^2) W^T) / 2."""
    h, bias = H.clone().requires_grad_(), BIAS.clone().requires_grad_()
    q = Gaussian(2).posterior(h[None])
    mean, sigma = q.mean[0], q.stddev[0]
    error = 0.5 * ((X - WEIGHT[:, :2] @ mean - bias).square().sum() + (WEIGHT[:, :2].square().sum(0) * sigma**2).sum())
    kl = 0.5 * (mean**2 + sigma**2 - 1 - 2 * sigma.log()).sum()
    return torch.cat(torch.autograd.grad(error + beta * kl, [h, bias]))


@pytest.mark.parametrize("gradient", [Pathwise(), Score()], ids=lambda gradient: gradient.kind)
@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_gaussian_codes_have_the_gradient_of_the_closed_form(gradient, beta):
    rows = estimates(Gaussian(2), gradient, Elbo(beta=beta, samples=2), squares_log_px)
    assert same_mean(rows, closed_form(beta)) > LEVEL


def test_pathwise_is_far_less_noisy_than_the_score_function():
    spread = [
        estimates(Gaussian(2), gradient, Elbo(samples=2), squares_log_px)[:, :4].var(0).sum()
        for gradient in (Pathwise(), Score())
    ]
    assert 3 * spread[0] < spread[1]


def test_the_baseline_lowers_the_variance():
    class NoBaseline(Score):
        def surrogate(self, cost, terms, objective):
            combined = objective.combine(cost)
            return (combined + combined.detach() * terms.log_q.sum(0)).mean()

    rows = [estimates(BITS, gradient, Elbo(samples=3), bits_log_px) for gradient in (NoBaseline(), Score())]
    exact = enumerated(BITS, Elbo(samples=3), CODES[BITS])
    assert same_mean(rows[0], exact) > LEVEL
    assert rows[1].var(0)[:2].sum() < rows[0].var(0)[:2].sum()


@OBJECTIVES
def test_leave_one_out_is_the_slow_loop(objective):
    cost = torch.randn(5, 4, generator=torch.manual_seed(0))
    slow = torch.empty(5, 4)
    for draw, row in itertools.product(range(5), range(4)):
        column = cost[:, row].clone()
        column[draw] = torch.cat([column[:draw], column[draw + 1 :]]).mean()
        slow[draw, row] = objective.combine(column[:, None])
    torch.testing.assert_close(replaced(cost, Score().expected(cost, None), objective), slow)


def test_draws():
    q = Gaussian(2).posterior(torch.zeros(3, 4, requires_grad=True))
    path, scoring = Pathwise().draw(q, 5, Noise(0), END)
    assert path.shape == (5, 3, 2)
    assert path.requires_grad
    assert scoring is q
    assert not Score().draw(q, 5, Noise(0), END)[0].requires_grad
    assert torch.equal(Score().draw(q, 5, Noise(0), END)[0], path)
    bits = BITS.posterior(torch.zeros(3, 2, requires_grad=True))
    hard, _ = StraightThrough().draw(bits, 5, Noise(0), END)
    assert hard.requires_grad
    assert set(hard.flatten().tolist()) == {0.0, 1.0}


def test_the_gradient_of_straight_through_is_that_of_the_mean():
    h = torch.tensor([[0.3, -2.0]], requires_grad=True)
    q = BITS.posterior(h)
    weight = torch.tensor([2.0, -3.0])
    drawn = StraightThrough().draw(q, 1, Noise(0), END)[0]
    (through,) = torch.autograd.grad((drawn * weight).sum(), h, retain_graph=True)
    (mean,) = torch.autograd.grad((q.mean * weight).sum(), h)
    torch.testing.assert_close(through, mean)


def test_what_does_not_go_together_is_refused_with_a_way_out():
    one, four = Elbo(), Elbo(samples=4)
    assert "gradient=score" in Pathwise().refuses_pair(BITS, one)
    assert "latent=gaussian" in Score().refuses_pair(PlainCode(2), four)
    assert "objective.samples=4" in Score().refuses_pair(BITS, one)
    assert "gradient=pathwise" in StraightThrough().refuses_pair(Gaussian(2), one)
    allowed = [(Pathwise(), Gaussian(2), one), (Pathwise(), PlainCode(2), one), (Score(), Gaussian(2), four)]
    allowed += [(Score(), BITS, four), (StraightThrough(), BITS, one)]
    assert all(gradient.refuses_pair(latent, objective) is None for gradient, latent, objective in allowed)


def test_the_divergence_itself_has_no_part_in_the_noise():
    """An exact KL enters with its own gradient: with no distortion the estimate is exact in every row."""
    rows = estimates(Gaussian(2), Score(), Elbo(samples=2), lambda z, bias: 0 * squares_log_px(z, bias))
    h = H[None].clone().requires_grad_()
    kl = divergence(Gaussian(2).posterior(h), Gaussian(2).prior(1, h.device)).sum()
    torch.testing.assert_close(rows[:, :4], torch.autograd.grad(kl, h)[0].expand(ESTIMATES, 4), rtol=1e-6, atol=1e-6)
