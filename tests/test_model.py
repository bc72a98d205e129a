"""One model from six parts: figures by hand, a gradient in every term, seeds, and parts left as they were given."""

import math

import pytest
import torch

from narrows.data.schema import Schema
from narrows.distributions import divergence
from narrows.errors import InputError
from narrows.model import Model, Recipe, parameters_in
from narrows.noise import Noise
from narrows.parts import Part
from narrows.values import Clock, Terms, table

BASE = {
    "network": {"kind": "mlp", "width": 16},
    "latent": {"kind": "gaussian", "size": 4},
    "likelihood": "gaussian",
    "corruption": "none",
    "objective": "elbo",
    "gradient": "pathwise",
}
REALS = Schema((6,), -4.0, 4.0)
END = Clock.at_end()


def rows(n=32, schema=REALS, seed=0):
    uniform = Noise(seed).uniform((n, *schema.shape), rows=0)
    if schema.step:
        return (uniform * (255 if schema.high > 1 else 2)).to(torch.uint8)
    return 4 * uniform**2


def model_of(schema=REALS, *, binarize="none", seed=0, values=None, **choices):
    model = Model(Recipe.from_spec(BASE | choices), schema, binarize=binarize, seed=seed)
    model.adapt(rows(schema=schema) if values is None else values)
    return model


class TestFigures:
    @pytest.mark.parametrize("objective", [{"kind": "elbo", "beta": 3.0, "samples": 2}, {"kind": "iwae", "samples": 3}])
    @pytest.mark.parametrize("gradient", ["pathwise", "score"])
    def test_the_figure_reported_is_the_bound_and_not_the_surrogate(self, objective, gradient):
        model = model_of(objective=objective, gradient=gradient)
        surrogate, scores = model.loss(rows(), Noise(1), END)
        nats, distortion, rate = table([scores]).mean(1)
        k = objective["samples"]
        with torch.no_grad():
            batch = model.batch(rows(), Noise(0))
            q, prior = model.posterior(batch.seen), model.latent.prior(32, model.device)
            z = q.mean + q.stddev * Noise(1).normal((k, 32, 4), rows=1)
            log_px = model.decode(z).log_prob(batch.x)
            kl = divergence(q, prior)
            log_weight = log_px + prior.log_prob(z) - q.log_prob(z)
        bound = log_weight.exp().mean(0).log().mean() if objective["kind"] == "iwae" else (log_px - 3 * kl).mean()
        torch.testing.assert_close(nats, -bound, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(distortion, -log_px.mean(), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(rate, kl.mean(), rtol=1e-4, atol=1e-4)
        assert gradient == "pathwise" or abs(surrogate - nats) > 0.1

    def test_figures_stand_at_the_end_of_every_schedule(self):
        """So that training and validation are on one scale, whenever they are taken."""
        start = Clock()
        model = model_of(objective={"kind": "elbo", "warm_up": 0.5})
        (early, first), (late, second) = (model.loss(rows(), Noise(1), clock) for clock in (start, END))
        figures, at_end = (table([scores]).mean(1) for scores in (first, second))
        assert early < late
        assert torch.equal(figures, at_end)
        torch.testing.assert_close(figures[0], figures[1] + figures[2])

    @pytest.mark.parametrize("columns", [6, 12])
    def test_nats_sum_over_the_data_s_dimensions(self, columns):
        """A decoder that knows nothing pays ln 2 for every bit: a mean over pixels would pay the same for 6 and 12."""
        schema = Schema((columns,), 0.0, 1.0, 1.0)
        model = model_of(schema, likelihood="bernoulli", objective={"kind": "elbo", "beta": 0.0})
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        nats, distortion, rate = table([model.loss(rows(schema=schema), Noise(1), END)[1]]).mean(1)
        assert distortion.item() == pytest.approx(columns * math.log(2), rel=1e-6)
        assert nats.item() == pytest.approx(columns * math.log(2), rel=1e-6)
        assert rate.item() == pytest.approx(0, abs=1e-6)

    def test_a_mean_over_examples_does_not_depend_on_their_number(self):
        model = model_of(latent={"kind": "point", "size": 4})
        once, twice = (
            table([model.loss(values, Noise(0), END)[1]]).mean(1) for values in (rows(), rows().repeat(2, 1))
        )
        torch.testing.assert_close(once, twice)

    def test_a_deterministic_code_has_no_rate(self):
        model = model_of(latent={"kind": "point", "size": 4})
        nats, distortion, rate = table([model.loss(rows(), Noise(0), END)[1]]).mean(1)
        assert rate == 0
        assert nats == distortion


class TestGradients:
    """Each term moves what it should. A released package clamped its KL so that it moved nothing."""

    @staticmethod
    def terms_of(model):
        return model.terms(model.batch(rows(), Noise(0)), 1, Noise(1))

    @staticmethod
    def moved(model, figure):
        """Names of the parameters that a figure moves."""
        names, parameters = zip(*model.named_parameters(), strict=True)
        gradients = torch.autograd.grad(figure, parameters, allow_unused=True, retain_graph=True)
        return {
            name for name, gradient in zip(names, gradients, strict=True) if gradient is not None and gradient.any()
        }

    def test_the_distortion_moves_everything_and_the_rate_moves_the_encoder(self):
        model = model_of()
        terms = self.terms_of(model)
        everything = {name for name, _ in model.named_parameters()}
        assert self.moved(model, -terms.log_px.mean()) == everything
        assert self.moved(model, terms.kl.mean()) == {name for name in everything if "encoder" in name}

    @pytest.mark.parametrize("kind", ["gaussian", "bernoulli", "categorical", "l1", "kl-sparse", "vq"])
    def test_every_price_moves_the_encoder(self, kind):
        latent = {"kind": kind, "size": 4} if kind not in ("categorical", "vq") else {"kind": kind}
        gradient = "straight-through" if kind in ("bernoulli", "categorical") else "pathwise"
        model = model_of(latent=latent, gradient=gradient).train()
        moved = self.moved(model, self.terms_of(model).kl.mean())
        assert {name for name, _ in model.named_parameters() if "encoder" in name} <= moved
        assert kind != "vq" or "latent.codebook" in moved

    @pytest.mark.parametrize("objective", [{"kind": "elbo"}, {"kind": "elbo", "warm_up": 0.5}, {"kind": "iwae"}])
    def test_the_surrogate_moves_everything(self, objective):
        model = model_of(objective=objective)
        surrogate, scores = model.loss(rows(), Noise(1), END)
        assert self.moved(model, surrogate) == {name for name, _ in model.named_parameters()}
        assert not table([scores]).requires_grad

    def test_at_the_start_of_the_warm_up_the_rate_is_free(self):
        model = model_of(objective={"kind": "elbo", "warm_up": 0.5})
        surrogate, _ = model.loss(rows(), Noise(1), Clock())
        terms = self.terms_of(model)
        expected = torch.autograd.grad(-terms.log_px.mean(), list(model.parameters()))
        torch.testing.assert_close(torch.autograd.grad(surrogate, list(model.parameters())), expected)


class TestBuilding:
    def test_the_parts_given_are_left_alone(self):
        recipe = Recipe.from_spec(BASE)
        model = Model(recipe, REALS)
        assert not list(recipe.network.parameters())
        assert not list(recipe.likelihood.parameters())
        assert model.recipe.network is not recipe.network
        assert model.recipe.spec() == recipe.spec()
        assert Model(model.recipe, REALS).network is not model.network

    def test_equal_seeds_give_equal_weights_and_torch_s_own_stream_is_untouched(self):
        torch.manual_seed(5)
        before = torch.get_rng_state()
        one, two, other = (model_of(seed=seed).state_dict() for seed in (3, 3, 4))
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())
        assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())

    def test_parameters_are_counted(self):
        linear = model_of(network={"kind": "mlp", "depth": 0}, latent={"kind": "point", "size": 2})
        assert parameters_in(linear) == (6 * 2 + 2) + (2 * 6 + 6) + 1

    def test_all_recipes_are_six_parts_in_the_order_of_the_axes(self):
        parts = Recipe.from_spec(BASE).parts()
        assert list(parts) == list(BASE)
        assert all(isinstance(part, Part) and part.axis == axis for axis, part in parts.items())

    @pytest.mark.parametrize(
        ("choices", "message"),
        [
            ({"network": "conv"}, "take network=mlp"),
            ({"likelihood": "bernoulli"}, "likelihood bernoulli"),
            ({"likelihood": "logistic"}, "likelihood=gaussian"),
            ({"latent": "bernoulli"}, "gradient=score"),
            ({"latent": "point", "objective": "iwae"}, "latent=gaussian"),
            ({"gradient": "score"}, "objective.samples=4"),
        ],
    )
    def test_parts_that_do_not_go_together_are_refused(self, choices, message):
        with pytest.raises(InputError, match=message):
            model_of(**choices)

    def test_a_model_without_random_draws_is_the_same_in_every_call(self):
        model = model_of().eval()
        seen = model.batch(rows(), Noise(0)).seen
        assert torch.equal(model.posterior(seen).mean, model.posterior(seen).mean)


class TestPrecision:
    def test_bfloat16_products_are_for_training_alone(self):
        model = model_of()
        exact = model.eval().posterior(model.batch(rows(), Noise(0)).seen).mean
        model.matrix_dtype = torch.bfloat16
        assert torch.equal(model.eval().posterior(model.batch(rows(), Noise(0)).seen).mean, exact)
        rough = model.train().posterior(model.batch(rows(), Noise(0)).seen).mean
        assert rough.dtype == torch.float32
        assert not torch.equal(rough, exact)
        torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.05)


class TestBinarising:
    GREY = Schema((6,), 0.0, 255.0, 1.0)

    def test_a_threshold_makes_grey_values_binary(self):
        model = model_of(self.GREY, binarize="threshold", likelihood="bernoulli")
        values = rows(schema=self.GREY)
        assert torch.equal(model.batch(values, Noise(0)).x, (values > 127).float())
        assert model.schema.levels == 256

    def test_grey_values_themselves_are_refused(self):
        with pytest.raises(InputError, match="--binarize"):
            model_of(self.GREY, likelihood="bernoulli")

    def test_draws_have_the_grey_value_as_their_mean(self):
        """Within 4.5 standard errors: 7e-6 for each of six columns."""
        model = model_of(self.GREY, binarize="draw", likelihood="bernoulli")
        grey = torch.tensor([0, 1, 51, 128, 254, 255], dtype=torch.uint8)
        x = model.batch(grey.expand(20_000, 6), Noise(3)).x
        share = grey.float() / 255
        assert set(x.unique().tolist()) == {0.0, 1.0}
        assert ((x.mean(0) - share).abs() <= 4.5 * (share * (1 - share) / 20_000).sqrt() + 1e-9).all()

    def test_a_likelihood_of_reals_gets_binary_values_too(self):
        """`modelled` says that the data are binary, so what the likelihood scores must be."""
        model = model_of(self.GREY, binarize="threshold")
        values = rows(schema=self.GREY)
        binary = model.transform.comparable(model.batch(values, Noise(0)).x)
        torch.testing.assert_close(binary, (values > 127).float(), atol=1e-5, rtol=0)


def test_terms_are_kept_once_they_are_known():
    model = model_of()
    terms = model.terms(model.batch(rows(), Noise(0)), 2, Noise(1))
    assert isinstance(terms, Terms)
    assert terms.kl is terms.kl
    assert terms.log_q is terms.log_q
    assert terms.kl.shape == (1, 32)
    assert terms.log_ratio.shape == (2, 32)
