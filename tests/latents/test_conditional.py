"""Codes with a class: densities by hand, a gaussian mixture of which all is known, files, labels that do not serve."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, rel_entr
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from torch.distributions import OneHotCategorical

from narrows import Autoencoder, read
from narrows.data.batches import Batches
from narrows.data.schema import Schema, infer_schema
from narrows.data.specimens import examples
from narrows.distributions import DiagonalNormal, Point, divergence, unscaled
from narrows.errors import InputError
from narrows.evaluate.annealing import annealed
from narrows.fit import fit
from narrows.inference import bounds, codes, reconstructed, samples
from narrows.latents import Conditional
from narrows.model import Model
from narrows.noise import Noise
from narrows.objectives import Elbo
from narrows.parts import make
from narrows.persist import load, save
from narrows.plan import Plan
from narrows.presets import choose
from narrows.sampling import sample
from narrows.values import Clock, Labelled, Terms

CPU = torch.device("cpu")
END = Clock.at_end()
SCHEMA = Schema((6,), -10.0, 10.0)
LABELS = ("a", "b", "c")
SHARES = (0.5, 0.3, 0.2)
CELLS, CODE, SIGMA = 6, 2, 0.4


def built(size=5):
    """Codes in float64 with weights that are not those they begin with, of classes in known shares."""
    latent = Conditional(size, LABELS)
    latent.build((3,))
    latent.double().weigh(torch.arange(3).repeat_interleave(torch.tensor([5, 3, 2])))
    latent.shifts.data += 0.5 * Noise(4).normal(latent.shifts.shape, rows=0).double()
    return latent.requires_grad_(False)


def numbers(n, size=5):
    return Noise(3).normal((n, len(LABELS) + 2 * (size - len(LABELS))), rows=0).double()


def known(latent, h, condition):
    return latent.known(latent.posterior(h), latent.prior(len(h), CPU), condition)


class TestDensities:
    def test_those_of_the_class_and_of_all_else_given_it(self):
        latent, h = built(), numbers(4)
        q, z = latent.posterior(h), sample(latent.posterior(h), 6, Noise(0))
        y, others = z.split([3, 2], -1)
        assert (y.sum(-1) == 1).all()
        assert ((y == 0) | (y == 1)).all()
        mean, spread = (h[:, 3:] + y @ latent.shifts).chunk(2, -1)
        law = DiagonalNormal.of(torch.cat([mean, spread], -1))
        logits = (h[:, :3].log_softmax(-1) * y).sum(-1)
        torch.testing.assert_close(q.log_prob(z), logits + law.log_prob(others))
        normal = -0.5 * others.square().sum(-1) - math.log(2 * math.pi)
        prior = (torch.tensor(SHARES).double().log() * y).sum(-1) + normal
        torch.testing.assert_close(latent.prior(4, CPU).log_prob(z), prior)

    def test_in_use_the_divergence_is_that_of_the_class_and_of_all_else(self):
        """The mean over 20,000 draws of either share is within 4 standard errors of the sum over classes."""
        latent, h = built(), numbers(1)
        q, p = latent.posterior(h), latent.prior(1, CPU)
        terms = Terms(torch.zeros(20_000, 1), sample(q, 20_000, Noise(1)), q, p)
        weights = h[0, :3].softmax(-1).numpy()
        given = divergence(q.below[0](torch.eye(3).double()[:, None]), p.below[0](torch.eye(3).double()[:, None]))
        exact = rel_entr(weights, SHARES).sum() + weights @ given[:, 0].numpy()
        for shares in (terms.kl[:, 0], terms.log_ratio[:, 0]):
            assert abs(shares.mean() - exact) < 4 * shares.std() / math.sqrt(20_000)
        assert terms.kl.var() < terms.log_ratio.var()

    def test_where_the_class_is_known_its_part_is_what_the_encoder_lacks_to_tell_it(self):
        latent, h, condition = built(), numbers(4), torch.tensor([0, 2, 1, 2])
        q, p = known(latent, h, condition)
        z = sample(q, 3, Noise(0))
        assert (z[..., :3].argmax(-1) == condition).all()
        terms = Terms(torch.zeros(3, 4), z, q, p)
        own = DiagonalNormal.of(h[:, 3:] + latent.shifts[condition])
        expected = torch.nn.functional.cross_entropy(h[:, :3], condition, reduction="none") + divergence(
            own, p.below[0](z)
        )
        torch.testing.assert_close(terms.kl, expected.expand(3, 4))

    def test_a_point_diverges_from_a_mass_by_its_surprise(self):
        mass = OneHotCategorical(logits=torch.zeros(1, 4))
        assert float(divergence(Point(torch.eye(4)[:1], torch.zeros(1)), mass)) == pytest.approx(math.log(4))

    def test_the_code_is_the_likeliest_class_and_the_mean_in_it(self):
        latent, h = built(), numbers(6)
        code = latent.code(latent.posterior(h))
        best = h[:, :3].argmax(-1)
        assert torch.equal(code[:, :3], torch.eye(3).double()[best])
        torch.testing.assert_close(code[:, 3:], h[:, 3:5] + latent.shifts[best, :2])


@pytest.mark.parametrize("objective", [Elbo(samples=2), make("objective", {"kind": "iwae", "samples": 2})])
def test_estimators_agree_where_the_class_is_known(objective):
    """Rows are independent estimates; means' distance in each number is within 5 standard errors (7 numbers)."""
    latent, rows, means, spreads = built(), 20_000, [], []
    for kind in ("pathwise", "score", "sticking-the-landing"):
        gradient = make("gradient", kind)
        h = numbers(1).expand(rows, -1).clone().requires_grad_()
        q, prior = known(latent, h, torch.ones(rows, dtype=torch.long))
        z, scoring = gradient.draw(q, 2, Noise(2), END)
        terms = Terms(-(z - 0.5).square().sum(-1), z, scoring, prior)
        gradient.surrogate(objective.cost(terms, END), terms, objective, END).backward()
        if not gradient.bias(latent, objective):
            means.append(rows * h.grad.mean(0))
            spreads.append(rows**2 * h.grad.var(0) / rows)
    assert len(means) >= 2
    for one, two in itertools.combinations(range(len(means)), 2):
        assert ((means[one] - means[two]).abs() <= 5 * (spreads[one] + spreads[two]).sqrt() + 1e-9).all()
    assert means[0][:3].abs().min() > 0.05  # what tells the class is told by every one of them


@pytest.fixture(scope="module")
def known_model():
    """The model, rows drawn from it, their classes, and log p(x, y) of each row with each class, (n, 3)."""
    rng = np.random.default_rng(0)
    means = 2 * rng.normal(size=(3, CELLS))
    weight = np.linalg.qr(rng.normal(size=(CELLS, CODE)))[0] * [2.0, 1.0]
    settings = ["network=mlp", "network.depth=0", f"latent.size={3 + CODE}", f"likelihood.sigma={SIGMA}"]
    recipe = choose("conditional", SCHEMA, [*settings, "latent.labels=0,1,2"])
    model = Model(recipe, SCHEMA).double().eval()
    y = rng.choice(3, size=400, p=SHARES)
    model.latent.weigh(torch.from_numpy(y))
    shares = np.bincount(y) / len(y)
    _set_exactly(model, means, weight, shares, SIGMA)
    noise = SIGMA * rng.normal(size=(400, CELLS))
    x = means[y] + rng.normal(size=(400, CODE)) @ weight.T + noise
    covariance = weight @ weight.T + SIGMA**2 * np.eye(CELLS)
    laws = [multivariate_normal(mean, covariance) for mean in means]
    joint = np.stack([law.logpdf(x) for law in laws], 1) + np.log(shares)
    return model.requires_grad_(False), x, y, joint


class TestAMixtureOfWhichAllIsKnown:
    """p(x | y) = N(m_y, W W^T + s^2 I) in the unit of x: a linear model holds it, and its posterior, exactly."""

    def test_with_the_class_known_every_draw_gives_log_p_of_x_given_y_and_of_y_given_x(self, known_model):
        model, x, y, joint = known_model
        batch = dataclasses.replace(model.batch(torch.from_numpy(x), Noise(0)), condition=torch.from_numpy(y))
        terms = model.terms(batch, 3, Noise(1))
        own = joint[np.arange(len(y)), y]
        exact = own - np.log(np.bincount(y) / len(y))[y] + own - logsumexp(joint, axis=1)
        np.testing.assert_allclose(terms.log_px - terms.log_ratio, np.tile(exact, (3, 1)), rtol=1e-6)
        nats = model.loss(Labelled(torch.from_numpy(x), torch.from_numpy(y)), Noise(1), END)[1].nats
        assert float(nats.mean()) == pytest.approx(-exact.mean(), abs=0.3)

    def test_in_use_every_draw_gives_log_p_of_x(self, known_model):
        model, x, _, joint = known_model
        terms = model.terms(model.batch(torch.from_numpy(x), Noise(0)), 3, Noise(1))
        exact = logsumexp(joint, axis=1)
        np.testing.assert_allclose(terms.log_px - terms.log_ratio, np.tile(exact, (3, 1)), rtol=1e-6)
        # The best linear model without classes, at the maximum of its likelihood (Tipping and Bishop 1999).
        assert float(bounds(model, torch.from_numpy(x)).mean()) > PCA(CODE).fit(x).score(x) + 1

    def test_rows_are_made_of_a_class_and_classes_in_their_shares(self, known_model):
        """Means of 2,000 rows of standard deviations up to 2 are within 0.2, 4 standard errors."""
        model, _, y, _ = known_model
        decoder = model.network.decoder[-1]
        for place, label in enumerate(model.latent.labels):
            made = samples(model, 2000, seed=0, label=label, draw=True)
            torch.testing.assert_close(made.mean(0), decoder.weight[:, place], atol=0.2, rtol=0)
        drawn = sample(model.source(5000), 1, Noise(0))[0, :, :3].mean(0)
        np.testing.assert_allclose(drawn, np.bincount(y) / len(y), atol=0.03)

    def test_codes_need_no_labels_and_tell_the_class(self, known_model):
        model, x, _, joint = known_model
        told = codes(model, torch.from_numpy(x))[:, :3].argmax(1).numpy()
        assert (told == joint.argmax(1)).all()
        assert reconstructed(model, torch.from_numpy(x[:5])).shape == (5, CELLS)

    def test_annealing_has_no_slope_between_classes(self, known_model):
        with pytest.raises(InputError, match=r"conditional codes jump.*train latent=gaussian"):
            annealed(known_model[0], torch.from_numpy(known_model[1][:2]), steps=3)

    def test_an_unknown_label_is_refused(self, known_model):
        with pytest.raises(InputError, match="unknown label 'x'; allowed: 0, 1, 2"):
            samples(known_model[0], 1, 0, label="x")


def _set_exactly(model, means, weight, shares, sigma):
    """Give a linear model the means m_y, W, and p(y | x) and p(z | x, y), all of which are linear in x."""
    (encoder,), (decoder,) = model.network.encoder, model.network.decoder
    precision = np.linalg.inv(weight @ weight.T + sigma**2 * np.eye(len(weight)))
    # Columns of W are orthogonal, so that the numbers of z are independent given x.
    strengths = (weight**2).sum(0)
    gain = weight.T / (strengths + sigma**2)[:, None]
    spread = sigma / np.sqrt(strengths + sigma**2)
    bias = np.log(shares) - 0.5 * np.einsum("yi,ij,yj->y", means, precision, means)
    zeros = np.zeros_like(gain)
    with torch.no_grad():
        encoder.weight.copy_(torch.from_numpy(np.concatenate([means @ precision, gain, zeros])))
        encoder.bias.copy_(torch.cat([torch.from_numpy(bias), torch.zeros(2), unscaled(torch.from_numpy(spread))]))
        model.latent.shifts.copy_(torch.from_numpy(np.concatenate([-means @ gain.T, np.zeros((3, 2))], 1)))
        decoder.weight.copy_(torch.from_numpy(np.concatenate([means.T, weight], 1)))
        decoder.bias.zero_()


@pytest.fixture(scope="module")
def estimator():
    images = read("digits")
    settings = ["network.width=128", "latent.size=16"]
    return Autoencoder("conditional", settings=settings, epochs=40, rate=3e-3, plan={"device": "cpu"}).fit(images)


def test_another_classifier_finds_in_made_digits_those_that_were_asked_for(estimator):
    """A logistic regression on scikit-learn's own rows, right on 96 % of held-out digits; chance is 10 %."""
    rows, digits = load_digits(return_X_y=True)
    judge = LogisticRegression(max_iter=300).fit(rows / 16, digits)
    for digit in range(10):
        made = estimator.sample(40, label=digit).reshape(40, 64)
        assert (judge.predict(made / 16) == digit).mean() > 0.7
    held_out = read("digits:test")
    assert (estimator.transform(held_out)[:, :10].argmax(1) == held_out.labels).mean() > 0.85


class TestLabels:
    ROWS = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    PLAN = Plan(epochs=1, device="cpu")

    def trained(self, labels, preset="conditional", settings=(), plan=PLAN):
        return fit(self.ROWS, infer_schema(self.ROWS), preset, settings, plan, labels=labels)

    @pytest.mark.parametrize(
        ("labels", "says"),
        [
            (None, "learns from labels of two or more classes, and there are none; name a column"),
            (np.full(60, "shoe"), "and there is but one, 'shoe'"),
            (np.where(np.arange(60) < 4, "", "a"), r"4 of 60 rows have no label.*take preset variational"),
            (np.where(np.arange(60) < 4, np.nan, 1.0), "4 of 60 rows have no label"),
            (np.array([None, *["a", "b"] * 30][:60], object), "1 of 60 rows have no label"),
            (np.where(np.arange(60) < 3, "b", "a"), "class 'b' has 3 of 60 rows"),
            (np.arange(59), r"labels of shape \(59,\) were given for 60 rows"),
            (np.repeat(np.arange(6), 10), None),
        ],
    )
    def test_what_serves_and_what_does_not(self, labels, says):
        if says is None:
            assert self.trained(labels).model.latent.labels == tuple("012345")
            return
        with pytest.raises(InputError, match=says):
            self.trained(labels)

    def test_files_keep_classes_and_shares(self, tmp_path):
        fitted = self.trained(np.repeat(["a", "a", "b"], 20))
        save(fitted, tmp_path / "m.safetensors")
        again = load(tmp_path / "m.safetensors").model
        assert again.latent.labels == ("a", "b")
        np.testing.assert_allclose(again.latent.log_weights.exp(), [2 / 3, 1 / 3], rtol=1e-6)
        for label in (None, "a", "b"):
            assert torch.equal(samples(again, 4, 0, label=label), samples(fitted.model, 4, 0, label=label))
        assert not torch.equal(samples(again, 4, 0, label="a"), samples(again, 4, 0, label="b"))

    def test_classes_need_room_in_the_code(self):
        with pytest.raises(InputError, match=r"latent\.size.* was given as 6; it must be at least 7"):
            self.trained(np.repeat(np.arange(6), 10), settings=["latent.size=6"])

    def test_an_unconditional_model_is_the_same_to_the_last_bit(self):
        one, two = self.trained(None, "variational"), self.trained(np.repeat(np.arange(2), 30), "variational")
        assert {**one.record, "seconds": 0, "history": 0} == {**two.record, "seconds": 0, "history": 0}
        for (name, tensor), other in zip(one.model.state_dict().items(), two.model.state_dict().values(), strict=True):
            assert torch.equal(tensor, other), name

    def test_other_labels_train_another_model_and_do_not_resume(self, tmp_path):
        labels = np.repeat(["a", "b"], 30)
        plan = dataclasses.replace(self.PLAN, checkpoint=tmp_path)
        self.trained(labels, plan=plan)
        self.trained(labels, plan=dataclasses.replace(plan, resume=True))
        with pytest.raises(InputError, match="labels"):
            self.trained(labels[::-1].copy(), plan=dataclasses.replace(plan, resume=True))

    def test_a_stream_brings_none(self):
        with pytest.raises(InputError, match="learns from labels"):
            Autoencoder("conditional", plan={"device": "cpu"}).partial_fit(self.ROWS)
        labels = np.repeat(["a", "b"], 30)
        model = Autoencoder("conditional", epochs=1, plan={"device": "cpu"}).fit(self.ROWS, labels)
        with pytest.raises(InputError, match="these have none"):
            model.partial_fit(self.ROWS)

    @pytest.mark.parametrize("size", [7, 60, 100])
    def test_batches_bring_the_class_of_each_of_their_rows(self, size):
        values = torch.arange(60.0)[:, None]
        for chosen in (None, torch.arange(0, 60, 2)):
            batches = Batches(values, size, chosen=chosen, condition=torch.arange(60) % 5).again(size)
            for batch in itertools.islice(batches, 12):
                assert torch.equal(batch.rows[:, 0].long() % 5, batch.condition)
            assert all(isinstance(chunk, torch.Tensor) for chunk in batches.chunks(10))

    def test_training_without_them_is_refused(self):
        example = examples()[0]
        recipe = choose("conditional", example.schema, ["latent.labels=a,b", "latent.size=4"])
        model = Model(recipe, example.schema)
        with pytest.raises(InputError, match=r"learns from rows with labels, and these have none.*latent=gaussian"):
            model.loss(example.values, Noise(0), END)


def test_the_verbs(tmp_path, monkeypatch):
    """Labels are read from a table's column, and it is no column of the model; a class is made by its name."""
    from narrows.cli import run

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    kinds = rng.choice(["shoe", "bag"], 200)
    lines = [f"{rng.normal(3 * (kind == 'bag'), 0.1):.4f},{rng.normal():.4f},{kind}" for kind in kinds]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,kind", *lines]) + "\n")
    train = [
        "train",
        "t.csv",
        "-o",
        "m.safetensors",
        "--preset",
        "conditional",
        "--label",
        "kind",
        "--epochs",
        "40",
        "--rate",
        "0.01",
    ]
    assert run([*train, "--set", "network.width=16", "--set", "latent.size=4", "--device", "cpu"]) == 0
    for label, centre in (("shoe", 0.0), ("bag", 3.0)):
        assert run(["generate", "m.safetensors", "-n", "50", "--label", label, "-o", "n.csv"]) == 0
        made = np.loadtxt("n.csv", delimiter=",", skiprows=1)
        assert made.shape == (50, 2)
        assert abs(made[:, 0].mean() - centre) < 0.75
    assert run(["generate", "m.safetensors", "--label", "hat", "-o", "no.csv"]) == 2
    assert run([*train[:6], "--epochs", "1"]) == 2  # no labels named
    assert not (tmp_path / "no.csv").exists()
    assert run(["evaluate", "m.safetensors", "t.csv", "--label", "kind"]) == 0
    assert run(["embed", "m.safetensors", "t.csv", "-o", "e.csv"]) == 0
