"""The linear variational autoencoder reaches probabilistic PCA: bound, subspace, sigma, and the units that collapse."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from narrows.evaluate import annealed, log_likelihood

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CODES = 2


@pytest.fixture(scope="module")
def linear_vae():
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("benchmark_linear_vae", BENCHMARKS / "linear_vae.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_linear_vae"] = module  # where its dataclasses look for their module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))
    del sys.modules["benchmark_linear_vae"]


@pytest.fixture(scope="module")
def rows(linear_vae):
    return linear_vae.problem(150, 4)


def test_the_closed_form_is_that_of_scikit_learn(linear_vae, rows):
    """Which divides by n - 1: of ten copies of the rows, a tenth as much is left of the difference."""
    one, ten = (abs(linear_vae.scikit_learn_apart(np.tile(rows, (n, 1)), CODES)) for n in (1, 10))
    assert ten < 1e-6
    assert one < 1e-3


def test_means_over_cubature_points_are_exact(linear_vae):
    points = linear_vae.Cubature().normal((6, 1, 3), rows=1)[:, 0]
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-15)
    np.testing.assert_allclose(points.T @ points / 6, np.eye(3), atol=1e-15)
    with pytest.raises(ValueError, match="3 numbers have 6 cubature points, and 4 were asked for"):
        linear_vae.Cubature().normal((4, 1, 3), rows=1)


@pytest.mark.parametrize(("sigma", "collapsed"), [(None, 0), (1.25, 1), (2.0, 2)])
def test_the_optimum_is_probabilistic_pca(linear_vae, rows, sigma, collapsed):
    found = linear_vae.optimum(rows, CODES, sigma)
    assert abs(found["bound_less_log_likelihood_nats"]) < 1e-3
    assert found["largest_angle_radians"] < 1e-3
    assert abs(found["sigma_squared_less_mean_of_discarded"]) < 1e-3
    assert found["collapsed_units"] == found["collapsed_units_predicted"] == collapsed


def test_estimates_agree_with_the_exact_value(linear_vae, rows):
    found = linear_vae.estimates(rows[:60], CODES, 400, 24, 16)
    for name in ("iwae_400", "ais", "ais_from_posterior"):
        assert abs(found[name]["off_in_standard_errors"]) < 3, name
        assert found[name]["draws_error_nats"] < 0.05
    assert abs(found["ais_gap_nats"]) < 0.2


def test_with_the_exact_posterior_there_is_no_error_left(linear_vae, rows):
    model, values = linear_vae.trained(rows, CODES), torch.from_numpy(rows)
    exact = linear_vae.principal(model.transform(values).x.numpy(), CODES, None).log_px + model.transform.log_det
    for found in (log_likelihood(model, values, 3, 0), annealed(model, values, 3, 3, start="posterior")):
        np.testing.assert_allclose(found.log_px, exact, atol=1e-3)
        assert found.draws_error < 1e-3
