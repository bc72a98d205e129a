"""The drift test: seldom wrong while nothing changes, quick when something does, and silent after it has spoken."""

import numpy as np
import pytest
import torch
from scipy import stats

from narrows.detection.drift import Drift


def as_they_are(scores):  # the rows of these tests are their scores
    return scores


def scores(n, seed, shift=0.0):
    return torch.from_numpy(np.random.default_rng(seed).exponential(size=n) + shift)


def test_the_level_holds_on_exchangeable_scores():
    """Each of 600 detectors looks at one window, so that windows are independent."""
    level, n = 0.05, 600
    alarms = 0
    for seed in range(n):
        drawn = scores(400, seed)
        alarms += bool(Drift(drawn[:300].sort().values, as_they_are, window=100, level=level).observe(drawn[300:]))
    assert alarms <= stats.binom.ppf(0.999, n, level)
    assert alarms >= stats.binom.ppf(1e-6, n, level / 2)  # a test that never speaks would hold any level


def test_ties_make_it_more_careful_not_less():
    level, n, alarms = 0.05, 400, 0
    for seed in range(n):
        drawn = scores(400, seed).round()
        alarms += bool(Drift(drawn[:300].sort().values, as_they_are, window=100, level=level).observe(drawn[300:]))
    assert alarms <= stats.binom.ppf(0.999, n, level)


def test_it_is_the_test_of_kolmogorov_and_smirnov():
    reference, window = scores(500, 0).sort().values, scores(1000, 1, shift=0.3)
    ((place, change),) = Drift(reference, as_they_are).observe(window)
    first, second = reference.numpy(), np.sort(window.numpy())
    both = np.concatenate([first, second])
    gap = np.abs(np.searchsorted(first, both, "right") / 500 - np.searchsorted(second, both, "right") / 1000)
    assert change.statistic == pytest.approx(gap.max(), rel=1e-12)
    # Smirnov's limit, 2 sum (-1)^(k-1) exp(-2 k^2 t^2), and its first correction in 1 / sqrt(n).
    size = 500 * 1000 / 1500
    t = gap.max() * np.sqrt(size)
    assert np.log(change.p) == pytest.approx(np.log(2) - 2 * t * t, rel=0.1)
    assert (place, change.rows) == (999, 1000)


@pytest.mark.parametrize("pieces", [1, 7, 256, 5000])
def test_a_change_is_told_within_two_windows_and_once(pieces):
    stream = torch.cat([scores(3500, 1), scores(4500, 2, shift=0.5)])
    drift = Drift(scores(2000, 0).sort().values, as_they_are)
    told = []
    for start in range(0, len(stream), pieces):
        told += [start + place for place, _ in drift.observe(stream[start : start + pieces])]
    # The window in which the change falls, or the next one; those after it are compared with what is now usual.
    assert told in ([3999], [4999], [3999, 4999])
    assert len(drift.recent) == 0


def test_another_change_is_told_anew():
    drift = Drift(scores(2000, 0).sort().values, as_they_are, window=500)
    stream = torch.cat([scores(1000, 1, shift=0.5), scores(1000, 2), scores(1000, 3)])
    assert [place for place, _ in drift.observe(stream)] == [499, 1499]
