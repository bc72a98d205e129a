"""Mixtures of logistics in whole numbers: a law for whatever a network says, the same from either twin."""

import hashlib
from decimal import Decimal
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from narrows.coding.ans import Ans
from narrows.coding.laws import FRACTION, TOTAL, LogisticMixture, length
from narrows.errors import InputError

TWINS = [False, True] if find_spec("numba") else [False]
INT32 = np.iinfo(np.int32)


@cache
def law(levels, components):
    return LogisticMixture(levels, components, Decimal(levels) / 24)


def every_range(levels, components, row, compiled):
    """Starts and frequencies of all symbols under one row of numbers."""
    rows = np.tile(np.array(row, np.int32), (levels, 1))
    return law(levels, components).ranges(rows, np.arange(levels), compiled=compiled)


def told(data, levels, components, m):
    """Numbers (m, 3 c) that a network may say, or must not be able to do harm by."""
    sizes = st.one_of(
        st.integers(-100, 64 * levels + 100),
        st.integers(-3000, 3000),
        st.integers(INT32.min, INT32.max),
        st.sampled_from([INT32.min, INT32.max, 0, -1024, 1024, 1 << 24, -(1 << 24) - 1]),
    )
    numbers = data.draw(st.lists(sizes, min_size=3 * components, max_size=3 * components))
    shifts = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-200, 200, (m, 3 * components))
    shifts[0] = 0
    return np.clip(numbers + shifts, INT32.min, INT32.max).astype(np.int32)


SIZES = {"levels": st.sampled_from([2, 3, 17, 255, 256]), "components": st.sampled_from([1, 2, 5, 64])}


@given(data=st.data(), **SIZES)
def test_cumulative_frequencies_rise_strictly_from_0_to_all(data, levels, components):
    row = told(data, levels, components, 1)[0]
    for compiled in TWINS:
        starts, freqs = every_range(levels, components, row, compiled)
        assert starts[0] == 0
        assert (freqs >= 1).all()
        assert np.array_equal(starts + freqs, [*starts[1:], TOTAL])


@given(data=st.data(), **SIZES)
def test_either_twin_writes_the_same_words_and_reads_those_of_the_other(data, levels, components):
    m, lanes = data.draw(st.sampled_from([0, 1, 7, 130])), data.draw(st.sampled_from([1, 3, 64, 100]))
    params = told(data, levels, components, max(m, 1))[:m]
    symbols = np.random.default_rng(m).integers(0, levels, m)
    written = set()
    for compiled in TWINS:
        ans = Ans(lanes, compiled=compiled)
        law(levels, components).push(ans, params, symbols)
        written.add(ans.to_bytes())
    assert len(written) == 1
    for compiled in TWINS:
        ans = Ans.from_bytes(next(iter(written)), lanes, compiled=compiled)
        assert np.array_equal(law(levels, components).pop(ans, params), symbols)
        assert ans.empty


def exact_cumulative(params, levels, components):
    """C(v) / 2^16 for v = 0..levels in floats, (m, levels + 1), the least that each symbol is given included."""
    means, log_scales, logits = (part / FRACTION for part in np.split(params.astype(float), 3, axis=1))
    scales = levels / 24 * np.exp(5 * np.tanh(log_scales / 5))
    edges = np.arange(levels + 1) - 0.5
    below = expit((edges[:, None] - means[:, None]) / scales[:, None])
    below[:, 0], below[:, -1] = 0, 1
    mixed = (softmax(logits, axis=1)[:, None] * below).sum(2)
    return (1 - levels / TOTAL) * mixed + np.arange(levels + 1) / TOTAL


@pytest.mark.parametrize("compiled", TWINS)
@pytest.mark.parametrize(("levels", "components"), [(256, 1), (256, 5), (17, 3), (2, 64)])
def test_it_is_the_mixture_that_it_says(levels, components, compiled):
    r = np.random.default_rng(0)
    m = 20
    means = r.uniform(-0.2 * levels, 1.2 * levels, (m, components))
    scales, logits = r.uniform(-4, 3, (m, components)), r.uniform(-6, 6, (m, components))
    params = np.rint(FRACTION * np.concatenate([means, scales, logits], axis=1)).astype(np.int32)
    found = np.stack([np.append(every_range(levels, components, row, compiled)[0], TOTAL) for row in params])
    off = np.abs(found - TOTAL * exact_cumulative(params, levels, components))
    # Weights are rounded at 2^-14 before they are added up, and scales at 2^-20 of their inverse.
    assert off.max() < 4 + 2 * components
    assert off.mean() < 2 + 0.1 * components


@pytest.mark.parametrize("levels", [2, 16, 256])
def test_bits_are_those_of_the_exact_law(levels):
    """Symbols drawn from the law in floats take at most 0.01 bits more each than it says."""
    r = np.random.default_rng(1)
    m, components = 20_000, 3
    means, scales = r.uniform(0, levels, (m, components)), r.uniform(-2.5, 1, (m, components))
    params = np.rint(FRACTION * np.concatenate([means, scales, r.normal(size=means.shape)], axis=1)).astype(np.int32)
    whole = (exact_cumulative(params, levels, components) - np.arange(levels + 1) / TOTAL) / (1 - levels / TOTAL)
    symbols = (whole[:, 1:-1] < r.random((m, 1))).sum(1)
    rows = np.arange(m)
    exact = -np.log2(whole[rows, symbols + 1] - whole[rows, symbols]).sum()
    ours = law(levels, components).bits(params, symbols)
    assert ours == length(law(levels, components).ranges(params, symbols)[1])
    assert abs(ours - exact) / m < 0.01


def test_a_component_far_below_the_likeliest_takes_no_part():
    near = [64 * 100, 0, -64, 0, 64 * 12, 0]
    far = [64 * 100, 64 * 7, -64, 64, 64 * 12, -1]
    alone = every_range(256, 1, [64 * 100, -64, 0], False)
    for row in (near, far):
        assert np.array_equal(every_range(256, 2, row, False), alone)


@pytest.mark.parametrize(("levels", "components"), [(1, 1), (0, 1), (257, 1), (2, 0), (2, 65)])
def test_refusals(levels, components):
    with pytest.raises(InputError, match=r"levels|components"):
        LogisticMixture(levels, components, Decimal(1))


def test_a_payload_cut_short_is_refused():
    params = np.tile(np.array([64 * 9, 64, 0], np.int32), (50, 1))
    for compiled in TWINS:
        ans = Ans(1, compiled=compiled)
        law(17, 1).push(ans, params, np.arange(50) % 17)
        short = Ans.from_bytes(ans.to_bytes()[:-6], 1, compiled=compiled)
        before = short.to_bytes()
        with pytest.raises(InputError, match="end before the last symbol"):
            law(17, 1).pop(short, params)
        assert short.to_bytes() == before


def test_the_tables_stay_as_they_are():
    """Files that were written are decoded by them."""
    tables = b"".join(table.astype("<i8").tobytes() for levels in (2, 256) for table in law(levels, 1)._tables)
    assert hashlib.sha256(tables).hexdigest()[:16] == "21467b9781f86805"
