"""Bounds by hand, against each other, and against the likelihood that small codes let us enumerate."""

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from narrows.data.specimens import examples
from narrows.distributions import DiagonalNormal, Flat, Point, StandardNormal, divergence
from narrows.errors import InputError
from narrows.latents import Bernoulli, FullGaussian, Gaussian
from narrows.latents import Point as PlainCode
from narrows.model import Model
from narrows.noise import Noise
from narrows.objectives import Constrained, Elbo, Iwae, Renyi, TotalCorrelation
from narrows.parts import make
from narrows.presets import choose
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

    def test_free_nats_of_a_sampled_divergence_are_those_of_the_mean_over_draws(self):
        """A single draw's share may be far below the threshold, or below 0, where the mean is above it."""
        terms, _ = gaussian_terms(k=6)
        mean = terms.log_ratio.mean(0)
        free = mean.sort().values[1].item() + 1e-3  # two of three examples are below
        assert (terms.log_ratio[:, mean > free] < free).any()
        cost = Elbo(free_nats=free, divergence="sampled", samples=6).cost(terms, END)
        torch.testing.assert_close(cost.mean(0), mean.clamp_min(free) - terms.log_px.mean(0))
        h = Noise(0).normal((3, 4), rows=0).requires_grad_()
        (gradient,) = torch.autograd.grad(
            Elbo(free_nats=free, divergence="sampled").cost(_with(terms, h), END).sum(), h
        )
        assert gradient.abs().sum(1).gt(0).tolist() == (mean > free).tolist()

    def test_free_nats_to_each_unit(self):
        terms, kl = gaussian_terms()
        q = terms.posterior
        by_unit = 0.5 * (q.mean**2 + q.stddev**2 - 1) - q.stddev.log()
        torch.testing.assert_close(by_unit.sum(1), kl)
        cost = Elbo(free_nats=0.3, free_to="unit").cost(terms, END)
        torch.testing.assert_close(cost, by_unit.clamp_min(0.3).sum(1) - terms.log_px)
        assert "free_to=example" in Elbo(free_nats=0.3, free_to="unit").refuses_latent(FullGaussian(2))
        assert "free_to=example" in Elbo(free_nats=0.3, free_to="unit", divergence="sampled").refuses_latent(
            Gaussian(2)
        )
        assert Elbo(free_nats=0.3, free_to="unit").refuses_latent(Gaussian(2)) is None

    def test_the_warm_up_begins_anew_in_each_cycle_and_the_end_is_the_end_of_the_last(self):
        terms, kl = gaussian_terms()
        objective = Elbo(beta=2.0, warm_up=0.5, cycles=4)
        shares = [
            (0.0, 0.0),
            (0.0625, 0.5),
            (0.125, 1.0),
            (0.2, 1.0),
            (0.25, 0.0),
            (0.3125, 0.5),
            (0.9, 1.0),
            (1.0, 1.0),
        ]
        for progress, share in shares:
            assert objective.share(at(progress)).item() == pytest.approx(share)
            torch.testing.assert_close(objective.cost(terms, at(progress)), -terms.log_px + 2 * share * kl)
        assert torch.equal(Elbo(warm_up=0.4).share(at(0.3)), Elbo(warm_up=0.4, cycles=1).share(at(0.3)))
        with pytest.raises(InputError, match=r"objective\.warm_up=0\.5"):
            Elbo(cycles=4)

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

    @pytest.mark.parametrize("kind", [Iwae, Renyi], ids=lambda kind: kind.kind)
    def test_weights_are_charged_for_codes_by_and_by_and_reported_whole(self, kind):
        terms, _ = gaussian_terms(k=5)
        objective, plain = kind(samples=5, warm_up=0.4), kind(samples=5)
        for progress, share in [(0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (1.0, 1.0)]:
            cost = objective.cost(terms, at(progress))
            torch.testing.assert_close(cost, share * terms.log_ratio - terms.log_px)
            torch.testing.assert_close(objective.reported(cost, terms), plain.reported(plain.cost(terms, END), terms))
        with pytest.raises(InputError, match=r"objective\.warm_up"):
            kind(warm_up=1.5)

    def test_deterministic_codes_have_no_weights(self):
        assert "latent=gaussian" in Iwae().refuses_latent(PlainCode(2))
        assert Iwae().refuses_latent(Gaussian(2)) is None

    def test_a_draw_is_needed(self):
        with pytest.raises(InputError, match=r"objective\.samples"):
            Iwae(0)


class TestRenyi:
    @pytest.mark.parametrize("alpha", [0.0, 0.3, 0.999, 2.5])
    def test_is_the_power_mean_of_the_weights_by_hand(self, alpha):
        terms, _ = gaussian_terms(k=5)
        log_weight = (terms.log_px + terms.prior.log_prob(terms.z) - terms.posterior.log_prob(terms.z)).double()
        bound = (log_weight * (1 - alpha)).exp().mean(0).log() / (1 - alpha)
        objective = Renyi(alpha, samples=5)
        torch.testing.assert_close(objective.combine(objective.cost(terms, END)), -bound.float())

    def test_its_ends_are_iwae_and_the_elbo_of_k_draws(self):
        terms, _ = gaussian_terms(k=5)
        cost = Iwae(5).cost(terms, END)
        torch.testing.assert_close(Renyi(0.0).combine(cost), Iwae(5).combine(cost))
        assert torch.equal(Renyi(1.0).combine(cost), Elbo(divergence="sampled").cost(terms, END).mean(0))
        for near in (1 - 1e-6, 1 + 1e-6):
            torch.testing.assert_close(Renyi(near).combine(cost), Renyi(1.0).combine(cost), rtol=1e-4, atol=1e-4)

    def test_is_looser_for_a_larger_order_on_every_set_of_draws(self):
        """Power means are monotone, so no statistics enter."""
        terms, _ = bits_terms(k=6)
        cost = Iwae(6).cost(terms, END).double()
        nats = [Renyi(alpha).combine(cost) for alpha in (0.0, 0.2, 0.7, 1.0, 1.5, 4.0)]
        assert all((tighter <= looser + 1e-12).all() for tighter, looser in itertools.pairwise(nats))
        assert all((tighter < looser).any() for tighter, looser in itertools.pairwise(nats))

    @pytest.mark.parametrize("alpha", [0.5, 2.0])
    def test_with_many_draws_it_comes_to_the_bound_by_enumeration(self, alpha):
        """Within 5 standard errors, of a mean of 20,000 powers of weights in each of 20 rows."""
        terms, _ = bits_terms(k=20_000, n=20)
        codes = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2)))
        q = terms.posterior.log_prob(codes[:, None])[:, 0].double()
        _, where = (codes[:, None, None] == terms.z[None]).all(-1).max(0)
        log_px = torch.stack([terms.log_px[where == code][0] for code in range(4)]).double()
        exact = torch.logsumexp(q + (1 - alpha) * (log_px - 2 * math.log(2) - q), 0) / (1 - alpha)
        found = Renyi(alpha).combine(Iwae(20_000).cost(terms, END)).double()
        assert abs(found.mean() + exact) < 5 * found.std() / 20**0.5 + 1e-4

    def test_what_it_needs(self):
        assert "latent=gaussian" in Renyi().refuses_latent(PlainCode(2))
        with pytest.raises(InputError, match=r"objective\.alpha"):
            Renyi(-0.1)


class TestTotalCorrelation:
    def test_the_three_parts_add_up_to_the_divergence_of_each_draw(self):
        terms, _ = gaussian_terms(k=3, n=7)
        objective = TotalCorrelation(beta=5.0)
        objective.adapt(1000)
        parts = objective.parts(terms)
        torch.testing.assert_close(sum(parts), terms.log_ratio)
        torch.testing.assert_close(objective.cost(terms, END), terms.kl - terms.log_px + 4 * parts.correlation)
        torch.testing.assert_close(TotalCorrelation(beta=1.0).cost(terms, END), Elbo().cost(terms, END).expand(3, 7))

    def test_by_hand_in_a_loop(self):
        """N(z_ij; mu_l, sigma_l) of every draw under every row, with the weights 1 / N and (N - 1) / (N (n - 1))."""
        terms, _ = gaussian_terms(k=2, n=4)
        objective, rows = TotalCorrelation(), 50
        objective.adapt(rows)
        parts = objective.parts(terms)
        q = terms.posterior
        for draw, row in itertools.product(range(2), range(4)):
            weights = torch.full((4,), (rows - 1) / rows / 3)
            weights[row] = 1 / rows
            density = Normal(q.mean, q.stddev).log_prob(terms.z[draw, row]).exp()
            joint, single = (weights @ density.prod(1)).log(), (weights @ density).log().sum()
            torch.testing.assert_close(parts.correlation[draw, row], joint - single)
            torch.testing.assert_close(parts.information[draw, row], density[row].prod().log() - joint)

    def test_over_the_whole_set_it_is_the_exact_decomposition_by_enumeration(self):
        """Bits of 5 rows, all of them the batch: the mean over codes, weighed by q, of each part is its closed form."""
        latent, h = Bernoulli(3), 2 * Noise(0).normal((5, 3), rows=0).double()
        q = latent.posterior(h)
        codes = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))).double()
        z = codes[:, None].expand(8, 5, 3)
        terms = Terms(torch.zeros(8, 5).double(), z, q, latent.prior(5, z.device))
        objective = TotalCorrelation()
        objective.adapt(5)
        table = q.log_prob(z).exp()  # q(z | x), (8, 5)
        found = [(table * part).sum(0).mean() for part in objective.parts(terms)]
        joint, single = table.mean(1), q.mean.mean(0)
        single = torch.where(codes == 1, single, 1 - single).prod(1)
        information = (table * (table / joint[:, None]).log()).sum(0).mean()
        correlation = (joint * (joint / single).log()).sum()
        marginal = (joint * (single * 8).log()).sum()
        torch.testing.assert_close(torch.stack(found), torch.stack([information, correlation, marginal]))
        torch.testing.assert_close(sum(found), divergence(q, terms.prior).mean())
        assert min(found) > 0

    def test_the_estimate_of_the_mean_posterior_is_unbiased(self):
        """Over all batches of 3 of 6 rows that hold row 0, weighed alike, it is the mean of all six: no statistics."""
        h = Noise(3).normal((6, 4), rows=0).double()
        z = torch.tensor([0.3, -0.2]).double()
        objective = TotalCorrelation()
        objective.adapt(6)
        estimates = []
        for others in itertools.combinations(range(1, 6), 2):
            q = Gaussian(2).posterior(h[[0, *others]])
            whole, _ = objective._aggregate(q, z.expand(1, 3, 2))
            estimates.append(whole[0, 0].exp())
        exact = Gaussian(2).posterior(h).log_prob(z.expand(1, 6, 2)).exp().mean()
        torch.testing.assert_close(torch.stack(estimates).mean(), exact)

    def test_an_example_alone_has_no_others_to_differ_from(self):
        terms, _ = gaussian_terms(k=2, n=1)
        assert TotalCorrelation().parts(terms).information.abs().max() < 1e-6

    def test_many_rows_are_taken_in_turn_with_the_same_result(self, monkeypatch):
        terms, _ = gaussian_terms(k=3, n=7)
        at_once = TotalCorrelation().cost(terms, END)
        monkeypatch.setattr("narrows.objectives.total_correlation.NUMBERS_AT_ONCE", 30)
        torch.testing.assert_close(TotalCorrelation().cost(terms, END), at_once)

    def test_what_does_not_split_is_refused(self):
        mixture = Gaussian(2, prior=make("prior", "mixture"))
        for latent in (PlainCode(2), FullGaussian(2), mixture):
            assert "latent.prior=standard" in TotalCorrelation().refuses_latent(latent)
        assert TotalCorrelation().refuses_latent(Gaussian(2)) is None


class TestConstrained:
    def test_is_the_lagrangian(self):
        terms, kl = gaussian_terms()
        on_rate, on_distortion = Constrained(0.5), Constrained(3.0, on="distortion")
        for objective in (on_rate, on_distortion):
            objective.multiplier.fill_(2.5)
        torch.testing.assert_close(on_rate.cost(terms, END), -terms.log_px + 2.5 * (kl - 0.5))
        torch.testing.assert_close(on_distortion.cost(terms, END), kl + 2.5 * (-terms.log_px - 3.0))

    def test_reports_the_free_figure_and_a_hundred_times_the_mean_excess(self):
        terms, kl = gaussian_terms()
        for bound in (kl.mean().item() - 0.25, kl.mean().item() + 0.25):
            objective = Constrained(bound)
            nats = objective.reported(objective.cost(terms, END), terms)
            torch.testing.assert_close(nats, -terms.log_px.mean(0) + (25.0 if bound < kl.mean() else 0.0))

    def test_the_multiplier_follows_the_excess(self):
        terms, kl = gaussian_terms()
        rate = kl.mean().item()
        above, below = Constrained(rate / 1.5), Constrained(rate * 3, speed=0.1)
        above.follow(terms)  # a third of the rate too much, of which a tenth is news
        assert above.multiplier.item() == pytest.approx(math.exp(0.01 * 0.1 / 3))
        for _ in range(300):
            below.follow(terms)
        assert below.multiplier.item() == pytest.approx(1e-4)

    def test_it_finds_the_multiplier_of_a_problem_solved_by_hand(self):
        """Least D = (a - 3)^2 / 2 with R = a^2 / 2 <= 1: a = sqrt 2, and dD + lambda dR = 0 at lambda = 3 / a - 1."""
        a = torch.zeros(1, requires_grad=True)
        objective, prior = Constrained(1.0, speed=0.1), StandardNormal(1, 1)

        def terms():
            return Terms(-((a - 3) ** 2)[None] / 2, a[None, :, None], DiagonalNormal(a[None], torch.ones(1, 1)), prior)

        for _ in range(600):
            (gradient,) = torch.autograd.grad(objective.cost(terms(), END).sum(), a)
            objective.follow(terms())
            a = (a - 0.1 * gradient).detach().requires_grad_()
        assert a.item() == pytest.approx(math.sqrt(2), abs=1e-3)
        assert objective.multiplier.item() == pytest.approx(3 / math.sqrt(2) - 1, abs=1e-2)

    def test_only_training_moves_it_and_files_keep_it(self):
        example = examples()[0]
        model = Model(
            choose("variational", example.schema, ["objective=constrained", "objective.bound=0.1"]), example.schema
        )
        model.adapt(example.values)
        model.eval().loss(example.values, Noise(0), END)
        assert model.objective.multiplier == 1
        model.train().loss(example.values, Noise(0), END)[0].backward()
        assert model.objective.multiplier != 1
        assert {"objective.multiplier", "objective.excess"} <= set(model.state_dict())

    @pytest.mark.parametrize("wrong", [{"bound": 0.0}, {"on": "elbo"}, {"speed": 0.0}])
    def test_settings_out_of_range_are_refused(self, wrong):
        with pytest.raises(InputError, match=f"objective.{next(iter(wrong))}"):
            Constrained(**wrong)
        assert "objective=elbo" in Constrained().refuses_latent(PlainCode(2))


EACH = [Elbo(samples=6), Iwae(6), Renyi(samples=6), TotalCorrelation(samples=6), Constrained(samples=6)]


@pytest.mark.parametrize("objective", EACH, ids=lambda objective: objective.kind)
def test_shapes_and_independence_of_the_order_of_draws(objective):
    terms, _ = gaussian_terms(k=6)
    cost = objective.cost(terms, END)
    assert cost.shape == (6, 3)
    assert objective.combine(cost).shape == (3,)
    torch.testing.assert_close(objective.combine(cost), objective.combine(cost.flip(0)))
    torch.testing.assert_close(objective.combine(cost[:1]), cost[0])
    torch.testing.assert_close(objective.combine(cost), objective.combine(cost.double()).float())
