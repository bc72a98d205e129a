"""Distributions of symbols told by whole numbers: what a network says of a pixel, and its place on the coder."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from narrows.coding import plain_laws
from narrows.coding.ans import Ans, compiled_twin
from narrows.coding.functions import exactly, exponentials, sigmoids, tanh
from narrows.errors import at_least, at_most

PRECISION = 16
TOTAL = 1 << PRECISION
FRACTION = 64  # whole numbers of a network's output in one level, or in one nat


class Law(Protocol):
    """Symbols 0..symbols-1, each with a distribution of its own, which ``n_params`` whole numbers tell.

    The cumulative frequencies rise strictly from 0 to 2^16, so that any symbol can be coded whatever the network says.
    """

    @property
    def symbols(self) -> int:
        """How many symbols there are."""

    @property
    def n_params(self) -> int:
        """Whole numbers that tell one distribution."""

    def push(self, ans: Ans, params: NDArray[np.int32], symbols: NDArray[Any]) -> None:
        """Push symbols (m,) under params (m, n_params)."""

    def pop(self, ans: Ans, params: NDArray[np.int32]) -> NDArray[np.int64]:
        """Pop symbols (m,), the inverse of `push`; `Exhausted` if there are not so many."""

    def bits(self, params: NDArray[np.int32], symbols: NDArray[Any]) -> float:
        """Length of the code of symbols (m,): sum_i (16 - log2 f_i) bits."""


class LogisticMixture:
    """A mixture of logistic distributions cut into levels, in whole numbers.

    Of each of c components a symbol has a mean in 64ths of a level, a log scale and a logit in 64ths of a nat, as
    (m, 3 c) numbers: the means of all components, then the scales, then the logits. With

        w_k = 2^16 softmax(logits)_k, rounded down, what is missing given to the first of the likeliest
        t_k(v) = (v - 1/2 - mu_k) / s_k at 2^-16, held to [-12, 12],  s_k = spread * exp(5 tanh(log scale / 5))
        C(v) = floor((2^16 - L) sum_k w_k F(t_k(v)) / 2^36) + v for v = 1..L-1, C(0) = 0, C(L) = 2^16

    where F is a table of 2^20 sigmoid at steps of 2^-8, linear between them, exp and 1 / s tables of whole numbers, and
    every division one of whole numbers, rounded down. The largest number is below 2^61.

    Parameters
    ----------
    levels : int
        L, from 2 to 256.
    components : int
        c, from 1 to 64.
    spread : Decimal
        Scale, in levels, at a log scale of 0.
    """

    def __init__(self, levels: int, components: int, spread: Decimal) -> None:
        at_least("levels", levels, 2)
        at_most("levels", levels, 256)
        at_least("components", components, 1)
        at_most("components", components, 64)
        self.symbols = levels
        self.components = components
        self.n_params = 3 * components
        self._tables = _tables(spread)

    def push(self, ans: Ans, params: NDArray[np.int32], symbols: NDArray[Any]) -> None:
        """Push symbols (m,) under params (m, n_params)."""
        starts, freqs = self.ranges(params, symbols, compiled=ans.compiled)
        ans.push(starts, freqs, PRECISION)

    def pop(self, ans: Ans, params: NDArray[np.int32]) -> NDArray[np.int64]:
        """Pop symbols (m,), the inverse of `push`; `Exhausted` if there are not so many."""
        symbols = np.empty(len(params), dtype=np.int64)
        if ans.compiled:
            from narrows.coding import compiled_laws

            ans.run(compiled_laws.pop_mixture, _turned(params), self.symbols, *self._tables, symbols)
            return symbols
        return ans.pop_by(
            len(params),
            PRECISION,
            lambda group, slots: plain_laws.find_mixture(params[group], slots, self.symbols, *self._tables),
        )

    def ranges(
        self, params: NDArray[np.int32], symbols: NDArray[Any], *, compiled: bool | None = None
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Start and frequency out of 2^16 of symbols (m,) under params (m, n_params); the same from either twin."""
        numbers = np.ascontiguousarray(symbols, dtype=np.int64)
        if compiled_twin(compiled) is not None:
            from narrows.coding import compiled_laws

            starts, freqs = np.empty(len(numbers), np.uint32), np.empty(len(numbers), np.uint32)
            compiled_laws.mixture_ranges(_turned(params), numbers, self.symbols, *self._tables, starts, freqs)
            return starts, freqs
        return plain_laws.mixture_ranges(params, numbers, self.symbols, *self._tables)

    def bits(self, params: NDArray[np.int32], symbols: NDArray[Any]) -> float:
        """Length of the code of symbols (m,): sum_i (16 - log2 f_i) bits."""
        return length(self.ranges(params, symbols)[1])


def _turned(params: NDArray[np.int32]) -> NDArray[np.int32]:
    """Params (m, n_params) as (n_params, m), those of neighbouring symbols side by side; no copy if they are so."""
    return np.ascontiguousarray(params.T)


def length(freqs: NDArray[np.uint32]) -> float:
    """Bits that symbols of such frequencies take together: sum_i (16 - log2 f_i)."""
    return float(PRECISION * len(freqs) - np.log2(freqs).sum())


@lru_cache
def _tables(spread: Decimal) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """2^20 sigmoid at 2^-8; 2^14 exp(-d / 64); 2^20 / s for log scales of -16 to 16 nats at 2^-6."""
    edge = plain_laws.LOG_SCALES
    with localcontext(Context(prec=40)):
        inverse = exactly(
            lambda i: Decimal(1 << 20) / (spread * (5 * tanh(Decimal(i) / (5 * FRACTION))).exp()),
            range(-edge, edge + 1),
        )
    # 24 KiB, so that the nearest cache holds it.
    sigmoid = sigmoids(256, 1 << 20, plain_laws.REACH << 8).astype(np.int32)
    return sigmoid, exponentials(FRACTION, 1 << 14, plain_laws.LOGITS), inverse
