"""The coder compiled by numba, one symbol at a time: the words are those of `plain`, of which the functions are twins.

`push_one`, `peek` and `advance` are there for other compiled code: a kernel that finds a symbol by a search of its own
calls them, and `narrows.coding.ans.Ans.run` calls the kernel.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Division needs no test for zero, since frequencies are checked beforehand; threads may code side by side.
compiled = njit(error_model="numpy", nogil=True)

# A signed and an unsigned number of 64 bits make a float in numba: every operand is unsigned, also constants.
_WORD = np.uint64(16)
_LOW = np.uint64(0xFFFF)
_LEAST = np.uint64(1 << 16)
_STATE = np.uint64(32)
_ONE = np.uint64(1)


@compiled
def push_one(
    states: NDArray[np.uint64], words: NDArray[np.uint16], size: int, lane: int, start: int, freq: int, precision: int
) -> int:
    """Push a symbol in [start, start + freq) of 2^p onto a lane; returns the new number of words."""
    x, f, p = states[lane], np.uint64(freq), np.uint64(precision)
    if x >= f << (_STATE - p):
        words[size] = np.uint16(x & _LOW)
        size += 1
        x >>= _WORD
    # Both are below 2^32: said so, the division takes half the time.
    whole = np.uint64(np.uint32(x) // np.uint32(f))
    states[lane] = (whole << p) + (x - whole * f) + np.uint64(start)
    return size


@compiled
def peek(states: NDArray[np.uint64], lane: int, precision: int) -> int:
    """Number below 2^p that a lane shows; the symbol on top of it is the one with start <= number < start + freq."""
    return states[lane] & ((_ONE << np.uint64(precision)) - _ONE)


@compiled
def advance(
    states: NDArray[np.uint64], words: NDArray[np.uint16], size: int, lane: int, start: int, freq: int, precision: int
) -> int:
    """Take the symbol that was found off its lane; returns the new number of words, or -1 if one is wanting."""
    x, p = states[lane], np.uint64(precision)
    x = np.uint64(freq) * (x >> p) + (x & ((_ONE << p) - _ONE)) - np.uint64(start)
    if x < _LEAST:
        if size == 0:
            return -1
        size -= 1
        x = (x << _WORD) | np.uint64(words[size])
    states[lane] = x
    return size


@compiled
def push(
    states: NDArray[np.uint64],
    words: NDArray[np.uint16],
    size: int,
    starts: NDArray[np.uint32],
    freqs: NDArray[np.uint32],
    precision: int,
) -> int:
    """Push symbols; ``words`` has room for one word a symbol."""
    lane = 0
    for i in range(len(starts)):
        size = push_one(states, words, size, lane, starts[i], freqs[i], precision)
        lane = lane + 1 if lane + 1 < len(states) else 0
    return size


@compiled
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
    lane = len(symbols) % len(states)
    for i in range(len(symbols) - 1, -1, -1):
        lane = lane - 1 if lane > 0 else len(states) - 1
        table, slot = which[i], peek(states, lane, precision)
        # The last entry that is no larger: halves without a branch, which nobody could foretell.
        found, left = 0, tables.shape[1] - 1
        while left > 1:
            half = left >> 1
            found += half if tables[table, found + half] <= slot else 0
            left -= half
        start = tables[table, found]
        size = advance(states, words, size, lane, start, tables[table, found + 1] - start, precision)
        if size < 0:
            return size
        symbols[i] = found
    return size


@compiled
def pop_uniform(
    states: NDArray[np.uint64], words: NDArray[np.uint16], size: int, precision: int, symbols: NDArray[np.int64]
) -> int:
    """Pop symbols that are all as likely, each below 2^p."""
    lane = len(symbols) % len(states)
    for i in range(len(symbols) - 1, -1, -1):
        lane = lane - 1 if lane > 0 else len(states) - 1
        slot = peek(states, lane, precision)
        size = advance(states, words, size, lane, slot, 1, precision)
        if size < 0:
            return size
        symbols[i] = slot
    return size
