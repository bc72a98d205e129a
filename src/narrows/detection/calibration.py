"""From scores to promises: tail probabilities, conformal p-values, thresholds, and false discoveries under control."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from narrows.errors import InputError, at_most

SMALLEST_RATE = 1e-6


def p_values(calibration: Tensor, scores: Tensor) -> Tensor:
    """Split-conformal p-values of scores, the higher the more anomalous.

    p(s) = (1 + #{i: c_i >= s}) / (m + 1) for the scores c_1..c_m of rows that took no part in training. For a fresh
    row exchangeable with them P(p <= r) <= r for every r, whatever the score is (Vovk et al. 2005; Bates et al. 2023).

    Parameters
    ----------
    calibration : Tensor, shape (m,)
        Scores of held-out rows, sorted upwards.
    scores : Tensor, shape (n,)
        Of the rows in question.

    Returns
    -------
    Tensor, shape (n,)
        In (0, 1], float64.
    """
    m = len(calibration)
    below = torch.searchsorted(calibration, scores.contiguous())  # calibration scores smaller than this one
    return (1 + m - below).double() / (m + 1)


def threshold(calibration: Tensor, rate: float) -> float:
    """Largest score that is no alarm: alarms are scores above it, which are those with a p-value of at most ``rate``.

    Parameters
    ----------
    calibration : Tensor, shape (m,)
        Scores of held-out rows, sorted upwards.
    rate : float
        False alarms among normal rows, in (0, 1).

    Raises
    ------
    InputError
        If the rate is none, or finer than so few calibration rows can tell.
    """
    check_rate(calibration, rate)
    # p <= rate means that at most rate * (m + 1) - 1 calibration scores are as large: those above the threshold.
    above = math.floor(rate * (len(calibration) + 1) * (1 + 1e-12)) - 1
    return float(calibration[len(calibration) - 1 - above])


def check_rate(calibration: Tensor, rate: float) -> None:
    """Refuse a false-alarm rate that the calibration rows cannot hold."""
    if not rate >= SMALLEST_RATE:
        raise InputError(f"the false-alarm rate is {rate:g}; give a share of the normal rows above 0, such as 0.01")
    at_most("the false-alarm rate", rate, 0.5)
    wanted = math.ceil(1 / rate - 1 - 1e-9)
    if len(calibration) < wanted:
        finest = 1 / (len(calibration) + 1)
        raise InputError(
            f"a false-alarm rate of {rate:g} needs {wanted} calibration rows, and {len(calibration)} were held out; "
            f"take a rate of at least {finest:.2g}, or train on more rows"
        )


def discoveries(p: Tensor, rate: float) -> Tensor:
    """Rows of a batch that are anomalies, with at most a share ``rate`` of them false in expectation.

    Benjamini and Hochberg 1995: the rows with the k smallest p-values, for the largest k with p_(k) <= rate k / n. It
    holds for split-conformal p-values, which depend on one another positively (Bates et al. 2023, theorem 2).

    Parameters
    ----------
    p : Tensor, shape (n,)
        P-values.
    rate : float
        Of false ones among the discoveries.

    Returns
    -------
    Tensor, shape (n,)
        Boolean.
    """
    order = p.argsort()
    steps = torch.arange(1, len(p) + 1, dtype=p.dtype) / len(p)
    passing = (p[order] <= rate * steps).nonzero()
    found = torch.zeros(len(p), dtype=torch.bool)
    if len(passing):
        found[order[: int(passing[-1]) + 1]] = True
    return found
