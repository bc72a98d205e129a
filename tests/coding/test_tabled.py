"""Laws that are looked up, against their formulas, and on the coder."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from narrows.coding import Ans, Exhausted
from narrows.coding.tabled import Bernoulli, Categorical
from narrows.errors import InputError

TWINS = [False, True] if find_spec("numba") else [False]
EXTREMES = [-(2**31), -769, -768, -1, 0, 1, 768, 769, 2**31 - 1]


def frequencies(law, row):
    """Frequencies of all symbols under one row of numbers, from their code lengths."""
    rows = np.repeat(np.array([row], dtype=np.int32), law.symbols, 0)
    bits = np.array([law.bits(rows[:1], np.array([symbol])) for symbol in range(law.symbols)])
    return 2 ** (16 - bits)


@st.composite
def cases(draw):
    r = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    law = draw(st.sampled_from([Bernoulli(), Categorical(2), Categorical(7), Categorical(256)]))
    m = draw(st.sampled_from([0, 1, 2, 60]) | st.integers(0, 60))
    params = r.integers(-900, 900, (m, law.n_params)).astype(np.int32)
    odd = r.random(params.shape) < 0.2
    params[odd] = r.choice(EXTREMES, odd.sum())
    return law, params, r.integers(law.symbols, size=m), draw(st.integers(1, 9))


@given(case=cases())
def test_symbols_go_on_the_stack_and_come_off_the_same_from_either_twin(case):
    law, params, symbols, lanes = case
    written = []
    for compiled in TWINS:
        ans = Ans(lanes, compiled=compiled)
        law.push(ans, params, symbols)
        written.append(ans.to_bytes())
        assert (law.pop(ans, params) == symbols).all()
        assert ans.empty
    assert written[0] == written[-1]


@given(case=cases())
def test_frequencies_are_whole_and_add_up_and_none_is_0(case):
    law, params, _, _ = case
    for row in params[:3]:
        found = frequencies(law, row)
        assert np.abs(found - np.rint(found)).max() < 1e-6
        assert found.min() > 0.99
        assert found.sum() == pytest.approx(1 << 16)


def test_bits_have_the_probability_of_their_logit():
    for logit in [*range(-800, 801, 50), *EXTREMES]:
        known = np.clip(2**16 * expit(logit / 64), 1, 2**16 - 1)
        assert frequencies(Bernoulli(), [logit])[1] == pytest.approx(known, abs=1.01 if abs(logit) >= 768 else 0.51)


def test_symbols_have_the_probabilities_of_their_logits():
    r = np.random.default_rng(0)
    for levels in (2, 10, 256):
        row = r.integers(-300, 300, levels)
        known = softmax(row / 64) * (2**16 - levels) + 1
        # C is rounded down on both sides; exp, by a table of 2^-20, is off by as many in a million.
        assert np.abs(frequencies(Categorical(levels), row) - known).max() < 1.1


@pytest.mark.parametrize("compiled", TWINS)
@pytest.mark.parametrize("law", [Bernoulli(), Categorical(4)], ids=["bernoulli", "categorical"])
def test_too_few_bits_are_noticed(law, compiled):
    with pytest.raises(Exhausted):
        law.pop(Ans(1, compiled=compiled), np.zeros((400, law.n_params), dtype=np.int32))


@pytest.mark.parametrize("law", [Bernoulli(), Categorical(4)], ids=["bernoulli", "categorical"])
def test_symbols_that_there_are_not_are_refused(law):
    with pytest.raises(InputError, match="allowed are 0 to"):
        law.push(Ans(1), np.zeros((1, law.n_params), dtype=np.int32), np.array([law.symbols]))


def test_the_length_of_the_last_of_256_symbols():
    """One more than 255 is 0 among bytes, which symbols come as."""
    assert Categorical(256).bits(np.zeros((1, 256), np.int32), np.array([255], np.uint8)) == pytest.approx(8)
