"""The study of codes: measures against closed forms, and what the study says of its models."""

import numpy as np
import pytest
import torch

from narrows.study import latents, overfitting
from narrows.study.codes import Manifold, spread_of


def test_the_spread_of_codes_is_that_of_the_closed_form():
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(400, 3)) * [1.0, 2.0, 0.5] + [0.0, -1.0, 3.0])
    found = spread_of("some", z)
    mean, covariance = z.mean(0), z.T.cov()
    q = torch.distributions.MultivariateNormal(mean, covariance)
    p = torch.distributions.MultivariateNormal(torch.zeros_like(mean), torch.eye(3, dtype=z.dtype))
    assert found.divergence_nats == pytest.approx(float(torch.distributions.kl_divergence(q, p)), abs=1e-9)
    assert found.largest_mean == pytest.approx(3, abs=0.2)
    assert (found.smallest_deviation, found.largest_deviation) == pytest.approx((0.5, 2.0), abs=0.2)
    assert found.correlation < 0.3


def test_real_images_lie_among_each_other_and_noise_does_not():
    rng = np.random.default_rng(2)
    real = rng.normal(size=(600, 40)) @ rng.normal(size=(40, 40))
    measured = Manifold(real[:300])
    near, realistic, covered = measured.compare(real[300:])
    assert min(realistic, covered) > 0.8
    far, strange, missed = measured.compare(30 + rng.normal(size=(300, 40)))
    assert far > 5 * near
    assert (strange, missed) == (0, 0)


def test_the_study(monkeypatch, drawn):
    for name, value in (("DATA", "digits"), ("EPOCHS", 2), ("SAMPLES", 100), ("SIZE", 4), ("POINTS", 50)):
        monkeypatch.setattr(latents, name, value)
    monkeypatch.setattr(overfitting, "EPOCHS", 1)
    monkeypatch.setattr(overfitting, "WEIGHTS", (0.0, 1.0))
    found = latents.run(seed=1)
    basic, variational = found.spreads
    assert variational.divergence_nats < basic.divergence_nats
    assert (found.drawn[0].model, len(found.drawn[0].images)) == ("real", latents.SHOWN)
    assert {row.model for row in found.drawn} == {"real", "basic", "variational"}
    assert all(0 <= share <= 1 for row in found.drawn for share in (row.realistic, row.covered))
    assert {len(plane.points) for plane in found.planes} == {latents.POINTS}
    assert [row.weight for row in found.gaps] == [0.0, 1.0]
    for row in found.gaps:
        assert row.training_bound_nats == pytest.approx(row.training_nats + row.rate_nats)
    assert found.gaps[1].rate_nats < found.gaps[0].rate_nats
    assert all(len(table.rows[0]) == len(table.columns) for table in found.tables())
    assert len(drawn("latents", found)) >= 2
