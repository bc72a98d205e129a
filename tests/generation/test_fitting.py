"""Priors fitted after training: against scikit-learn and closed forms, and in a model and its file.

A statistical test states its level; seeds are fixed.
"""

import json

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.mixture import GaussianMixture

from narrows import load, read
from narrows.data.classes import class_name
from narrows.distributions import FullNormal
from narrows.errors import InputError
from narrows.evaluate import distortion_and_rate
from narrows.generation import fit_prior
from narrows.generation.densities import fit_parts, scale_of
from narrows.inference import codes, samples
from narrows.persist import save
from narrows.tensors import tensor_of

DIGITS = read("digits")
ROWS = tensor_of(DIGITS.values)


@pytest.fixture(autouse=True)
def short_flows(monkeypatch):
    monkeypatch.setattr("narrows.generation.densities.FLOW_STEPS", 60)
    monkeypatch.setattr("narrows.generation.densities.LOOK_EVERY", 20)


@pytest.fixture(scope="module")
def variational(models):
    return load(models / "digits.safetensors")


@pytest.fixture(scope="module")
def plain(models):
    return load(models / "point.safetensors")


def clusters(n, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0.0, 0.0], [8.0, 0.0, 0.0], [0.0, 80.0, 5.0]])
    return torch.from_numpy(centres[rng.integers(0, 3, n)] + rng.normal(size=(n, 3)) * [0.5, 1.0, 2.0])


class TestMixture:
    @pytest.mark.parametrize("full", [False, True])
    def test_density_is_that_of_scikit_learn(self, full):
        z = clusters(400)
        parts = fit_parts(z, z[:0], scale_of(z), full=full, components=3, seed=0)
        theirs = GaussianMixture(3, covariance_type="full" if full else "diag", reg_covar=1e-5, random_state=0)
        scale = scale_of(z)
        expected = theirs.fit((z / scale).numpy()).score((z / scale).numpy()) - float(scale.log().sum())
        assert parts.nats(z) == pytest.approx(expected, abs=1e-6)

    def test_held_out_codes_find_the_number_of_clusters(self):
        """Three clusters far apart: 4 parts (of 1, 2, 4, ...) or more, and hardly any more nats than three have."""
        z, fresh = clusters(1500), clusters(1500, seed=1)
        parts = fit_parts(z, fresh[:700], scale_of(z), full=False, components=0, seed=0)
        three = fit_parts(z, fresh[:0], scale_of(z), full=False, components=3, seed=0)
        assert len(parts.log_weights) >= 4
        assert parts.nats(fresh[700:]) == pytest.approx(three.nats(fresh[700:]), abs=0.05)

    def test_codes_that_depend_on_each_other_get_covariances(self, plain):
        """Each of four codes is the same number with a little noise: no diagonal part can say so."""
        record = fit_prior(plain, ROWS, components=4).fitted.record["prior"]
        assert record["full"]
        assert record["held_out"] == 143

    def test_a_code_that_never_moves_is_no_trouble(self):
        z = torch.cat([clusters(200), torch.zeros(200, 1, dtype=torch.float64)], 1)
        parts = fit_parts(z, z, scale_of(z), full=True, components=2, seed=0)
        assert np.isfinite(parts.nats(z))
        with pytest.raises(InputError, match="every code is the same"):
            scale_of(torch.ones(5, 2))


class TestInAModel:
    @pytest.mark.parametrize("kind", ["mixture", "flow", "aggregate"])
    def test_all_but_the_prior_stays(self, variational, kind):
        found = fit_prior(variational, ROWS, kind, components=0 if kind == "flow" else 20)
        assert torch.equal(codes(found.fitted.model, ROWS), codes(variational.model, ROWS))
        assert variational.model.recipe.latent.prior.kind == "standard"
        assert found.fitted.record["prior"]["kind"] == kind
        assert {**found.fitted.record, "prior": 0} == {**variational.record, "prior": 0}
        assert not torch.equal(samples(found.fitted.model, 5, 0), samples(variational.model, 5, 0))

    @pytest.mark.parametrize("kind", ["mixture", "flow"])
    def test_the_bound_gains_what_the_codes_gain(self, variational, kind):
        """On other rows: the rate falls by about the gain of the held-out log density, which is positive."""
        found = fit_prior(variational, ROWS, kind, components=8 if kind == "mixture" else 0)
        gain = found.held_out_nats - found.before_nats
        test = tensor_of(read("digits:test").values)
        before, after = (
            distortion_and_rate(model, test, 0)[1].mean() for model in (variational.model, found.fitted.model)
        )
        assert gain > 0
        assert float(before - after) == pytest.approx(gain, abs=0.3)

    def test_an_aggregate_is_the_mean_of_posteriors(self, variational):
        """With every row that was not held out in it, its density is that of the posteriors by hand."""
        found = fit_prior(variational, ROWS[:40], "aggregate")
        model = found.fitted.model
        assert model.latent.prior.components == 36
        q = variational.model.posterior(variational.model.batch(ROWS[:40], None).seen)
        order = torch.randperm(40, generator=torch.Generator().manual_seed(0))[4:]
        z = torch.randn(1, 7, 4, generator=torch.Generator().manual_seed(1))
        law = stats.norm(q.loc[order].detach().numpy()[:, None], q.scale[order].detach().numpy()[:, None])
        by_hand = np.log(np.exp(law.logpdf(z[0].numpy()).sum(-1)).mean(0))
        np.testing.assert_allclose(model.prior(7).log_prob(z)[0].detach(), by_hand, rtol=1e-3)

    def test_full_gaussian_codes_keep_their_covariances(self, models, tmp_path):
        from narrows.fit import fit
        from narrows.plan import Plan

        settings = ["network=mlp", "network.width=16", "latent=full-gaussian", "latent.size=3"]
        fitted = fit(DIGITS.values[:200], DIGITS.schema, "variational", settings, Plan(epochs=1))
        model = fit_prior(fitted, ROWS[:200], "aggregate", components=30).fitted.model
        assert isinstance(model.prior(1).parts, FullNormal)
        assert samples(model, 3, 0).shape == (3, 1, 8, 8)

    @pytest.mark.parametrize("kind", ["mixture", "flow"])
    def test_plain_codes_can_then_be_drawn_and_bound_nothing(self, plain, kind, tmp_path):
        with pytest.raises(InputError, match="fit-prior"):
            samples(plain.model, 3, 0)
        found = fit_prior(plain, ROWS, kind, components=8 if kind == "mixture" else 0)
        assert found.before_nats is None
        assert not found.fitted.model.latent.bounds
        save(found.fitted, tmp_path / "m.safetensors")
        again = load(tmp_path / "m.safetensors")
        assert again.record["prior"] == found.fitted.record["prior"]
        z = codes(again.model, ROWS)
        drawn = again.model.source(2000)
        with torch.no_grad():
            from narrows.noise import Noise
            from narrows.sampling import sample

            new = sample(drawn, 1, Noise(0))[0]
        # Means within 5 standard errors (level 1e-5 with four codes), deviations within a fifth.
        off = (new.mean(0) - z.mean(0)) / z.std(0)
        assert float(off.abs().max()) < 5 / 2000**0.5 + 5 / len(z) ** 0.5
        np.testing.assert_allclose(new.std(0), z.std(0), rtol=0.2)

    def test_equal_seeds_give_equal_priors(self, variational):
        one, two = (fit_prior(variational, ROWS[:300], "mixture", seed=3).fitted for _ in range(2))
        assert torch.equal(samples(one.model, 4, 0), samples(two.model, 4, 0))


@pytest.fixture(scope="module")
def by_class(variational):
    return fit_prior(variational, ROWS, labels=DIGITS.labels, components=4).fitted


class TestClasses:
    def test_codes_of_a_class_are_drawn(self, by_class, variational):
        """Means of 500 draws within 0.25 deviations of the class's own (standard errors: 0.045 and about 0.09)."""
        from narrows.noise import Noise
        from narrows.sampling import sample

        for digit in (0, 6):
            own = codes(variational.model, ROWS[torch.from_numpy(DIGITS.labels == digit)])
            with torch.no_grad():
                new = sample(by_class.model.source(500, str(digit)), 1, Noise(0))[0]
            assert float(((new.mean(0) - own.mean(0)) / new.std(0)).abs().max()) < 0.35

    def test_weights_are_the_shares_of_the_classes(self, by_class):
        prior = by_class.model.latent.prior
        shares = torch.zeros(10).scatter_add_(0, prior.owners, prior.log_weights.detach().exp())
        expected = np.bincount(DIGITS.labels) / len(DIGITS)
        np.testing.assert_allclose(shares, expected, atol=0.02)

    def test_files_keep_them(self, by_class, tmp_path):
        save(by_class, tmp_path / "m.safetensors")
        again = load(tmp_path / "m.safetensors").model
        assert torch.equal(samples(again, 4, 0, label="3"), samples(by_class.model, 4, 0, label="3"))
        assert not torch.equal(samples(again, 4, 0, label="3"), samples(again, 4, 0, label="4"))

    def test_an_aggregate_has_them_too(self, variational):
        model = fit_prior(variational, ROWS, "aggregate", labels=DIGITS.labels).fitted.model
        assert samples(model, 2, 0, label="9").shape == (2, 1, 8, 8)

    def test_names_are_as_a_person_writes_them(self):
        given = [7, 7.0, np.float32(7.5), "shoe", float("nan")]
        assert [class_name(value) for value in np.array(given[:1] * 2).tolist()] == ["7", "7"]
        assert [class_name(value) for value in given] == ["7", "7", "7.5", "shoe", ""]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"kind": "gaussian"}, "unknown prior 'gaussian'"),
        ({"components": -1}, "components was given as -1"),
        ({"rows": 5}, "rows was given as 5; it must be at least 10"),
        ({"kind": "aggregate", "components": 3, "labels": DIGITS.labels}, "none of the 3 rows taken is of class"),
        ({"kind": "flow", "labels": DIGITS.labels}, "prior flow knows no classes"),
        ({"labels": np.where(np.arange(1437) < 3, np.nan, DIGITS.labels)}, "3 of 1437 rows have no label"),
        ({"labels": np.where(np.arange(1437) < 3, "", "a")}, "3 of 1437 rows have no label"),
        ({"labels": np.where(np.arange(1437) < 3, "b", "a")}, "class 'b' has 3 of 1437 rows"),
    ],
)
def test_refused(variational, settings, says):
    rows = ROWS[: settings.pop("rows", None)]
    with pytest.raises(InputError, match=says):
        fit_prior(variational, rows, **settings)


@pytest.mark.parametrize("latent", ["top-k", "bernoulli", "ladder", "vq", "l1"])
def test_other_codes_are_refused_with_a_way_out(latent):
    from narrows.model import Model
    from narrows.persist import Fitted
    from narrows.presets import choose

    model = Model(choose("autoencoder", DIGITS.schema, [f"latent={latent}", "network.width=8"]), DIGITS.schema)
    with pytest.raises(InputError, match="train preset variational"):
        fit_prior(Fitted(model, "autoencoder"), ROWS)


def test_no_training_moves_a_density_or_sees_classes():
    from narrows.fit import fit
    from narrows.plan import Plan

    for preset, setting in (("autoencoder", "latent.density=mixture"), ("variational", "latent.prior=mixture")):
        settings = [setting, "network.width=8"]
        settings += ["latent.prior.classes=a,b"] if preset == "variational" else []
        with pytest.raises(InputError, match="fit-prior"):
            fit(DIGITS.values[:50], DIGITS.schema, preset, settings, Plan(epochs=1))


def test_an_aggregate_of_plain_codes_is_refused(plain):
    with pytest.raises(InputError, match="nothing but training rows; take mixture or flow"):
        fit_prior(plain, ROWS, "aggregate")


def test_the_verb(models, here, done):
    line = ["fit-prior", models / "digits.safetensors", "digits", "-o", "m.safetensors", "--by-label"]
    line += ["--components", 2, "--json"]
    told = json.loads(done(*line))
    assert (told["rows"], told["held_out"], told["classes"]) == (1437, 143, 10)
    assert told["held_out_nats"] > told["before_nats"]
    done("generate", "m.safetensors", "-o", "seven.npy", "-n", 3, "--label", 7, "--temperature", 0.5)
    assert np.load(here / "seven.npy").shape == (3, 8, 8)
    measured = [
        json.loads(done("evaluate", model, "digits:test", "--json"))["elbo_nats"]
        for model in (models / "digits.safetensors", "m.safetensors")
    ]
    assert measured[1] > measured[0]
