"""Bounds by hand, against each other, and against the likelihood that small codes let us enumerate."""

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from narrows.distributions import Flat, Point, divergence
from narrows.errors import InputError
from narrows.latents import Bernoulli, Gaussian
from narrows.latents import Point as PlainCode
from narrows.noise import Noise
from narrows.objectives import Elbo, Iwae
from narrows.sampling import sample
from narrows.values import Clock, Terms

END = Clock.at_end()


def gaussian_terms(k=4, n=3, *, prior=None):
    """Terms of a gaussian code with arbitrary distortions, and the closed form of its divergence."""
    latent = Gaussian(2)
    q = latent.posterior(Noise(0).normal((n, 4), rows=0))
    z = sample(q, k, Noise(1))
    terms = Terms(-10 * Noise(2).uniform((k, n), rows=1), z, q, prior or latent.prior(n, z.device))
    mean, sigma = q.mean, q.stddev
    return terms, 0.5 * (mean**2 + sigma**2 - 1 - 2 * sigma.log()).sum(1)


def bits_terms(k, n=400):
    """Terms of a code of two bits under a decoder that can be enumerated, and the exact log p(x)."""
    latent = Bernoulli(2)
    weight, bias, x = (
        torch.tensor([[4.0, -2.0], [-3.0, 1.0], [2.0, 2.0]]),
        torch.tensor([-1.0, 0.5, 0.0]),
        torch.ones(3),
    )

    def log_px(z):
        return torch.distributions.Bernoulli(logits=z @ weight.T + bias).log_prob(x).sum(-1)

    q = latent.posterior(torch.tensor([0.5, -0.5]).expand(n, 2))
    z = sample(q, k, Noise(5))
    codes = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2)))
    exact = torch.logsumexp(log_px(codes) - 2 * math.log(2), 0).item()
    return Terms(log_px(z), z, q, latent.prior(n, z.device)), exact


def at(progress):
    clock = Clock()
    clock.set(0, progress)
    return clock


class TestElbo:
    @pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
    def test_is_distortion_plus_beta_times_rate(self, beta):
        terms, kl = gaussian_terms()
        cost = Elbo(beta=beta).cost(terms, END)
        torch.testing.assert_close(cost, -terms.log_px + beta * kl)
        torch.testing.assert_close(Elbo().combine(cost), cost.mean(0))

    def test_the_price_of_a_deterministic_code_is_its_rate(self):
        price = torch.tensor([0.5, 2.0, 0.0])
        terms = Terms(torch.full((1, 3), -7.0), torch.zeros(1, 3, 2), Point(torch.zeros(3, 2), price), Flat(3, (2,)))
        torch.testing.assert_close(Elbo(beta=2).cost(terms, END), 7 + 2 * price[None])

    def test_beta_rises_over_the_warm_up(self):
        terms, kl = gaussian_terms()
        objective = Elbo(beta=2.0, warm_up=0.4)
        for progress, share in [(0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (1.0, 1.0)]:
            torch.testing.assert_close(objective.cost(terms, at(progress)), -terms.log_px + 2 * share * kl)

    def test_free_nats_are_not_paid_and_draw_no_gradient(self):
        terms, kl = gaussian_terms()
        free = kl.sort().values[1].item() + 1e-3  # two of three examples are below
        torch.testing.assert_close(Elbo(free_nats=free).cost(terms, END), -terms.log_px + kl.clamp_min(free))
        h = Noise(0).normal((3, 4), rows=0).requires_grad_()
        (gradient,) = torch.autograd.grad(Elbo(free_nats=free).cost(_with(terms, h), END).sum(), h)
        assert gradient.abs().sum(1).gt(0).tolist() == (kl > free).tolist()

    def test_with_no_free_nats_the_divergence_keeps_its_gradient(self):
        """The trap is clamp(kl, 0, capacity=0), whose gradient is zero."""
        terms, _ = gaussian_terms()
        h = Noise(0).normal((3, 4), rows=0).requires_grad_()
        (gradient,) = torch.autograd.grad(Elbo().cost(_with(terms, h), END).mean(0).sum(), h)
        (by_hand,) = torch.autograd.grad(divergence(Gaussian(2).posterior(h), terms.prior).sum(), h)
        torch.testing.assert_close(gradient, by_hand)
        assert (by_hand != 0).all()

    @pytest.mark.parametrize("wrong", [{"beta": -1.0}, {"free_nats": -1.0}, {"warm_up": 1.5}, {"samples": 0}])
    def test_settings_out_of_range_are_refused(self, wrong):
        with pytest.raises(InputError, match=f"objective.{next(iter(wrong))} was given as"):
            Elbo(**wrong)

    def test_more_draws_of_a_deterministic_code_are_refused(self):
        assert "objective.samples=1" in Elbo(samples=2).refuses_latent(PlainCode(2))
        assert Elbo(samples=2).refuses_latent(Gaussian(2)) is None
        assert Elbo().refuses_latent(PlainCode(2)) is None


def _with(terms, h):
    return Terms(terms.log_px, terms.z, Gaussian(2).posterior(h), terms.prior)


class TestIwae:
    def test_is_minus_the_log_of_the_mean_weight(self):
        terms, _ = gaussian_terms(k=5)
        log_weight = terms.log_px + terms.prior.log_prob(terms.z) - terms.posterior.log_prob(terms.z)
        bound = log_weight.double().exp().mean(0).log()
        torch.testing.assert_close(Iwae(5).combine(Iwae(5).cost(terms, END)), -bound.float())

    def test_with_one_draw_it_is_the_elbo_by_monte_carlo(self):
        """A single draw's share of the divergence may be negative; to clamp it at 0 would bias the bound."""
        same = Independent(Normal(torch.zeros(3, 2), torch.ones(3, 2)), 1)
        terms, _ = gaussian_terms(k=1, n=30, prior=MixtureSameFamily(Categorical(logits=torch.zeros(3)), same))
        assert divergence(terms.posterior, terms.prior) is None
        assert (terms.log_ratio < 0).any()
        elbo, iwae = (objective.combine(objective.cost(terms, END)) for objective in (Elbo(), Iwae(1)))
        torch.testing.assert_close(elbo, iwae)

    def test_groups_of_more_draws_never_give_a_looser_bound(self):
        """Jensen: true of every set of 64 draws, cut into groups of k, so no statistics enter."""
        terms, exact = bits_terms(k=64)
        cost = Iwae(64).cost(terms, END)
        bounds = [
            torch.stack([Iwae(k).combine(group) for group in cost.split(k)]).mean() for k in (1, 2, 4, 8, 16, 32, 64)
        ]
        assert all(looser > tighter for looser, tighter in itertools.pairwise(bounds))
        elbo = Elbo().combine(Elbo().cost(terms, END)).mean()
        assert abs(bounds[0] - elbo) < 0.05
        assert bounds[-1] >= -exact - 1e-3

    def test_with_many_draws_it_comes_to_the_exact_likelihood(self):
        """Within 4 standard errors, 6e-5; log of a mean of 20,000 weights, whose bias is below 1e-4."""
        terms, exact = bits_terms(k=20_000, n=20)
        bound = Iwae(20_000).combine(Iwae(20_000).cost(terms, END)).double()
        assert bound.std() < 0.02
        assert abs(bound.mean().item() + exact) < 4 * bound.std().item() / 20**0.5 + 1e-4

    def test_huge_costs_do_not_overflow(self):
        cost = torch.tensor([[1e4], [1e4 + 1]])
        assert Iwae(2).combine(cost).item() == pytest.approx(1e4 - math.log((1 + math.exp(-1)) / 2), abs=2e-3)

    def test_deterministic_codes_have_no_weights(self):
        assert "latent=gaussian" in Iwae().refuses_latent(PlainCode(2))
        assert Iwae().refuses_latent(Gaussian(2)) is None

    def test_a_draw_is_needed(self):
        with pytest.raises(InputError, match=r"objective\.samples"):
            Iwae(0)


@pytest.mark.parametrize("objective", [Elbo(samples=6), Iwae(6)], ids=lambda objective: objective.kind)
def test_shapes_and_independence_of_the_order_of_draws(objective):
    terms, _ = gaussian_terms(k=6)
    cost = objective.cost(terms, END)
    assert cost.shape == (6, 3)
    assert objective.combine(cost).shape == (3,)
    torch.testing.assert_close(objective.combine(cost), objective.combine(cost.flip(0)))
    torch.testing.assert_close(objective.combine(cost[:1]), cost[0])
