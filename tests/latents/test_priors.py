"""Priors of gaussian codes: densities against oracles, draws against densities, and what becomes of them in a model.

A statistical test has level 1e-4, with fixed seeds.
"""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from narrows.compression.told import check_codes
from narrows.data.specimens import examples
from narrows.distributions import DiagonalNormal, FullNormal, StandardNormal, divergence
from narrows.distributions import Mixture as MixtureOf
from narrows.errors import InputError
from narrows.inference import bounds, samples
from narrows.latents import Flow, FullGaussian, Gaussian, Mixture, Vamp
from narrows.model import Model, Recipe
from narrows.noise import Noise
from narrows.objectives import Elbo
from narrows.parts import kinds, make
from narrows.persist import Fitted, load, save
from narrows.presets import choose
from narrows.sampling import sample
from narrows.values import Clock, Terms

CPU = torch.device("cpu")
LEARNED = ("mixture", "vamp", "flow")
BITS, IMAGES, TABLE = examples()[0], examples()[5], examples()[8]


def built(latent, spread=0.7):
    """A latent in float64 with weights that are not those it begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        latent.build((3,))
    for parameter in latent.double().parameters():
        parameter.data += spread * Noise(4).normal(parameter.shape, rows=0).double()
    return latent.requires_grad_(False)


def model_with(prior, latent="gaussian", example=BITS, **choices):
    settings = {"latent": latent, "latent.size": 4, "latent.prior": prior, **choices}
    model = Model(choose("variational", example.schema, settings), example.schema)
    model.adapt(example.values)
    model.start(lambda: example.values)
    return model


def _specs(settings):
    objective = {"kind": settings["objective"], "samples": settings["objective.samples"]}
    return {"objective": objective, "gradient": settings["gradient"]}


def codes(k, n, d):
    return 2 * Noise(7).normal((k, n, d), rows=1).double()


class TestMixture:
    def test_density_and_moments_are_those_of_torch(self):
        latent = built(Gaussian(3, Mixture(5)))
        prior, z = latent.prior(4, CPU), codes(6, 4, 3)
        parts = Independent(Normal(prior.parts.mean, prior.parts.scale), 1)
        theirs = MixtureSameFamily(Categorical(logits=latent.prior.log_weights), parts)
        torch.testing.assert_close(prior.log_prob(z), theirs.log_prob(z))
        torch.testing.assert_close(prior.mean, theirs.mean.expand(4, 3))
        torch.testing.assert_close(prior.variance, theirs.variance.expand(4, 3))

    def test_many_codes_are_taken_in_turn_with_the_same_result(self, monkeypatch):
        prior, z = built(Gaussian(3, Mixture(5))).prior(4, CPU), codes(6, 4, 3)
        at_once = prior.log_prob(z)
        monkeypatch.setattr("narrows.distributions.mixtures.NUMBERS_AT_ONCE", 50)
        torch.testing.assert_close(prior.log_prob(z), at_once)

    def test_draws_follow_the_density(self):
        """Each number's cumulative probability at its draws is uniform, by Kolmogorov and Smirnov."""
        latent = built(Gaussian(2, Mixture(4)))
        prior = latent.prior(1, CPU)
        weights, mean, scale = prior.log_weights.exp(), prior.parts.mean, prior.parts.scale
        drawn = sample(prior, 5000, Noise(0))[:, 0]
        assert drawn.dtype == torch.float64
        for unit in range(2):
            level = (weights * Normal(mean[:, unit], scale[:, unit]).cdf(drawn[:, unit, None])).sum(1)
            assert stats.kstest(level.numpy(), "uniform").pvalue > 1e-4

    def test_of_one_part_at_the_standard_normal_it_is_that(self):
        latent = Gaussian(3, Mixture(1))
        latent.build((3,))
        latent.prior.means.data.zero_()
        z = codes(6, 4, 3).float()
        torch.testing.assert_close(
            latent.prior(4, CPU).log_prob(z), StandardNormal(4, 3).log_prob(z), rtol=1e-3, atol=1e-3
        )

    @pytest.mark.parametrize("full", [False, True])
    def test_takes_a_mixture_that_was_fitted_elsewhere(self, full):
        """Its density is that of torch, whole and class by class."""
        means, weights = codes(1, 5, 3)[0], torch.arange(1.0, 6.0).double()
        factors = torch.linalg.cholesky(torch.stack([torch.eye(3) * (2 + i) + 0.5 for i in range(5)])).double()
        parts = FullNormal(means, factors) if full else DiagonalNormal(means, factors.diagonal(dim1=1, dim2=2))
        latent = built(Gaussian(3, Mixture(5, full, ("a", "b"))))
        latent.prior.take(weights.log(), parts, torch.tensor([0, 1, 1, 0, 1]))
        covariances = (factors @ factors.mT).inverse() if full else parts.variance.diag_embed()
        z, theirs = codes(6, 4, 3), MultivariateNormal(means, covariances)
        for law, chosen in ((latent.prior(4, CPU), [0, 1, 2, 3, 4]), (latent.prior.of_class("b", 4), [1, 2, 4])):
            shares = (weights / weights[chosen].sum()).log()[chosen]
            expected = (theirs.log_prob(z[..., None, :])[..., chosen] + shares).logsumexp(-1)
            torch.testing.assert_close(law.log_prob(z), expected)
        with pytest.raises(InputError, match="unknown label 'c'; allowed: a, b"):
            latent.prior.of_class("c", 1)

    def test_of_full_parts_it_learns_with_the_rest(self):
        model = model_with({"kind": "mixture", "components": 3, "full": True})
        model.train().loss(BITS.values, Noise(0), Clock())[0].backward()
        assert all(bool(weight.grad.any()) for weight in model.latent.prior.parameters())

    def test_the_divergence_of_one_part_comes_to_its_closed_form(self):
        """Mean of 20,000 draws' shares, within 4 standard errors."""
        latent = built(Gaussian(2, Mixture(1)))
        q, p = latent.posterior(codes(1, 1, 4)[0]), latent.prior(1, CPU)
        assert divergence(q, p) is None
        z = sample(q, 20_000, Noise(1))
        share = Terms(torch.zeros(20_000, 1), z, q, p).kl[:, 0]
        exact = divergence(Normal(q.mean, q.stddev), Normal(p.mean, p.variance.sqrt())).sum()
        assert abs(share.mean() - exact) < 4 * share.std() / 20_000**0.5


class TestVamp:
    @pytest.mark.parametrize("latent", ["gaussian", "full-gaussian"])
    def test_is_the_mean_posterior_of_its_pseudo_inputs(self, latent):
        model = model_with({"kind": "vamp", "components": 5}, latent).double()
        z = codes(6, 12, 4)
        q = model.posterior(model.latent.prior.pseudo_inputs)
        covariance = q.scale.square().diag_embed() if latent == "gaussian" else (q.factor @ q.factor.mT).inverse()
        parts = MultivariateNormal(q.mean, covariance)
        expected = parts.log_prob(z[..., None, :]).logsumexp(-1) - np.log(5)
        torch.testing.assert_close(model.prior(12).log_prob(z), expected)

    def test_begins_at_training_rows_spread_over_the_set(self):
        model = model_with({"kind": "vamp", "components": 4})
        rows = model.transform(BITS.values).x
        seen = model.batch(BITS.values, Noise(0)).seen
        assert len(rows) == 12
        nearest = torch.cdist(model.latent.prior.pseudo_inputs, seen).argmin(1)
        assert torch.equal(seen[nearest], seen[[0, 3, 6, 9]])

    @pytest.mark.parametrize(("prior", "times"), [("standard", 0), ("mixture", 0), ("vamp", 1)])
    def test_only_a_prior_that_begins_at_rows_has_them_made(self, prior, times):
        asked = []
        model = Model(choose("variational", BITS.schema, {"latent.prior": prior}), BITS.schema)
        model.adapt(BITS.values)
        model.start(lambda: asked.append(prior) or BITS.values)
        assert len(asked) == times

    def test_more_pseudo_inputs_than_rows_differ_from_each_other(self):
        pseudo = model_with({"kind": "vamp", "components": 30}).latent.prior.pseudo_inputs
        assert len(pseudo.unique(dim=0)) == 30

    def test_without_an_encoder_there_is_none(self):
        with pytest.raises(TypeError, match=r"Model\.prior"):
            built(Gaussian(2, Vamp())).prior(3, CPU)

    def test_draws_of_full_codes_have_the_moments_of_the_mixture(self):
        """Means of 20,000 draws within 5 standard errors."""
        parts = FullGaussian(2).posterior(codes(1, 3, 5)[0])
        prior = MixtureOf(torch.tensor([0.0, 1.0, -1.0]).double(), parts, 1)
        drawn = sample(prior, 20_000, Noise(2))[:, 0]
        assert ((drawn.mean(0) - prior.mean[0]).abs() < 5 * (prior.variance[0] / 20_000).sqrt()).all()
        torch.testing.assert_close(drawn.var(0), prior.variance[0], rtol=0.1, atol=0)


class TestFlow:
    def test_begins_as_the_standard_normal(self):
        latent, z = Gaussian(5, Flow()), codes(6, 4, 5).float()
        latent.build((3,))
        torch.testing.assert_close(latent.prior(4, CPU).log_prob(z), StandardNormal(4, 5).log_prob(z))

    @pytest.mark.parametrize("size", [2, 5])
    def test_density_is_the_change_of_variables_by_automatic_differentiation(self, size):
        prior, z = built(Gaussian(size, Flow(width=8))).prior(1, CPU), codes(4, 1, size)

        def to_noise(code):
            for layer in prior.layers:
                code, _ = layer(code)
            return code

        for code, found in zip(z[:, 0], prior.log_prob(z)[:, 0], strict=True):
            volume = torch.autograd.functional.jacobian(to_noise, code).slogdet().logabsdet
            torch.testing.assert_close(found, Normal(0.0, 1.0).log_prob(to_noise(code)).sum() + volume)

    def test_draws_are_the_inverse(self):
        prior, noise = built(Gaussian(5, Flow(width=8))).prior(4, CPU), codes(6, 4, 5)
        back = prior.placed(noise)
        for layer in prior.layers:
            back, _ = layer(back)
        torch.testing.assert_close(back, noise)

    def test_density_integrates_to_one(self):
        """Over a grid of step 0.05 that reaches far beyond the mass."""
        prior = built(Gaussian(2, Flow(layers=2, width=8)), 0.2).prior(1, CPU)
        line = torch.arange(-30, 30, 0.05).double()
        grid = torch.cartesian_prod(line, line)[:, None]
        assert (prior.log_prob(grid).exp().sum() * 0.05**2).item() == pytest.approx(1, abs=1e-3)

    def test_codes_far_away_are_brought_near_first(self):
        """With t and s set, it is N(t, e^2s) until its couplings bend it."""
        latent = Gaussian(2, Flow())
        latent.build((3,))
        latent.double().prior.placed.shift.data += torch.tensor([100.0, -3.0])
        latent.prior.placed.log_scale.data += torch.tensor([2.0, -1.0])
        z = codes(3, 4, 2) + 90
        expected = Independent(Normal(torch.tensor([100.0, -3.0]), torch.tensor([2.0, -1.0]).exp()), 1).log_prob(z)
        torch.testing.assert_close(latent.prior(4, CPU).log_prob(z), expected)

    def test_a_code_of_one_number_is_refused(self):
        with pytest.raises(InputError, match=r"latent\.prior=mixture"):
            model_with("flow", **{"latent.size": 1})


@pytest.mark.parametrize("prior", LEARNED)
class TestInAModel:
    def test_files_keep_it_and_draws_come_back(self, prior, tmp_path):
        model = model_with(prior).eval()
        for parameter in model.latent.parameters():
            parameter.data += 0.3 * Noise(5).normal(parameter.shape, rows=0)
        save(Fitted(model, "variational"), tmp_path / "m.safetensors")
        back = load(tmp_path / "m.safetensors").model
        assert back.recipe.spec()["latent"]["prior"]["kind"] == prior
        assert torch.equal(bounds(back, BITS.values), bounds(model, BITS.values))
        assert torch.equal(samples(back, 5, seed=3, draw=True), samples(model, 5, seed=3, draw=True))
        assert not torch.equal(samples(model, 5, seed=3), samples(model_with("standard").eval(), 5, seed=3))

    @pytest.mark.parametrize("example", [IMAGES, TABLE], ids=lambda example: example.name)
    def test_its_weights_learn_with_the_rest(self, prior, example):
        model = model_with(prior, example=example).train()
        model.loss(example.values, Noise(0), Clock())[0].backward()
        moved = [
            name for name, weight in model.latent.named_parameters() if weight.grad is None or not weight.grad.any()
        ]
        assert all(name.endswith(("0.weight", "0.bias")) for name in moved)  # behind the zeros a flow begins with

    @pytest.mark.parametrize("objective", kinds("objective"))
    def test_every_objective_and_estimator_takes_it_or_says_what_to_take(self, prior, objective):
        trained = []
        for gradient in kinds("gradient"):
            settings = {"objective": objective, "objective.samples": 2, "gradient": gradient}
            recipe = Recipe.from_spec({**model_with(prior).recipe.spec(), **_specs(settings)})
            refusals = list(recipe.refusals(BITS.schema))
            assert all("take " in sentence for sentence in refusals)
            if not refusals:
                model = model_with(prior, **settings).train()
                surrogate, scores = model.loss(BITS.values, Noise(0), Clock())
                surrogate.backward()
                assert scores.nats.isfinite().all()
                trained.append(gradient)
        assert {"pathwise", "score"} <= set(trained) or objective == "total-correlation"

    def test_rows_that_share_their_noise_share_their_draws(self, prior):
        drawn = sample(model_with(prior).prior(6), 3, Noise(0, shared=True))
        assert torch.equal(drawn, drawn[:, :1].expand_as(drawn))
        assert not torch.equal(drawn[0], drawn[1])

    def test_bits_back_refuses_it(self, prior):
        with pytest.raises(InputError, match=r"latent\.prior=standard"):
            check_codes(model_with(prior).latent)
        check_codes(Gaussian(2))

    def test_where_what_is_seen_gives_the_prior_it_is_refused(self, prior):
        hidden = {"corruption": "mask", "corruption.hidden_only": True}
        with pytest.raises(InputError, match=r"latent\.prior=standard"):
            model_with(prior, example=TABLE, **hidden)
        model_with("standard", example=TABLE, **hidden)

    def test_a_sampled_divergence_is_that_which_the_elbo_charges(self, prior):
        model = model_with(prior).eval()
        terms = model.terms(model.batch(BITS.values, Noise(0)), 3, Noise(1))
        log_p = model.prior(12).log_prob(terms.z)
        torch.testing.assert_close(Elbo().cost(terms, Clock.at_end()), terms.log_q - log_p - terms.log_px)


def test_a_prior_belongs_to_one_latent():
    """The default is no object that all latents share, and copies have one of their own."""
    one, two = Gaussian(3), Gaussian(5)
    assert one.prior(1, CPU).event_shape != two.prior(1, CPU).event_shape
    copy = one.fresh()
    assert copy.prior is not one.prior
    assert all(make("prior", prior).fresh().spec() == make("prior", prior).spec() for prior in kinds("prior"))


def test_one_code_is_every_priors_size():
    for (kind, latent), size in itertools.product(itertools.product(LEARNED, ("gaussian", "full-gaussian")), (2, 7)):
        model = model_with(kind, latent, **{"latent.size": size})
        assert sample(model.prior(3), 2, Noise(0)).shape == (2, 3, size)
