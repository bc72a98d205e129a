"""The study of the bound: figures that add up, against sums that are made another way."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from narrows.data.schema import Schema
from narrows.model import Model
from narrows.noise import Noise
from narrows.presets import choose
from narrows.study import bound, weighing
from narrows.study.asymmetry import MODES, asymmetry
from narrows.study.known import EveryCode, Line, known

SCHEMA = Schema((6,), 0.0, 1.0, 1.0)
NETWORK = ["network=mlp", "network.depth=0", "likelihood=bernoulli"]


def small(*settings):
    """An untrained model in float64 and some rows."""
    model = Model(choose("autoencoder", SCHEMA, [*NETWORK, *settings]), SCHEMA).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.6)
    raw = (Noise(4).uniform((7, 6), rows=0) < 0.5).double()
    model.adapt(raw)
    return model, model.batch(raw, Noise(0))


BITS = ["latent=bernoulli", "latent.size=3", "gradient=score", "objective.samples=2"]
NUMBER = ["latent=gaussian", "latent.size=1"]
BOTH = pytest.mark.parametrize(("settings", "over"), [(BITS, EveryCode(3)), (NUMBER, Line())], ids=["bits", "number"])


@BOTH
def test_the_three_figures_add_up(settings, over):
    found = known(*small(*settings), over)
    assert (found.log_px - found.elbo - found.gap).abs().max() < 1e-6
    assert found.gap.min() > 0
    for log_mass in (found.log_posterior, found.log_q):
        torch.testing.assert_close(log_mass.exp().sum(0), torch.ones(7, dtype=torch.float64), rtol=0, atol=1e-9)


def test_the_probabilities_of_all_rows_add_up_to_one():
    model, _ = small(*BITS)
    rows = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=torch.float64)
    found = known(model, model.batch(rows, Noise(0)), EveryCode(3))
    assert float(found.log_px.exp().sum()) == pytest.approx(1, abs=1e-7)


def test_twice_as_many_nodes_change_nothing():
    one, two = (known(*small(*NUMBER), Line(nodes)) for nodes in (1001, 2001))
    for field in ("log_px", "elbo", "gap", "from_prior"):
        torch.testing.assert_close(getattr(one, field), getattr(two, field), rtol=0, atol=1e-9)


def test_the_encoders_draws_fall_short_by_the_divergence(monkeypatch):
    """The mean error of one draw is -KL(q || p(z | x)), here within 5 standard errors (once in 2 million times)."""
    monkeypatch.setattr(weighing, "DRAWS", 4096)
    model, batch = small(*NUMBER)
    found = known(model, batch, Line())
    rows = weighing.estimates(model, batch, found.log_px, seed=0)
    assert len(rows) == 2 * len(weighing.KS)
    one = next(row for row in rows if row.proposal.startswith("encoder") and row.draws == 1)
    assert abs(one.mean_error_nats + float(found.gap.mean())) < 5 * one.deviation_nats / math.sqrt(4096 * 7)
    most = [row for row in rows if row.draws == max(weighing.KS)]
    assert all(abs(row.mean_error_nats) < 0.05 for row in most)


def test_principal_components_are_those_of_the_closed_form(monkeypatch):
    """ln p(x) and the posterior, against scipy's gaussians; with enough draws the prior's error goes."""
    monkeypatch.setattr(weighing, "COMPONENTS", (1, 2))
    monkeypatch.setattr(weighing, "COMPONENT_DRAWS", 200_000)
    rng = np.random.default_rng(0)
    training = rng.normal(size=(500, 4)) @ np.diag([2.0, 1.5, 0.8, 0.7])
    found = weighing.reaches(training, training[:5], seed=0)
    assert [row.components for row in found] == [1, 2]
    assert all(abs(row.mean_error_nats) < 0.02 for row in found)
    rows = training - training.mean(0)
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    noise, W = values[:3].mean(), vectors[:, 3:] * np.sqrt(values[3] - values[:3].mean())
    precision = np.eye(1) + W.T @ W / noise
    means = np.linalg.solve(precision, W.T @ rows[:5].T / noise).T
    expected = 0.5 * (1 / precision + means**2 - 1 + np.log(precision))
    assert found[0].from_prior_nats == pytest.approx(expected.mean(), abs=1e-12)


def test_nearest_gaussians():
    found = asymmetry()
    mass, seeker, other = found.nearest
    assert mass.forward_nats < min(seeker.forward_nats, other.forward_nats)
    assert max(seeker.reverse_nats, other.reverse_nats) < mass.reverse_nats
    for near, (_, mean, deviation) in zip((seeker, other), MODES, strict=True):
        assert abs(near.mean - mean) < 0.1
        assert abs(near.deviation - deviation) < 0.1
    mean = sum(weight * m for weight, m, _ in MODES)
    assert mass.mean == pytest.approx(mean, abs=1e-9)
    assert mass.deviation**2 == pytest.approx(sum(w * (s**2 + (m - mean) ** 2) for w, m, s in MODES), abs=1e-9)
    z, density = np.array(found.z), np.array(found.density)
    assert np.allclose(density, sum(w * stats.norm.pdf(z, m, s) for w, m, s in MODES))
    q = stats.norm.pdf(z, seeker.mean, seeker.deviation)
    inside = q > 0
    reverse = np.trapezoid(q[inside] * np.log(q[inside] / density[inside]), z[inside])
    assert seeker.reverse_nats == pytest.approx(reverse, abs=1e-6)


def test_the_study(monkeypatch, drawn):
    monkeypatch.setattr(bound, "EPOCHS", 2)
    monkeypatch.setattr(bound, "IMAGES", 5)
    monkeypatch.setattr(bound, "WEIGHED", 2)
    monkeypatch.setattr(bound, "BATCH", 320)
    monkeypatch.setattr(weighing, "DRAWS", 2048)
    found = bound.run(seed=1)
    assert found.largest_residual_nats < 1e-6
    for row in found.sums:
        assert row.log_px == pytest.approx(row.elbo + row.divergence, abs=1e-6)
    assert [moment.epoch for moment in found.moments] == [0.0, 2.0]
    assert found.moments[1].elbo > found.moments[0].elbo
    width = found.codes[1] - found.codes[0]
    for row in found.posteriors:
        assert sum(row.posterior) * width == pytest.approx(1, abs=1e-3)
    assert all(len(table.rows[0]) == len(table.columns) for table in found.tables())
    assert dataclasses.asdict(found)["seed"] == 1
    assert len(drawn("bound", found)) >= 2
