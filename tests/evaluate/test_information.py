"""What codes tell of their rows, against closed forms and quadrature."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from narrows.evaluate import evaluate, information, mutual_information
from narrows.evaluate.bounds import distortion_and_rate
from narrows.persist import Fitted


def gaussian_information(problem) -> float:
    """I(x; z) of x ~ N(0, C), z | x ~ N(A x, T): 1/2 ln det(A C A^T + T) - 1/2 ln det T."""
    spread = np.diag(problem.t**2)
    marginal = problem.A @ problem.covariance @ problem.A.T + spread
    return 0.5 * (np.linalg.slogdet(marginal)[1] - np.linalg.slogdet(spread)[1])


def gaussian_gap(problem) -> float:
    """KL(N(0, A C A^T + T) || N(0, I))."""
    marginal = problem.A @ problem.covariance @ problem.A.T + np.diag(problem.t**2)
    return 0.5 * (np.trace(marginal) - len(marginal) - np.linalg.slogdet(marginal)[1])


@pytest.mark.parametrize("widened", [1.0, 3.0])
def test_information_of_linear_codes_is_the_closed_form(linear, widened):
    """Of 2000 rows the estimate is too low by some hundredths of a nat, and noisy by as much."""
    problem = linear(widened=widened)
    values = problem.rows(2000)
    exact = gaussian_information(problem)
    assert mutual_information(problem.model, values) == pytest.approx(exact, abs=0.1)
    figures = evaluate(Fitted(problem.model, "variational", None), values)
    assert figures.mutual_information_nats + figures.marginal_kl_nats == pytest.approx(figures.rate_nats)
    assert figures.marginal_kl_nats == pytest.approx(gaussian_gap(problem), abs=0.15)


def test_of_the_rows_at_hand_it_has_no_bias(linear):
    """Of which of 3 rows a code tells: quadrature, against the mean over seeds."""
    problem = linear(codes=1, widened=4.0)
    values = problem.rows(3)
    means, t = (values.numpy() @ problem.A.T)[:, 0], problem.t[0]

    def integrand(z):
        each = stats.norm.pdf(z, means, t)
        return (each * (np.log(each) - np.log(each.mean()))).mean()

    exact = integrate.quad(integrand, means.min() - 9 * t, means.max() + 9 * t, limit=200)[0]
    found = [mutual_information(problem.model, values, seed) for seed in range(400)]
    assert 0.1 < exact < math.log(3)
    assert abs(np.mean(found) - exact) < 4 * stats.sem(found)
    assert stats.sem(found) < 0.02


def test_few_rows_say_too_little_and_never_more_than_their_number(linear):
    problem = linear(codes=4, columns=8, widened=0.01)
    found = [mutual_information(problem.model, problem.rows(n)) for n in (1, 10, 200)]
    np.testing.assert_allclose(found, np.log([1, 10, 200]), atol=1e-6)
    assert gaussian_information(problem) > math.log(200)


def test_it_is_the_same_in_any_blocks_and_of_many_rows_takes_a_spread_choice(linear, monkeypatch):
    problem = linear()
    values = problem.rows(100)
    whole = mutual_information(problem.model, values)
    monkeypatch.setattr(information, "NUMBERS_AT_ONCE", 1)
    assert mutual_information(problem.model, values) == pytest.approx(whole, rel=1e-12)
    monkeypatch.setattr(information, "MOST_ROWS", 50)
    chosen = values[np.linspace(0, 99, 50).round().astype(int)]
    assert mutual_information(problem.model, values) == mutual_information(problem.model, chosen)


def test_of_a_choice_of_rows_both_parts_are_of_their_rate(linear, monkeypatch):
    problem = linear()
    values = problem.rows(100)
    monkeypatch.setattr(information, "MOST_ROWS", 20)
    figures = evaluate(Fitted(problem.model, "variational", None), values)
    rate = distortion_and_rate(problem.model, values[information.chosen(100)], 0)[1]
    assert figures.mutual_information_nats + figures.marginal_kl_nats == pytest.approx(float(rate.mean()), rel=1e-6)


def test_a_code_that_tells_nothing(linear):
    problem = linear()
    with torch.no_grad():
        problem.model.network.encoder[0].weight.zero_()
    assert mutual_information(problem.model, problem.rows(50)) == pytest.approx(0, abs=1e-12)
