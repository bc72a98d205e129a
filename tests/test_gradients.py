"""What each estimator of the gradient is, by hand; that it is as biased as it says is in test_unbiased.py."""

import itertools

import pytest
import torch

from narrows.data.schema import infer_schema
from narrows.distributions import divergence
from narrows.errors import InputError
from narrows.gradients import (
    DoublyReparameterised,
    Pathwise,
    Relaxed,
    Score,
    StickingTheLanding,
    StraightThrough,
)
from narrows.gradients.baselines import BASELINES, MOMENTUM
from narrows.gradients.path import Held
from narrows.gradients.relaxed import relax
from narrows.gradients.score import replaced
from narrows.latents import Bernoulli, Categorical, Gaussian
from narrows.latents import Point as PlainCode
from narrows.model import Model, Recipe
from narrows.noise import Noise
from narrows.objectives import Elbo, Iwae
from narrows.sampling import sample
from narrows.values import Clock, Terms

ROWS = 20_000
END = Clock.at_end()
X = torch.tensor([1.0, 0.0, 1.0])
WEIGHT = torch.tensor([[3.0, -2.5, 1.0], [-2.0, 1.5, 2.0]])
H = torch.tensor([0.4, -0.8, 1.1, 0.3])
BITS, SYMBOLS, PAIR = Bernoulli(2), Categorical(symbols=2, categories=3), Gaussian(2)
PAIR.build((3,))
DISCRETE = pytest.mark.parametrize("latent", [BITS, SYMBOLS], ids=lambda latent: latent.kind)
OBJECTIVES = pytest.mark.parametrize(
    "objective", [Elbo(samples=2), Elbo(beta=3.0, samples=3), Iwae(2), Iwae(3)], ids=lambda o: f"{o.kind}{o.samples}"
)


def at(progress):
    clock = Clock()
    clock.set(0, progress)
    return clock


def bits_log_px(z):
    return torch.nn.functional.logsigmoid((2 * X - 1) * (z @ WEIGHT)).sum(-1)


def squares_log_px(z):
    return -0.5 * (X - z @ WEIGHT).square().sum(-1)


def estimates(latent, gradient, objective, log_px, h=H, seen=None):
    """Independent estimates of the gradient with respect to h, a row each."""
    h = h[: latent.n_params].expand(ROWS, -1).clone().requires_grad_()
    z, q = gradient.draw(latent.posterior(h), objective.samples, Noise(12), END)
    terms = Terms(log_px(z), z, q, latent.prior(ROWS, z.device), seen)
    surrogate = gradient.surrogate(objective.cost(terms, END), terms, objective, END)
    return ROWS * torch.autograd.grad(surrogate, h)[0]


def built(gradient, shape=(3,)):
    gradient.build(shape)
    return gradient


class TestScore:
    @OBJECTIVES
    def test_leave_one_out_is_the_slow_loop(self, objective):
        cost = torch.randn(5, 4, generator=torch.manual_seed(0))
        slow = torch.empty(5, 4)
        for draw, row in itertools.product(range(5), range(4)):
            column = cost[:, row].clone()
            column[draw] = torch.cat([column[:draw], column[draw + 1 :]]).mean()
            slow[draw, row] = objective.combine(column[:, None])
        torch.testing.assert_close(replaced(cost, Score().expected(cost, None), objective), slow)

    def test_without_a_baseline_each_draw_moves_by_its_own_cost(self):
        """The textbook's 1/k sum_i cost_i grad log q(z_i), and not the mean cost times all scores."""
        h = H[:2].expand(4, 2).clone().requires_grad_()
        q = BITS.posterior(h)
        z = sample(q, 3, Noise(0))
        terms, objective = Terms(bits_log_px(z), z, q, BITS.prior(4, h.device)), Elbo(samples=3, divergence="sampled")
        cost = objective.cost(terms, END)
        surrogate = Score("none").surrogate(cost, terms, objective, END)
        by_hand = (cost + cost.detach() * terms.log_q).mean(0).mean()
        torch.testing.assert_close(*(torch.autograd.grad(one, h, retain_graph=True)[0] for one in (surrogate, by_hand)))

    def test_each_baseline_lowers_the_variance(self):
        def spread(name):
            gradient = built(Score(name))
            rows = [estimates(BITS, gradient, Elbo(samples=2), bits_log_px, seen=torch.zeros(ROWS, 3)) for _ in "12"]
            return rows[1].var(0).sum()

        bare = spread("none")
        assert all(spread(name) < 0.8 * bare for name in BASELINES if name != "none")

    def test_the_average_is_that_of_the_steps_before(self):
        average = built(Score("average")).expected
        assert average(torch.ones(1, 1), None) == 0
        means = []
        for step in range(3):
            cost = torch.full((2, 3), float(10 + step))
            average.learn(cost, None)
            means.append(10.0 + step)
            weights = torch.tensor([(1 - MOMENTUM) ** (step - i) for i in range(step + 1)])
            by_hand = (weights * torch.tensor(means)).sum() / weights.sum()
            torch.testing.assert_close(average(cost, None), by_hand)
        average.eval().learn(torch.full((2, 3), 1e6), None)
        torch.testing.assert_close(average(cost, None), by_hand)

    def test_the_learned_baseline_learns_what_rows_cost(self):
        """A cost that is linear in the input; what is left is far less than what the moving average leaves."""
        learned = built(Score("learned")).expected
        with torch.no_grad():
            learned.network[1].weight.copy_(Noise(0).normal(learned.network[1].weight.shape, rows=0))
        optimizer = torch.optim.Adam(learned.parameters(), lr=1e-2)
        noise = Noise(1)
        for _ in range(300):
            seen = noise.normal((200, 3), rows=0)
            cost = 500 + 30 * seen.sum(1).expand(2, -1)
            terms = Terms(cost, cost, None, None, seen)
            expected = learned(cost, terms)
            optimizer.zero_grad()
            learned.learn(cost, terms).backward()
            optimizer.step()
        assert not expected.requires_grad
        assert (cost - expected).std() < 0.2 * cost.std()

    def test_the_baseline_is_trained_and_kept_with_the_model(self):
        values = torch.rand(20, 4)
        spec = {"network": "mlp", "latent": {"kind": "bernoulli", "size": 3}, "likelihood": "gaussian"}
        spec |= {"corruption": "none", "objective": "elbo", "gradient": {"kind": "score", "baseline": "learned"}}
        models = [Model(Recipe.from_spec(spec), infer_schema(values.numpy()), seed=seed) for seed in (0, 1)]
        surrogate, _ = models[0].train().loss(values, Noise(0), END)
        surrogate.backward()
        trained = [parameter for group, _ in models[0].paced() for parameter in group]
        for parameter in models[0].gradient.parameters():
            assert any(parameter is one for one in trained)
        assert models[0].gradient.expected.level != 0
        models[1].load_state_dict(models[0].state_dict())
        assert torch.equal(models[1].gradient.expected.level, models[0].gradient.expected.level)

    def test_the_divergence_itself_has_no_part_in_the_noise(self):
        """An exact KL enters with its own gradient: with no distortion the estimate is exact in every row."""
        rows = estimates(PAIR, Score(), Elbo(samples=2), lambda z: 0 * squares_log_px(z))
        h = H[None].clone().requires_grad_()
        kl = divergence(PAIR.posterior(h), PAIR.prior(1, h.device)).sum()
        torch.testing.assert_close(rows, torch.autograd.grad(kl, h)[0].expand(ROWS, 4), rtol=1e-5, atol=1e-5)

    def test_an_unknown_baseline_is_refused(self):
        with pytest.raises(InputError, match=r"unknown gradient\.baseline 'averag'; did you mean 'average'\?"):
            Score("averag")


class TestPath:
    def test_pathwise_is_far_less_noisy_than_the_score_function(self):
        rows = [estimates(PAIR, gradient, Elbo(samples=2), squares_log_px) for gradient in (Pathwise(), Score())]
        assert 3 * rows[0].var(0).sum() < rows[1].var(0).sum()

    def test_a_held_density_moves_with_the_value_alone(self):
        h = H[None].clone().requires_grad_()
        q, value = PAIR.posterior(h), torch.tensor([[[0.3, -1.0]]], requires_grad=True)
        log_q = Held(q).log_prob(value)
        torch.testing.assert_close(log_q, q.log_prob(value))
        to_h, to_value = torch.autograd.grad(log_q, [h, value])
        torch.testing.assert_close(to_h, torch.zeros_like(h))
        torch.testing.assert_close(to_value, -(value - q.mean) / q.variance)
        assert divergence(Held(q), PAIR.prior(1, h.device)) is None
        with torch.inference_mode():
            torch.testing.assert_close(Held(q).log_prob(torch.zeros(1, 1, 2)), q.log_prob(torch.zeros(1, 1, 2)))

    @pytest.mark.parametrize("objective", [Elbo(samples=2), Iwae(3)], ids=lambda objective: objective.kind)
    def test_at_the_true_posterior_there_is_no_noise_left(self, objective):
        """The landing that is stuck to: x = z + noise has the posterior N(x / 2, 1 / 2), which h says here."""
        x = torch.tensor([0.8, -1.2])
        scale = torch.tensor(0.5).sqrt() - 1e-4
        h = torch.cat([x / 2, torch.expm1(scale).log().expand(2) - 0.5413248546129181])

        def log_px(z):
            return -0.5 * (x - z).square().sum(-1)

        chosen = StickingTheLanding() if objective.kind == "elbo" else DoublyReparameterised()
        assert estimates(PAIR, chosen, objective, log_px, h).abs().max() < 1e-4
        assert estimates(PAIR, Pathwise(), objective, log_px, h).var(0).min() > 0.01

    def test_the_doubly_reparameterised_gradient_is_that_of_equation_8(self):
        """Of codes by a loop over draws with squared weights, of the decoder that of the bound itself."""
        objective, k, n = Iwae(4), 4, 3
        h = H.expand(n, -1).clone().requires_grad_()
        bias = torch.zeros(3, requires_grad=True)
        gradient = DoublyReparameterised()
        z, q = gradient.draw(PAIR.posterior(h), k, Noise(3), END)
        terms = Terms(squares_log_px(z) + (bias * z.sum(-1, keepdim=True)).sum(-1), z, q, PAIR.prior(n, h.device))
        cost = objective.cost(terms, END)
        found = torch.autograd.grad(gradient.surrogate(cost, terms, objective, END), [h, bias], retain_graph=True)

        weight = torch.softmax(-cost.detach(), 0)
        z, q = Pathwise().draw(PAIR.posterior(h), k, Noise(3), END)
        held = PAIR.posterior(h.detach())
        free = z.detach().requires_grad_()
        log_w = squares_log_px(free) + PAIR.prior(n, h.device).log_prob(free) - held.log_prob(free)
        (slope,) = torch.autograd.grad(log_w.sum(), free)
        by_draw = -sum(weight[i, :, None] ** 2 * slope[i] * z[i] for i in range(k)).sum() / n
        torch.testing.assert_close(found[0], torch.autograd.grad(by_draw, h)[0])
        by_hand = -(weight * z.detach().sum(-1)).sum() / n
        torch.testing.assert_close(found[1], by_hand.expand(3))

    def test_the_signal_of_squared_weights_does_not_drown_as_draws_grow(self):
        """That of the plain path does (Rainforth et al. 2018): the encoder's signal to noise, at 2 and at 32 draws."""

        def signal(gradient, k):
            rows = estimates(PAIR, gradient, Iwae(k), lambda z: -0.5 * (1 - z).square().sum(-1), 0.3 * H)
            return rows.mean(0).norm() / rows.var(0).sum().sqrt()

        plain, squared = ([signal(one, k) for k in (2, 32)] for one in (Pathwise(), DoublyReparameterised()))
        assert plain[1] < 0.7 * plain[0]
        assert squared[1] > 1.3 * squared[0]

    @pytest.mark.parametrize("kind", ["sticking-the-landing", "doubly-reparameterised"])
    def test_steps_without_gradients_are_the_same_steps(self, kind):
        """Figures of a model in training do not need a graph, and come out equal with and without one."""
        values = torch.rand(20, 4)
        spec = {"network": "mlp", "latent": "gaussian", "likelihood": "gaussian", "corruption": "none"}
        spec |= {"objective": {"kind": "iwae", "samples": 3}, "gradient": kind}
        if kind == "sticking-the-landing":
            spec["objective"] = "elbo"
        model = Model(Recipe.from_spec(spec), infer_schema(values.numpy())).train()
        with_graph = model.loss(values, Noise(0), END)[1].nats
        with torch.no_grad():
            assert torch.equal(model.loss(values, Noise(0), END)[1].nats, with_graph)
        with torch.inference_mode():
            assert torch.equal(model.loss(values, Noise(0), END)[1].nats, with_graph)


class TestRelaxed:
    @DISCRETE
    def test_hard_draws_are_those_of_the_distribution(self, latent):
        q = latent.posterior(Noise(1).normal((5, latent.n_params), rows=0).requires_grad_())
        drawn = sample(q, 7, Noise(2))
        hard, scoring = Relaxed(hard=True).draw(q, 7, Noise(2), END)
        torch.testing.assert_close(hard, drawn)
        assert hard.requires_grad
        assert scoring is q
        straight, _ = StraightThrough().draw(q, 7, Noise(2), END)
        torch.testing.assert_close(straight, drawn)

    @DISCRETE
    def test_relaxed_codes_come_to_the_hard_ones_as_the_temperature_falls(self, latent):
        q = latent.posterior(Noise(1).normal((50, latent.n_params), rows=0))
        drawn = sample(q, 7, Noise(2))
        apart = [
            (Relaxed(final=temperature).draw(q, 7, Noise(2), END)[0] - drawn).abs().mean()
            for temperature in (1.0, 0.1, 0.01)
        ]
        assert apart[0] > apart[1] > apart[2]
        assert apart[2] < 0.01

    def test_the_temperature_falls_by_equal_ratios(self):
        gradient = Relaxed(temperature=2.0, final=0.5)
        assert [gradient.at(at(progress)).item() for progress in (0.0, 0.25, 0.5, 1.0)] == pytest.approx(
            [2.0, 2**0.5, 1.0, 0.5]
        )

    @DISCRETE
    def test_the_path_is_that_of_finite_differences(self, latent):
        h = (0.5 * Noise(3).normal((2, latent.n_params), rows=0)).double().requires_grad_()
        temperature = torch.tensor(0.7, dtype=torch.float64)

        def path(h):
            q = latent.posterior(h)
            return relax(q, temperature, (3, *q.batch_shape, *q.event_shape), 1, Noise(4))[0]

        assert torch.autograd.gradcheck(path, h)

    @DISCRETE
    def test_log_q_is_linear_between_codes(self, latent):
        """So that where the divergence is sampled, the entropy still has a slope."""
        q = latent.posterior(Noise(1).normal((1, latent.n_params), rows=0))
        one, two = sample(q, 2, Noise(5))
        assert not torch.equal(one, two)
        middle = q.log_prob(0.3 * one + 0.7 * two)
        torch.testing.assert_close(middle, 0.3 * q.log_prob(one) + 0.7 * q.log_prob(two))

    def test_the_gradient_of_straight_through_is_that_of_the_mean(self):
        h = torch.tensor([[0.3, -2.0]], requires_grad=True)
        q = BITS.posterior(h)
        weight = torch.tensor([2.0, -3.0])
        drawn = StraightThrough().draw(q, 1, Noise(0), END)[0]
        (through,) = torch.autograd.grad((drawn * weight).sum(), h, retain_graph=True)
        (mean,) = torch.autograd.grad((q.mean * weight).sum(), h)
        torch.testing.assert_close(through, mean)

    def test_a_lower_temperature_has_less_bias_and_more_noise(self):
        """Of two temperatures, by 20,000 estimates each, against the score function's, which has no bias."""
        truth = estimates(BITS, Score(), Elbo(samples=8), bits_log_px).mean(0)
        rows = [estimates(BITS, Relaxed(final=one), Elbo(samples=2), bits_log_px) for one in (2.0, 0.2)]
        bias = [(one.mean(0) - truth).norm() for one in rows]
        assert bias[1] < 0.5 * bias[0]
        assert rows[1].var(0).sum() > 2 * rows[0].var(0).sum()

    def test_what_has_no_rule_and_temperatures_of_0_are_refused(self):
        with pytest.raises(TypeError, match="no rule to relax DiagonalNormal"):
            Relaxed().draw(PAIR.posterior(H[None]), 1, Noise(0), END)
        for wrong in ({"temperature": 0.0}, {"final": -1.0}):
            with pytest.raises(InputError, match=f"gradient.{next(iter(wrong))} was given as"):
                Relaxed(**wrong)


def test_draws():
    q = PAIR.posterior(torch.zeros(3, 4, requires_grad=True))
    path, scoring = Pathwise().draw(q, 5, Noise(0), END)
    assert path.shape == (5, 3, 2)
    assert path.requires_grad
    assert scoring is q
    assert not Score().draw(q, 5, Noise(0), END)[0].requires_grad
    for gradient in (Score(), StickingTheLanding(), DoublyReparameterised()):
        assert torch.equal(gradient.draw(q, 5, Noise(0), END)[0], path)


def test_what_does_not_go_together_is_refused_with_a_way_out():
    one, four, weighed = Elbo(), Elbo(samples=4), Iwae(4)
    assert "gradient=score" in Pathwise().refuses_pair(BITS, one)
    assert "latent=gaussian" in Score().refuses_pair(PlainCode(2), four)
    assert "objective.samples=4, or gradient.baseline=average" in Score().refuses_pair(BITS, one)
    assert "gradient=pathwise" in StraightThrough().refuses_pair(PAIR, one)
    assert "gradient=pathwise" in Relaxed().refuses_pair(PAIR, one)
    assert "gradient=score" in StickingTheLanding().refuses_pair(BITS, one)
    assert "gradient=pathwise" in StickingTheLanding().refuses_pair(PlainCode(2), one)
    assert "objective=iwae or gradient=sticking-the-landing" in DoublyReparameterised().refuses_pair(PAIR, one)
    assert "gradient=score" in DoublyReparameterised().refuses_pair(BITS, weighed)
    allowed = [(Pathwise(), PAIR, one), (Pathwise(), PlainCode(2), one), (Score(), PAIR, four), (Score(), BITS, four)]
    allowed += [(Score(name), BITS, one) for name in BASELINES if name != "leave-one-out"]
    allowed += [(StraightThrough(), BITS, one), (Relaxed(), SYMBOLS, one), (Relaxed(), BITS, weighed)]
    allowed += [(StickingTheLanding(), PAIR, one), (DoublyReparameterised(), PAIR, weighed)]
    assert all(gradient.refuses_pair(latent, objective) is None for gradient, latent, objective in allowed)


def test_what_is_biased_says_so():
    assert StickingTheLanding().bias(PAIR, Elbo()) is None
    assert StickingTheLanding().bias(PAIR, Iwae(1)) is None
    assert "0 on average" in StickingTheLanding().bias(PAIR, Iwae(2))
    assert "0 on average" in StickingTheLanding().bias(PAIR, Elbo(free_nats=1.0))
    assert "what other draws cost" in Score().bias(PAIR, Elbo(free_nats=1.0, samples=2, divergence="sampled"))
    assert all(gradient.bias(BITS, Elbo()) for gradient in (StraightThrough(), Relaxed(), Relaxed(hard=True)))
    assert all(gradient.bias(PAIR, Iwae(2)) is None for gradient in (Pathwise(), Score(), DoublyReparameterised()))
