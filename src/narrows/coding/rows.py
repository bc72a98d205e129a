"""Rows of symbols, of each column one of its own many, as a network sees them and tells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.coding.ans import Ans
from narrows.coding.exact import STEP, Layer, Shape, check_whole
from narrows.coding.tabled import Categorical
from narrows.errors import InputError

MOST_SYMBOLS = 256
MOST_COLUMNS = 1 << 16


class Rows:
    """Rows of symbols: those of each column in no order, under logits side by side, as `Categorical` has them.

    Parameters
    ----------
    sizes : sequence of int
        Symbols of each column, from 1 to 256; where there is but one, nothing is coded.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.n_params = sum(_checked(sizes))
        ends = np.cumsum(sizes)
        self._columns = [
            (place, slice(int(end) - size, int(end)), Categorical(size))
            for place, (size, end) in enumerate(zip(sizes, ends, strict=True))
            if size > 1
        ]
        self._width = len(sizes)

    def push(self, ans: Ans, params: NDArray[np.int32], symbols: NDArray[Any]) -> None:
        """Push rows (n, columns) under logits (n, n_params) in 64ths of a nat, column after column."""
        for place, own, law in self._columns:
            law.push(ans, params[:, own], np.ascontiguousarray(symbols[:, place]))

    def pop(self, ans: Ans, params: NDArray[np.int32]) -> NDArray[np.int64]:
        """Pop rows (n, columns), the inverse of `push`; `Exhausted` if there are not so many."""
        symbols = np.zeros((len(params), self._width), dtype=np.int64)
        for place, own, law in reversed(self._columns):
            symbols[:, place] = law.pop(ans, params[:, own])
        return symbols

    def bits(self, params: NDArray[np.int32], symbols: NDArray[Any]) -> float:
        """Length of the code of rows (n, columns)."""
        return sum(law.bits(params[:, own], symbols[:, place]) for place, own, law in self._columns)


class Indicators(Layer, kind="indicators"):
    """Rows of symbols (n, columns) -> an activation for each symbol of each column: 1 for those that are there, else 0.

    Parameters
    ----------
    sizes : sequence of int
        Symbols of each column, from 1 to 256.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = _checked(sizes)
        self.settings = {"sizes": self.sizes}
        ends = torch.tensor(sizes).cumsum(0)
        self.register_buffer("starts", ends - torch.tensor(sizes), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, columns) -> (n, symbols)."""
        starts: Any = self.starts
        there = x.new_zeros(len(x), sum(self.sizes))
        return there.scatter_(1, x.long() + starts, float(1 << STEP))

    def shape_after(self, shape: Shape) -> Shape:
        """A row as long as there are symbols."""
        self.expect(shape == (len(self.sizes),), shape)
        return (sum(self.sizes),)


def _checked(sizes: Sequence[int]) -> list[int]:
    if not isinstance(sizes, (list, tuple)) or not 0 < len(sizes) <= MOST_COLUMNS:
        raise InputError("a codec of a table does not say how many symbols its columns have; export it again")
    return [check_whole("symbols of a column", size, 1, MOST_SYMBOLS) for size in sizes]
