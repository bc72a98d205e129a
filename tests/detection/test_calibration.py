"""Thresholds and p-values against what split-conformal promises, and Benjamini-Hochberg against scipy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from narrows.detection.calibration import check_rate, discoveries, p_values, threshold
from narrows.errors import InputError


def sorted_scores(m, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=m)).sort().values


@given(m=st.integers(1, 300), rate=st.floats(0.004, 0.5), seed=st.integers(0, 10))
def test_alarms_are_the_scores_above_the_threshold_and_those_with_a_small_p_value(m, rate, seed):
    calibration = sorted_scores(m, seed)
    if m < 1 / rate - 1:
        return
    scores = torch.cat([calibration, calibration + 1e-9, sorted_scores(50, seed + 100)])
    assert torch.equal(scores > threshold(calibration, rate), p_values(calibration, scores) <= rate)


def test_a_p_value_counts_the_calibration_scores_that_are_as_high():
    calibration = torch.tensor([1.0, 2.0, 2.0, 5.0], dtype=torch.float64)
    scores = torch.tensor([0.0, 1.0, 2.0, 3.0, 5.0, 6.0], dtype=torch.float64)
    assert p_values(calibration, scores).tolist() == pytest.approx([1.0, 1.0, 0.8, 0.4, 0.4, 0.2])


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("m", [99, 150, 1000])
def test_false_alarms_come_as_often_as_said(m, rate):
    """Over 4,000 draws of calibration and one fresh score: the chance is floor(r (m + 1)) / (m + 1), to 4 sigma."""
    random = np.random.default_rng(5)
    draws = random.exponential(size=(4000, m + 1))
    alarms = np.mean([fresh > threshold(torch.from_numpy(np.sort(held)), rate) for *held, fresh in draws])
    chance = math.floor(rate * (m + 1) + 1e-9) / (m + 1)
    assert abs(alarms - chance) < 4 * math.sqrt(chance * (1 - chance) / 4000)
    assert chance <= rate


@pytest.mark.parametrize(
    ("m", "rate", "said"),
    [
        (98, 0.01, "needs 99 calibration rows, and 98 were held out"),
        (99, 0.0, "give a share of the normal rows above 0"),
        (99, float("nan"), "give a share of the normal rows above 0"),
        (99, -1.0, "give a share of the normal rows above 0"),
        (99, 0.7, "the false-alarm rate was given as 0.7; it must be at most 0.5"),
    ],
)
def test_refuses_rates_that_cannot_be_kept(m, rate, said):
    with pytest.raises(InputError, match=said):
        check_rate(sorted_scores(m), rate)


def test_the_finest_rate_marks_what_is_above_all_calibration_scores():
    calibration = sorted_scores(99)
    assert threshold(calibration, 0.01) == calibration[-1]


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=60), st.floats(0.01, 0.5))
def test_discoveries_are_those_of_benjamini_and_hochberg(p, rate):
    found = discoveries(torch.tensor(p, dtype=torch.float64), rate)
    adjusted = false_discovery_control(np.array(p))
    clear = np.abs(adjusted - rate) > 1e-9
    assert (found.numpy() == (adjusted <= rate))[clear].all()
