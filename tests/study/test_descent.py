"""The study of descent: the mean over an epoch's batches is the full gradient, and their variance as it is told."""

import numpy as np
import pytest
import torch

from narrows.data.schema import Schema
from narrows.fit import new_model
from narrows.noise import Noise
from narrows.plan import Plan
from narrows.study import batching, descent, paths
from narrows.study.batching import gradient, means, variances
from narrows.values import Clock

SCHEMA = Schema((5,), 0.0, 0.0)
SETTINGS = ["network=mlp", "network.width=6", "latent.size=2", "likelihood=gaussian", "likelihood.sigma=1"]


@pytest.fixture
def problem():
    """A model in float64 and 60 rows."""
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 5)))
    model = new_model(SCHEMA, "autoencoder", SETTINGS, Plan(device="cpu")).double()
    model.adapt(values)
    return model, values


def test_the_mean_over_an_epoch_is_the_full_gradient(problem, monkeypatch):
    monkeypatch.setattr(batching, "MEAN_SIZES", (1, 4, 7, 60))
    found = {row.size: row for row in means(*problem, seed=3)}
    assert {size: row.batches for size, row in found.items()} == {1: 60, 4: 15, 7: 9, 60: 1}
    assert all(row.weighed < 1e-14 for row in found.values())
    assert found[4].plain < 1e-14
    assert found[7].plain > 1e-3  # 60 rows in batches of 7 leave one of 4, whose rows would count for more


def test_the_gradient_is_that_of_finite_differences(problem):
    model, values = problem
    found = gradient(model, values)
    weight = model.network.decoder[-1].bias
    place = len(found) - weight.numel()  # the last of all parameters
    losses = []
    for step in (1e-5, -1e-5):
        with torch.no_grad():
            weight[0] += step
            losses.append(float(model.loss(values, Noise(0), Clock())[0]))
            weight[0] -= step
    assert float(found[place]) == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-6)


def test_the_variance_of_a_batch_is_as_told(problem, monkeypatch):
    """A mean of 400 squares within 15 %; of all rows it is 0."""
    monkeypatch.setattr(batching, "SIZES", (6, 60))
    monkeypatch.setattr(batching, "DRAWS", 400)
    six, full = variances(*problem, seed=0)
    assert six.measured == pytest.approx(six.predicted, rel=0.15)
    assert full.predicted == 0
    assert full.measured < 1e-28


def test_a_step_is_the_rate_times_the_gradient(problem):
    model, values = problem
    before = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    told = gradient(model, values) / 5
    assert list(paths.steps(model, iter([values]), descent.Way("full", 60, 0.3, 1), seed=0)) == [1]
    after = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    torch.testing.assert_close(after, before - 0.3 * told)


def test_the_error_is_the_mean_square(problem):
    model, values = problem
    x = model.batch(values, Noise(0)).x
    rebuilt = model.decode(model.latent.code(model.posterior(x))[None]).mean[0]
    assert descent.error(model, values) == pytest.approx(float((x - rebuilt).detach().square().mean()), abs=1e-9)


def test_the_study(monkeypatch, drawn):
    ways = (
        descent.Way("full batch", 200, 1.0, 6),
        descent.Way("mini-batch", 20, 0.5, 30),
        descent.Way("one", 1, 0.05, 40),
    )
    for name, value in (("DATA", "digits"), ("WAYS", ways), ("ROWS", 200)):
        monkeypatch.setattr(descent, name, value)
    for name, value in (("PATH_STEPS", 5), ("PATH_SIZES", (5, 50)), ("PATH_SEEDS", 2)):
        monkeypatch.setattr(paths, name, value)
    monkeypatch.setattr(batching, "SIZES", (4, 64))
    monkeypatch.setattr(batching, "DRAWS", 20)
    found = descent.run(seed=1)
    assert [way.steps[-1] for way in found.descents] == [6, 30, 40]
    assert [way.examples[-1] for way in found.descents] == [1200, 600, 40]
    for way in found.descents:
        assert way.errors[-1] < way.errors[0]
        assert sorted(way.seconds) == way.seconds
    assert found.wandering[0].anew > found.wandering[1].anew
    assert len(found.paths[0].points) == 6
    assert 0 < found.principal_error < 1
    assert all(row.weighed < 1e-13 for row in found.means)
    assert all(len(table.rows[0]) == len(table.columns) for table in found.tables())
    assert len(drawn("descent", found)) >= 2
