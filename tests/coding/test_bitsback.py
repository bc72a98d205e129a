"""Bits-back coding of a model small enough to be known whole: lengths, draws, inverses, damage."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.coding import Ans, Exhausted, Tables
from narrows.coding.bitsback import Codec, bits_back, settled, told, uniform
from narrows.coding.tabled import Bernoulli
from narrows.errors import InputError

TWINS = [False, True] if find_spec("numba") else [False]
twins = pytest.mark.parametrize("compiled", TWINS)

# p(z) of four codes, p(x | z) of three values, q(z | x) near to the true posterior but not it: out of 2^16.
PRIOR = np.array([8192, 8192, 16384, 32768])
LIKELIHOOD = np.array([[60000, 5000, 536], [500, 65000, 36], [20000, 20000, 25536], [1000, 4536, 60000]])
POSTERIOR = np.array([[40000, 536, 15000, 10000], [2000, 40000, 20000, 3536], [536, 1000, 4000, 60000]])


def tables(freqs):
    freqs = np.atleast_2d(freqs)
    return Tables(np.concatenate([np.zeros_like(freqs[:, :1]), freqs.cumsum(1)], 1).astype(np.uint32), 16)


def looked_up(freqs, which):
    """Codec of symbols, one for each of ``which``, by its row of frequencies."""
    own = tables(freqs)
    return Codec(
        lambda ans, symbols: ans.push_symbols(symbols, own, which),
        lambda ans: ans.pop_symbols(len(which), own, which),
    )


def codec(n):
    return bits_back(
        looked_up(PRIOR, np.zeros(n, dtype=int)),
        lambda z: looked_up(LIKELIHOOD, z),
        lambda x: looked_up(POSTERIOR, x),
    )


def filled(words, lanes, compiled, seed=0):
    ans = Ans(lanes, compiled=compiled)
    ans.push_uniform(np.random.default_rng(seed).integers(1 << 16, size=words), 16)
    return ans


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 50), lanes=st.integers(1, 9))
def test_a_round_trip_restores_values_and_stack_the_same_from_either_twin(seed, n, lanes):
    x = np.random.default_rng(seed).integers(3, size=n)
    written = []
    for compiled in TWINS:
        ans = filled(n + 20, lanes, compiled, seed)
        before = ans.to_bytes()
        codec(n).push(ans, x)
        written.append(ans.to_bytes())
        read = Ans.from_bytes(written[-1], lanes, compiled=compiled)
        assert (codec(n).pop(read) == x).all()
        assert read.to_bytes() == before
    assert written[0] == written[-1]


@twins
def test_the_length_is_minus_the_elbo(compiled):
    n = 40_000
    p, likelihood, q = PRIOR / 2**16, LIKELIHOOD / 2**16, POSTERIOR / 2**16
    x = np.random.default_rng(1).choice(3, n, p=p @ likelihood)
    by_code = np.log2(q) - np.log2(p) - np.log2(likelihood.T)  # bits that x takes if z is its code
    elbo = -(q * by_code).sum(1)
    spread = np.sqrt((q * by_code**2).sum(1) - elbo**2)
    ans = filled(n + 100, 8, compiled)
    before = ans.bits
    codec(n).push(ans, x)
    # Draws of the codes alone make the length differ; and each of 8 lanes by less than a word at either end.
    assert abs(ans.bits - before + elbo[x].sum()) < 4 * np.sqrt((spread[x] ** 2).sum()) + 2 * 8 * 16


def test_codes_are_drawn_from_the_posterior():
    n, seen = 8000, []
    prior = looked_up(PRIOR, np.zeros(n, dtype=int))
    watched = Codec(lambda ans, z: seen.append(z) or prior.push(ans, z), prior.pop)
    x = np.full(n, 1)
    bits_back(watched, lambda z: looked_up(LIKELIHOOD, z), lambda x: looked_up(POSTERIOR, x)).push(
        filled(n + 100, 8, None), x
    )
    expected = n * POSTERIOR[1] / 2**16
    chi_square = ((np.bincount(seen[0], minlength=4) - expected) ** 2 / expected).sum()
    assert chi_square < 16.3  # more at one seed in a thousand


def test_too_few_bits_leave_the_stack_as_it_was():
    ans = Ans(1)
    before = ans.to_bytes()
    with pytest.raises(Exhausted):
        codec(100).push(ans, np.zeros(100, dtype=int))
    assert ans.to_bytes() == before


def test_settled_codes_take_no_bits_and_admit_no_others():
    z = np.array([[1, 2], [3, 0]])
    ans = filled(3, 1, None)
    before = ans.to_bytes()
    assert (settled(z).pop(ans) == z).all()
    settled(z).push(ans, z)
    assert ans.to_bytes() == before
    with pytest.raises(InputError, match="codes are not those of the data"):
        settled(z).push(ans, z[::-1])


@twins
def test_codecs_of_laws_and_numbers_keep_their_shapes(compiled):
    r = np.random.default_rng(0)
    bits, whole = r.integers(2, size=(3, 4, 5)), r.integers(1 << 9, size=(2, 7))
    law = told(Bernoulli(), r.integers(-200, 200, (3, 4, 5, 1)).astype(np.int32))
    numbers = uniform((2, 7), 9)
    ans = Ans(4, compiled=compiled)
    law.push(ans, bits)
    numbers.push(ans, whole)
    assert (numbers.pop(ans) == whole).all()
    assert (law.pop(ans) == bits).all()
    assert ans.empty
