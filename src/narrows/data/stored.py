"""An array in a file, read in order and in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Stored:
    """An array whose rows can be had in order, without the rest.

    Parameters
    ----------
    shape : tuple of int
        Of the whole array, rows first.
    dtype : dtype
        Of its cells.
    rows : callable
        Takes a number and gives all rows anew, in arrays (n, ...) of that many of them at most.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    rows: Callable[[int], Iterator[np.ndarray]]

    @classmethod
    def of(cls, array: np.ndarray) -> Self:
        """An array that is in memory already."""

        def rows(at_once: int) -> Iterator[np.ndarray]:
            return (array[start : start + at_once] for start in range(0, len(array), at_once))

        return cls(array.shape, array.dtype, rows)
