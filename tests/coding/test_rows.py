"""Rows of symbols: coded as their columns are one by one, and seen as a one for each symbol that is there."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.coding.ans import Ans
from narrows.coding.exact import IntegerNetwork
from narrows.coding.rows import Indicators, Rows
from narrows.coding.tabled import Categorical
from narrows.errors import InputError

TWINS = [False, True] if find_spec("numba") else [False]


def drawn(sizes, n, seed=0):
    r = np.random.default_rng(seed)
    logits = r.integers(-300, 300, (n, sum(sizes))).astype(np.int32)
    return logits, np.stack([r.integers(0, size, n) for size in sizes], 1).astype(np.uint8)


@given(sizes=st.lists(st.integers(1, 256), min_size=1, max_size=5), n=st.integers(0, 9), lanes=st.integers(1, 5))
@settings(max_examples=15)
def test_rows_come_back_the_same_bytes_from_either_twin(sizes, n, lanes):
    law, (logits, symbols) = Rows(sizes), drawn(sizes, n)
    stacks = set()
    for compiled in TWINS:
        ans = Ans(lanes, compiled=compiled)
        law.push(ans, logits, symbols)
        stacks.add(ans.to_bytes())
        assert (law.pop(ans, logits) == symbols).all()
        assert ans.empty
    assert len(stacks) == 1


def test_bits_are_those_of_the_columns():
    sizes = [3, 1, 200]
    logits, symbols = drawn(sizes, 50)
    own = [Categorical(3).bits(logits[:, :3], symbols[:, 0]), Categorical(200).bits(logits[:, 4:], symbols[:, 2])]
    assert Rows(sizes).bits(logits, symbols) == pytest.approx(sum(own))
    ans = Ans(1)
    Rows(sizes).push(ans, logits, symbols)
    assert ans.bits == pytest.approx(sum(own), abs=32)


def test_indicators_are_a_one_for_each_symbol():
    network = IntegerNetwork([Indicators([3, 1, 2])], (3,))
    assert network.shape_after == (6,)
    seen = network(np.array([[2, 0, 1], [0, 0, 0]], np.uint8))
    assert (seen == 4096 * np.array([[0, 0, 1, 1, 0, 1], [1, 0, 0, 1, 1, 0]])).all()
    again = IntegerNetwork.restored(network.description(), network.arrays(), (3,))
    assert (again(np.array([[1, 0, 1]], np.uint8)) == 4096 * np.array([0, 1, 0, 1, 0, 1])).all()
    with pytest.raises(InputError, match="does not take examples"):
        IntegerNetwork([Indicators([3, 1])], (3,))


@pytest.mark.parametrize("sizes", [[], [0], [257], [True], [2.0], "ab", None, 3, [[2]]])
def test_sizes_that_cannot_be_are_refused(sizes):
    with pytest.raises(InputError):
        Rows(sizes)
    with pytest.raises(InputError):
        Indicators(sizes)
