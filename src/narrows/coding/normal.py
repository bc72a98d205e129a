"""The normal distribution in whole numbers: equal-mass bins of N(0, 1), and the bins of N(mean, sigma^2) in them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.coding.ans import Ans
from narrows.coding.functions import exactly
from narrows.coding.laws import FRACTION, PRECISION, TOTAL, length
from narrows.errors import InputError, at_least, at_most

REACH = 8  # standard deviations: beyond, no mass is left
STEP = 12  # means and centres are whole numbers of 2^-12
LOW_SCALE, HIGH_SCALE = -12 * FRACTION, 8 * FRACTION  # 64ths: beyond, s is held
ONE = 30  # 2^30 of the table of the distribution function is a probability of 1
SHIFT = ONE + 8 - PRECISION  # from the table's steps, 256 times finer, to those of the coder
HALF = 1 << SHIFT - 1
_FINE = 16  # edges are whole numbers of 2^-16
_MOST_BITS = 14
_AREA = 44  # an area of 1 is 2^44 while it is added up
_GUARD = 100  # bits after the point of a density
_PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Bins:
    """Equal-mass bins of N(0, 1).

    Attributes
    ----------
    edges : array of int64, shape (2^bits + 1,)
        In steps of 2^-16; bin u lies between edges u and u + 1, and the outermost reach to infinity.
    centres : array of int64, shape (2^bits,)
        In steps of 2^-12: half of a bin's mass lies on either side.
    """

    edges: Ints
    centres: Ints


class NormalBins:
    """Bins that have equal mass under N(0, 1), under N(mean, sigma^2): the posterior of a code in bits-back coding.

    Of each symbol, mean at 2^-12 and s at 2^-6 as numbers (m, 2), s that of latent ``gaussian``::

        sigma = softplus(s + 0.5413248546129181) + 0.0001
        C(u) = floor(2^16 Phi((edge_u - mean) / sigma) + 1/2)

    with edges at 2^-16, and Phi a table of 2^30 at steps of 2^-8, linear between them. A bin may have no mass: what is
    coded was drawn from the same law, and cannot lie there.

    Parameters
    ----------
    bits : int
        There are 2^bits bins, of 1 to 14 bits.
    """

    n_params = 2

    def __init__(self, bits: int) -> None:
        at_least("bits of a code", bits, 1)
        at_most("bits of a code", bits, _MOST_BITS)
        self.bins = equal_mass_bins(bits)
        self.digits = bits
        self.symbols = 1 << bits

    def push(self, ans: Ans, params: NDArray[np.int32], symbols: NDArray[Any]) -> None:
        """Push symbols (m,) under params (m, 2); `InputError` if one has no mass."""
        starts, freqs = self.ranges(params, symbols)
        if len(freqs) and not freqs.min():
            raise InputError("a code lies where it has no probability: data are damaged, or of another model")
        ans.push(starts, freqs, PRECISION)

    def pop(self, ans: Ans, params: NDArray[np.int32]) -> Ints:
        """Pop symbols (m,), the inverse of `push`, or a draw; `Exhausted` if there are not so many."""
        means, inverse = self._told(params)
        if ans.compiled:
            from narrows.coding import compiled_normal

            symbols = np.empty(len(params), dtype=np.int64)
            ans.run(compiled_normal.pop_normal, means, inverse, self.bins.edges, cumulative_normal(), symbols)
            return symbols

        def look(group: slice, slots: NDArray[np.uint64]) -> tuple[Ints, Ints, Ints]:
            return self._find(means[group], inverse[group], slots.astype(np.int64))

        return ans.pop_by(len(params), PRECISION, look)

    def ranges(self, params: NDArray[np.int32], symbols: NDArray[Any]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Start and frequency out of 2^16, which may be 0, of symbols (m,) under params (m, 2)."""
        means, inverse = self._told(params)
        number = np.asarray(symbols, dtype=np.int64)
        start = self._cumulative(number, means, inverse)
        return start.astype(np.uint32), (self._cumulative(number + 1, means, inverse) - start).astype(np.uint32)

    def bits(self, params: NDArray[np.int32], symbols: NDArray[Any]) -> float:
        """Length of the code of symbols (m,): sum_i (16 - log2 f_i) bits."""
        return length(self.ranges(params, symbols)[1])

    def nearest(self, params: NDArray[np.int32]) -> Ints:
        """Bins (...,) in which the means of params (..., 2) lie."""
        return np.searchsorted(self.bins.edges[1:-1], _means(params), side="right")

    def _told(self, params: NDArray[np.int32]) -> tuple[Ints, Ints]:
        """Means at 2^-16, and 2^16 / sigma."""
        return _means(params), inverse_scales()[np.clip(params[:, 1], LOW_SCALE, HIGH_SCALE) - LOW_SCALE]

    def _cumulative(self, u: Ints, means: Ints, inverse: Ints) -> Ints:
        """C(u) of each row, (m,)."""
        far = REACH << _FINE
        t = np.clip(((self.bins.edges[u] - means) * inverse) >> _FINE, -far, far - 1) + far
        table, place, between = cumulative_normal(), t >> 8, t & 255
        inside = (table[place] * (256 - between) + table[place + 1] * between + HALF) >> SHIFT
        return np.where(u <= 0, 0, np.where(u >= self.symbols, TOTAL, inside))

    def _find(self, means: Ints, inverse: Ints, slots: Ints) -> tuple[Ints, Ints, Ints]:
        """Symbols whose ranges hold the slots, their starts and frequencies."""
        found = np.zeros_like(slots)
        for digit in reversed(range(self.digits)):
            further = found + (1 << digit)
            found = np.where(self._cumulative(further, means, inverse) <= slots, further, found)
        start = self._cumulative(found, means, inverse)
        return found, start, self._cumulative(found + 1, means, inverse) - start


def _means(params: NDArray[np.int32]) -> Ints:
    far = REACH << STEP
    return np.clip(params[..., 0].astype(np.int64), -far, far) << (_FINE - STEP)


@lru_cache
def equal_mass_bins(bits: int) -> Bins:
    """Make the 2^bits bins."""
    above = _above()
    # Quantiles of j / 2^(bits + 1): those of even j are edges, those of odd ones centres.
    wanted = (np.arange(1 << bits, dtype=np.int64) << _AREA) >> (bits + 1)
    place = np.maximum(np.searchsorted(above, wanted), 1) - 1
    between = ((wanted - above[place]) << (_FINE - STEP)) // (above[place + 1] - above[place])
    upper = (place << (_FINE - STEP)) + between
    quantiles = np.concatenate([-upper[:0:-1], upper])
    end = REACH << _FINE
    edges = np.concatenate([[-end], quantiles[1::2], [end]])
    return Bins(edges, (quantiles[::2] + (1 << (_FINE - STEP - 1))) >> (_FINE - STEP))


@lru_cache
def cumulative_normal() -> Ints:
    """``2^30 Phi(i / 256)`` for i / 256 from -8 to 8, its ends 0 and 2^30: shape (4097,)."""
    upper = (_above()[:: 1 << (STEP - 8)] >> (_AREA - ONE)) + (1 << (ONE - 1))
    upper[-1] = 1 << ONE
    return np.concatenate([(1 << ONE) - upper[:0:-1], upper])


@lru_cache
def inverse_scales() -> Ints:
    """``2^16 / sigma`` for s in 64ths from `LOW_SCALE` to `HIGH_SCALE`."""
    shift, least = Decimal("0.5413248546129181"), Decimal("0.0001")

    def inverse(s: int) -> Decimal:
        return (1 << 16) / ((1 + (Decimal(s) / FRACTION + shift).exp()).ln() + least)

    return exactly(inverse, range(LOW_SCALE, HIGH_SCALE + 1))


@lru_cache
def _above() -> Ints:
    """``2^44 (Phi(i / 4096) - 1/2)`` for i / 4096 from 0 to 8, by the trapezoidal rule: 2^-29 off at most.

    The density comes by recursion, f_(i+1) = f_i r_i and r_(i+1) = r_i q with q = exp(-2^-24), in Python's own numbers.
    """
    with localcontext(Context(prec=50)):
        square = Decimal(1) / (1 << 2 * STEP)
        start = (1 / (2 * _PI).sqrt(), (-square / 2).exp(), (-square).exp())
        f, r, q = (int((number * (1 << _GUARD)).to_integral_value()) for number in start)
    density = []
    for _ in range((REACH << STEP) + 1):
        density.append(f >> (_GUARD - _AREA))
        f, r = f * r >> _GUARD, r * q >> _GUARD
    heights = np.array(density, dtype=np.int64)
    return (2 * heights.cumsum() - heights[0] - heights) >> (STEP + 1)
