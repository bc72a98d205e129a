"""The coder in NumPy: one group of at most L symbols at a time, a lane each.

`compiled` has functions of the same names, which write the same words. They change ``states`` and ``words`` in place
and return the number of words then on the stack, or -1 if it held too few; what they are given has been checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Look = Callable[[slice, NDArray[np.uint64]], tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]
"""From the place of a group among the symbols, and what their lanes show, to its symbols, starts and frequencies."""


def push(
    states: NDArray[np.uint64],
    words: NDArray[np.uint16],
    size: int,
    starts: NDArray[np.uint32],
    freqs: NDArray[np.uint32],
    precision: int,
) -> int:
    """Push symbols; ``words`` has room for one word a symbol."""
    for group in _groups(len(starts), len(states)):
        start, freq = starts[group].astype(np.uint64), freqs[group].astype(np.uint64)
        x = states[: len(freq)]
        # Once is enough: x < 2^32, so that after it x < 2^16 <= freq << (32 - p).
        full = x >= freq << (32 - precision)
        spilt = x[full]
        words[size : size + len(spilt)] = spilt & 0xFFFF
        size += len(spilt)
        x[full] = spilt >> 16
        whole, rest = np.divmod(x, freq)
        x[:] = (whole << precision) + rest + start
    return size


def pop(
    states: NDArray[np.uint64],
    words: NDArray[np.uint16],
    size: int,
    tables: NDArray[np.uint32],
    which: NDArray[np.uint32],
    precision: int,
    symbols: NDArray[np.int64],
) -> int:
    """Pop symbols, the i-th by row ``which[i]`` of the cumulative ``tables`` (tables, alphabet + 1)."""
    alphabet = tables.shape[1] - 1
    # Row r of a group is raised by r 2^p: then the rows, one after the other, are one sorted list, searched at once.
    raised = np.arange(len(states), dtype=np.uint32) << precision
    before = np.arange(len(states)) * alphabet

    def look(group: slice, slots: NDArray[np.uint64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        rows, n, sought = which[group], len(slots), slots.astype(np.uint32)
        if len(tables) == 1:
            found = np.searchsorted(tables[0, :-1], sought, side="right") - 1
        else:
            listed = (tables[rows, :-1] + raised[:n, None]).ravel()
            found = np.searchsorted(listed, sought + raised[:n], side="right") - 1 - before[:n]
        starts = tables[rows, found]
        return found, starts, tables[rows, found + 1] - starts

    return pop_by(states, words, size, precision, symbols, look)


def pop_uniform(
    states: NDArray[np.uint64], words: NDArray[np.uint16], size: int, precision: int, symbols: NDArray[np.int64]
) -> int:
    """Pop symbols that are all as likely, each below 2^p."""
    one = np.ones(1, dtype=np.uint64)
    return pop_by(states, words, size, precision, symbols, lambda group, slots: (slots, slots, one))


def pop_by(
    states: NDArray[np.uint64],
    words: NDArray[np.uint16],
    size: int,
    precision: int,
    symbols: NDArray[np.int64],
    look: Look,
) -> int:
    """Pop symbols that ``look`` finds, from the last group to the first."""
    for group in reversed(list(_groups(len(symbols), len(states)))):
        x = states[: group.stop - group.start]
        slots = x & np.uint64((1 << precision) - 1)
        symbols[group], starts, freqs = look(group, slots)
        x[:] = freqs.astype(np.uint64) * (x >> precision) + slots - starts.astype(np.uint64)
        short = x < 1 << 16
        wanted = int(np.count_nonzero(short))
        if wanted > size:
            return -1
        # The last lane takes the last word; and so the words, in their order, belong to the lanes in theirs.
        x[short] = (x[short] << 16) | words[size - wanted : size]
        size -= wanted
    return size


def _groups(n: int, lanes: int) -> Iterator[slice]:
    return (slice(low, min(low + lanes, n)) for low in range(0, n, lanes))
