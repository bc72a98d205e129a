"""Arrays of whole numbers in few bytes: what goes in comes out, weights take little more than their entropy."""

import json
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import xlogy
from scipy.stats import norm

from narrows.coding.whole import _STEP, _wide, packed, unpacked
from narrows.errors import InputError

INT32 = np.iinfo(np.int32)


def back(given):
    """What `unpacked` makes of what `packed` made, by way of JSON."""
    description, payload = packed(given)
    return unpacked(json.loads(json.dumps(description)), payload)


SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, max_side=40).filter(lambda shape: math.prod(shape) <= 2000)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-300, 300),
    st.integers(INT32.min, INT32.max),
    st.sampled_from([INT32.min, INT32.max, -129, -128, 127, 128, -32769, 32768]),
)


@given(st.dictionaries(st.text(max_size=5), arrays.arrays(np.int64, SHAPES, elements=NUMBERS), max_size=4))
@settings(max_examples=60)
def test_round_trip(given):
    found = back(given)
    assert list(found) == list(given)
    for name, array in given.items():
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint32])
def test_what_comes_out_has_the_smallest_type_that_holds_it(dtype):
    for most, kind in ((127, np.int8), (128, np.int16), (40_000, np.int32)):
        if most <= np.iinfo(dtype).max:
            array = np.array([0, 1, most], dtype)
            assert back({"a": array})["a"].dtype == kind
            assert np.array_equal(back({"a": array})["a"], array)


def gaussian(sigma, shape=(16, 4000)):
    return np.rint(np.random.default_rng(0).normal(0, sigma, shape)).astype(np.int32)


@pytest.mark.parametrize("sigma", [0.7, 3, 20, 500, 30_000, 1e6])
def test_gaussian_weights_take_little_more_than_their_entropy(sigma):
    weights = gaussian(sigma)
    edges = np.arange(-10, 10) + 0.5
    p = np.diff(norm.cdf(edges / sigma))
    # That of numbers that are rounded is above the differential entropy where the steps are coarse.
    entropy = -xlogy(p, p).sum() / math.log(2) if sigma < 2 else math.log2(sigma * math.sqrt(2 * math.pi * math.e))
    bits = 8 * len(packed({"w": weights})[1]) / weights.size
    assert entropy < bits < entropy + (0.18 if sigma < 2 else 0.1)
    assert np.array_equal(back({"w": weights})["w"], weights)


def test_rows_of_different_sizes_each_have_a_law_of_their_own():
    wide, narrow = gaussian(4000, (1, 3000)), gaussian(2, (1, 3000))
    together = len(packed({"w": np.concatenate([wide, narrow])})[1])
    apart = len(packed({"w": wide})[1]) + len(packed({"w": narrow})[1])
    assert together <= apart


def test_zeros_take_next_to_nothing_and_other_constant_rows_little():
    assert len(packed({"w": np.zeros((1, 5000), int)})[1]) < 20
    for number in (1, -1):
        assert len(packed({"w": np.full((1, 5000), number)})[1]) < 5000 * 2.5 / 8
    assert len(packed({})[1]) == 4


def test_a_number_far_from_the_others_costs_little():
    weights = gaussian(3, (1, 5000))
    plain = len(packed({"w": weights})[1])
    weights[0, 77] = 3000
    assert len(packed({"w": weights})[1]) < plain + 60


def test_no_scale_of_a_row_lies_where_another_library_could_round_otherwise():
    mpmath.mp.dps = 40
    for scale in range(-64, 64):
        held = min(max(mpmath.mpf(scale) / _STEP / 5, mpmath.mpf("-0.999")), mpmath.mpf("0.999"))
        exact = 5 * 64 * mpmath.atanh(held)
        assert abs(exact - mpmath.floor(exact) - 0.5) > 1e-6
        assert _wide(scale) == int(mpmath.nint(exact))


@pytest.mark.parametrize(
    "array", [np.array([0.5]), np.array([1.0]), np.array([True]), np.array([1 << 31]), np.array([-(1 << 31) - 1])]
)
def test_other_arrays_are_refused(array):
    with pytest.raises(InputError, match=r"w holds .* that are no whole numbers of 32 bits"):
        packed({"w": array})


# --- Damaged and forged ----------------------------------------------------------------------------------------------

HONEST = packed({"w": gaussian(50, (3, 40)), "b": np.array([0, INT32.max, -7]), "s": np.array(5)})
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.sampled_from(["i1", "i4"])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=8,
)
ROWS = st.tuples(
    PLAIN,
    st.sampled_from(["i1", "i2", "i4", "f4", 3]),
    st.lists(st.one_of(st.integers(-2, 1 << 70), st.floats()), max_size=3),
)


def refused_or_arrays(description, payload):
    try:
        found = unpacked(description, payload)
    except InputError:
        return None
    assert all(array.dtype.kind == "i" for array in found.values())
    return found


@given(st.one_of(PLAIN, st.lists(st.one_of(ROWS, PLAIN), max_size=4)))
@settings(max_examples=200)
def test_a_forged_description_is_refused(description):
    refused_or_arrays(description, HONEST[1])


@given(st.integers(0, len(HONEST[1])), st.sampled_from(["bit", "cut", "insert"]), st.binary(min_size=1, max_size=9))
@settings(max_examples=200)
def test_a_damaged_payload_is_refused_or_gives_other_numbers(place, what, some):
    payload = bytearray(HONEST[1])
    if what == "bit":
        payload[place % len(payload)] ^= 1 << some[0] % 8
    elif what == "cut":
        del payload[place:]
    else:
        payload[place:place] = some
    found = refused_or_arrays(HONEST[0], bytes(payload))
    if found is not None:
        assert {name: array.shape for name, array in found.items()} == {"w": (3, 40), "b": (3,), "s": ()}


@pytest.mark.parametrize("shape", [[1 << 40], [0], [-3, -40], [1 << 20], [1 << 30, 1 << 30]])
def test_sizes_that_cannot_be(shape):
    with pytest.raises(InputError, match="which it cannot"):
        unpacked([["w", "i4", shape]], HONEST[1])


def test_no_more_is_made_than_the_payload_can_hold():
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(InputError, match="which it cannot"):
        unpacked([["w", "i1", [1 << 25]]], HONEST[1])
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_something_left_over_is_refused():
    with pytest.raises(InputError, match="more than it describes"):
        unpacked(HONEST[0][:-1], HONEST[1])
