"""What the weights of importance sampling say of their own error, against many repetitions and the exact value."""

import numpy as np
import pytest
import torch
from scipy import stats

from narrows.evaluate import Weighed, log_likelihood
from narrows.evaluate.importance import weigh

DRAWS = 40


def repeated(problem, values, seeds: int) -> list[Weighed]:
    return [log_likelihood(problem.model, values, DRAWS, seed) for seed in range(seeds)]


def test_error_and_bias_are_those_of_many_repetitions(linear):
    problem = linear(widened=2.0)
    values = problem.rows(200)
    runs = repeated(problem, values, 200)
    means = np.array([run.mean for run in runs])
    assert np.mean([run.draws_error for run in runs]) == pytest.approx(means.std(ddof=1), rel=0.15)
    bias = means.mean() - problem.log_px(values).mean()
    assert np.mean([run.bias for run in runs]) == pytest.approx(bias, rel=0.15)
    assert bias < -15 * stats.sem(means)


def test_where_q_misses_the_posterior_both_say_too_little(linear):
    """As their documentation has it: the weights that would show it were not drawn, and few draws are effective."""
    problem = linear(codes=4, columns=8, widened=0.4)
    values = problem.rows(20)
    runs = repeated(problem, values, 100)
    means = np.array([run.mean for run in runs])
    bias = means.mean() - problem.log_px(values).mean()
    assert bias < 1.5 * np.mean([run.bias for run in runs])
    assert np.mean([run.effective.mean() for run in runs]) < 0.25 * DRAWS


def test_equal_weights_have_no_spread_and_one_weight_tells_nothing():
    found = Weighed(*weigh(torch.full((7, 3), -800.0)), 7)
    np.testing.assert_allclose(found.log_px, -800)
    np.testing.assert_allclose(found.effective, 7)
    assert found.draws_error == pytest.approx(0, abs=1e-6)
    assert found.bias == pytest.approx(0, abs=1e-12)
    one = Weighed(*weigh(torch.full((1, 3), -800.0)), 1)
    assert one.mean == pytest.approx(-800)
    assert one.draws_error is one.bias is None


def test_weights_far_apart_are_one():
    found = Weighed(*weigh(torch.tensor([[0.0], [-5000.0], [-9000.0]])), 3)
    assert found.mean == pytest.approx(-np.log(3))
    assert float(found.effective) == pytest.approx(1)
