"""Distributions of symbols that are looked up: of bits, and of symbols in no order."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.coding.ans import Ans
from narrows.coding.frequencies import Tables
from narrows.coding.functions import exponentials, sigmoids
from narrows.coding.laws import FRACTION, PRECISION, TOTAL, length
from narrows.errors import at_least, at_most

_LOGITS = 12 * FRACTION  # 64ths of a nat: beyond, a frequency is the smallest there is
_HEAVIEST = 1 << 20


class Bernoulli:
    """Bits: of each the logit in 64ths of a nat, as (m, 1) numbers; P(1) = 2^-16 round(2^16 sigmoid), never 0 or 1."""

    symbols = 2
    n_params = 1

    def push(self, ans: Ans, params: NDArray[np.int32], symbols: NDArray[Any]) -> None:
        """Push bits (m,) under logits (m, 1)."""
        ans.push_symbols(symbols, _bernoullis(), _rows(params))

    def pop(self, ans: Ans, params: NDArray[np.int32]) -> NDArray[np.int64]:
        """Pop bits (m,), the inverse of `push`; `Exhausted` if there are not so many."""
        return ans.pop_symbols(len(params), _bernoullis(), _rows(params))

    def bits(self, params: NDArray[np.int32], symbols: NDArray[Any]) -> float:
        """Length of the code of bits (m,)."""
        cumulative, rows = _bernoullis().cumulative, _rows(params)
        return length(cumulative[rows, symbols + 1] - cumulative[rows, symbols])


class Categorical:
    """Symbols in no order: of each L logits in 64ths of a nat, as (m, L) numbers.

    With e_l = 2^20 exp(logit_l - largest logit) from a table, C(v) = floor((2^16 - L) sum_{l < v} e_l / sum_l e_l) + v.

    Parameters
    ----------
    levels : int
        L, from 2 to 256.
    """

    def __init__(self, levels: int) -> None:
        at_least("levels", levels, 2)
        at_most("levels", levels, 256)
        self.symbols = levels
        self.n_params = levels

    def push(self, ans: Ans, params: NDArray[np.int32], symbols: NDArray[Any]) -> None:
        """Push symbols (m,) under logits (m, L)."""
        if len(params):
            ans.push_symbols(symbols, self._tables(params), np.arange(len(params)))

    def pop(self, ans: Ans, params: NDArray[np.int32]) -> NDArray[np.int64]:
        """Pop symbols (m,), the inverse of `push`; `Exhausted` if there are not so many."""
        if not len(params):
            return np.empty(0, dtype=np.int64)
        return ans.pop_symbols(len(params), self._tables(params), np.arange(len(params)))

    def bits(self, params: NDArray[np.int32], symbols: NDArray[Any]) -> float:
        """Length of the code of symbols (m,)."""
        cumulative, rows = self._tables(params).cumulative, np.arange(len(symbols))
        symbols = symbols.astype(np.int64)  # 255 + 1 is 0 among bytes
        return length(cumulative[rows, symbols + 1] - cumulative[rows, symbols])

    def _tables(self, params: NDArray[np.int32]) -> Tables:
        """Cumulative frequencies of each row (m, L + 1)."""
        logits = params.astype(np.int64)
        gaps = np.minimum(logits.max(1, keepdims=True) - logits, _LOGITS)
        sums = exponentials(FRACTION, _HEAVIEST, _LOGITS)[gaps].cumsum(1)
        cumulative = np.zeros((len(logits), self.symbols + 1), dtype=np.uint32)
        cumulative[:, 1:] = sums * (TOTAL - self.symbols) // sums[:, -1:] + np.arange(1, self.symbols + 1)
        return Tables(cumulative, PRECISION)


@lru_cache
def _bernoullis() -> Tables:
    """Cumulative frequencies of bits for logits of -12 to 12 nats in 64ths."""
    ones = np.clip(sigmoids(FRACTION, TOTAL, _LOGITS), 1, TOTAL - 1)
    rows = np.stack([np.zeros_like(ones), TOTAL - ones, np.full_like(ones, TOTAL)], 1)
    return Tables(rows.astype(np.uint32), PRECISION)


def _rows(params: NDArray[np.int32]) -> NDArray[np.int64]:
    """Row of the tables for each bit."""
    return np.clip(params[:, 0].astype(np.int64), -_LOGITS, _LOGITS) + _LOGITS
