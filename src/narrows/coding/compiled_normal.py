"""Bins of normal distributions, compiled by numba: the twin of what `narrows.coding.normal` does in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.coding.compiled import advance, compiled, peek
from narrows.coding.normal import HALF, REACH, SHIFT

_PRECISION = 16
_FAR = REACH << 16

Ints = NDArray[np.int64]


@compiled
def _cumulative(u: int, mean: int, inverse: int, edges: Ints, table: Ints) -> int:
    """C(u)."""
    if u <= 0:
        return 0
    if u >= len(edges) - 1:
        return 1 << _PRECISION
    t = min(max(((edges[u] - mean) * inverse) >> 16, -_FAR), _FAR - 1) + _FAR
    place, between = t >> 8, t & 255
    return (table[place] * (256 - between) + table[place + 1] * between + HALF) >> SHIFT


@compiled
def pop_normal(
    states: NDArray[np.uint64],
    words: NDArray[np.uint16],
    size: int,
    means: Ints,
    inverse: Ints,
    edges: Ints,
    table: Ints,
    symbols: Ints,
) -> int:
    """Pop bins (m,) of normal distributions; returns the new number of words, or -1 if there were too few."""
    lane = len(symbols) % len(states)
    for i in range(len(symbols) - 1, -1, -1):
        lane = lane - 1 if lane > 0 else len(states) - 1
        slot: Any = np.int64(peek(states, lane, _PRECISION))
        found, step = 0, len(edges) >> 1
        while step:
            if _cumulative(found + step, means[i], inverse[i], edges, table) <= slot:
                found += step
            step >>= 1
        start = _cumulative(found, means[i], inverse[i], edges, table)
        end = _cumulative(found + 1, means[i], inverse[i], edges, table)
        size = advance(states, words, size, lane, start, end - start, _PRECISION)
        if size < 0:
            return size
        symbols[i] = found
    return size
