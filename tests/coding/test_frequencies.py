"""From probabilities to whole frequencies: valid whatever comes, close to the best, and checked when read."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.coding import Tables, quantised
from narrows.errors import InputError


@given(
    weights=st.lists(st.floats(0, 1e300) | st.sampled_from([0.0, 5e-324, 1e-12, 1.0]), min_size=1, max_size=64),
    precision=st.integers(6, 16),
)
def test_every_symbol_has_at_least_one_and_all_have_the_total(weights, precision):
    weights = np.array(weights)
    if not (weights.sum() > 0 and np.isfinite(weights.sum())):
        return
    cumulative = quantised(weights, precision)
    tables = Tables(cumulative, precision)  # which checks it
    assert tables.symbols == len(weights)
    freqs = np.diff(cumulative.astype(int))
    # A likelier symbol never has less, and equal ones differ by one at most.
    order = np.argsort(weights, kind="stable")
    assert (np.diff(freqs[order]) >= -1).all()


def test_the_code_length_is_close_to_the_least_there_is():
    """Against every split of 2^5 among four symbols."""
    r = np.random.default_rng(0)
    splits = np.array([f for f in itertools.product(range(1, 30), repeat=4) if sum(f) == 32])
    for _ in range(50):
        P = r.dirichlet(np.full(4, 0.4))
        lengths = 5 - np.log2(splits) @ P
        mine = 5 - np.log2(np.diff(quantised(P, 5).astype(int))) @ P
        assert mine <= lengths.min() + 0.01


def test_precision_makes_the_loss_small():
    P = np.random.default_rng(1).dirichlet(np.full(256, 0.2), 200)
    freqs = np.diff(quantised(P, 16).astype(int))
    loss = (P * (np.log2(np.maximum(P, 1e-300)) - np.log2(freqs / 65536))).sum(axis=1)
    assert loss.min() >= 0
    # Raising r of 256 symbols to 1 takes r / 2^16 from the others, 1.44 times that in bits.
    assert loss.max() < 1.45 * 256 / 65536


def test_whole_frequencies_stay_and_rows_go_by_themselves():
    freqs = np.array([[1, 2, 5], [6, 1, 1]])
    assert (np.diff(quantised(freqs / 8, 3).astype(int)) == freqs).all()
    P = np.random.default_rng(2).dirichlet(np.ones(9), (4, 5))
    together = quantised(P, 10)
    assert together.shape == (4, 5, 10)
    assert together.dtype == np.uint32
    assert all((together[i, j] == quantised(P[i, j], 10)).all() for i in range(4) for j in range(5))
    assert np.diff(quantised(np.ones(64), 6).astype(int)).tolist() == [1] * 64
    assert np.diff(quantised([1, 1, 1], 2).astype(int)).tolist() == [2, 1, 1]
    assert quantised([0.3], 1).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("weights", "precision"),
    [
        ([1, -1, 1], 4),
        ([0, 0], 4),
        ([np.nan, 1], 4),
        ([np.inf, 1], 4),
        (np.ones(17), 4),
        ([], 4),
        (1.0, 4),
        ([1, 1], 0),
        ([1, 1], 17),
    ],
)
def test_what_are_no_probabilities_is_refused(weights, precision):
    with pytest.raises(InputError):
        quantised(weights, precision)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([0, 2, 2, 4], "rise"),
        ([0, 3, 2, 4], "rise"),
        ([0, -1, 2, 4], "rise"),
        ([0, 2, 3], "2\\^2"),
        ([1, 2, 4], "2\\^2"),
        ([0, 2, 2**32 + 4], "2\\^2"),
        ([0, 2**32 + 1, 4], "rise"),
        ([[0, 2, 4], [0, 4, 4]], "rise"),
        ([0.0, 4.0], "whole"),
        ([0], "shape"),
        ([[[0, 4]]], "shape"),
    ],
)
def test_tables_that_cannot_be_are_refused(rows, says):
    with pytest.raises(InputError, match=says):
        Tables(np.array(rows), 2)


def test_tables_hold_still():
    given = np.array([0, 1, 4], dtype=np.uint32)
    tables = Tables(given, 2)
    assert tables.cumulative.shape == (1, 3)
    with pytest.raises(ValueError, match="read-only"):
        tables.cumulative[0, 1] = 2
    given[1] = 2  # the giver's array is still the giver's to write
