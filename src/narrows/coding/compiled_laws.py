"""Laws compiled by numba, a group of symbols at a time: twins of those of `plain_laws`, with the same whole numbers.

A group has the size of which a compiler makes loops without a branch, several symbols in an instruction. Arrays of a
group are (c, GROUP) or (GROUP,), of which the first n columns are in use.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from narrows.coding.compiled import advance, compiled
from narrows.coding.plain_laws import LOG_SCALES, LOGITS, MEANS, REACH

GROUP = 64
_PRECISION = 16
_TOTAL = 1 << _PRECISION
_SHOWN = np.uint64(_TOTAL - 1)
_LOW, _HIGH = -REACH << 16, (REACH << 16) - 1

Ints = NDArray[np.int64]


@compiled
def _held(x: int, low: int, high: int) -> int:
    """The number, or the bound that it is beyond."""
    return min(max(np.int64(x), low), high)  # type: ignore[return-value]


@compiled
def _components(
    params: NDArray[np.int32],
    first: int,
    n: int,
    exponential: Ints,
    inverse: Ints,
    means: Ints,
    scales: Ints,
    weights: Ints,
) -> None:
    """Fill in means, reciprocal scales and weights of symbols first..first+n-1, whose params are (3 c, m)."""
    count = len(means)
    for k in range(count):
        for j in range(n):
            means[k, j] = _held(params[k, first + j], -MEANS, MEANS)
            log_scale = _held(params[count + k, first + j], -LOG_SCALES, LOG_SCALES)
            scales[k, j] = inverse[np.uint64(log_scale + LOG_SCALES)]
    _weights(params[2 * count :], first, n, exponential, weights)


@compiled
def _weights(logits: NDArray[np.int32], first: int, n: int, exponential: Ints, weights: Ints) -> None:
    """Fill in 2^16 softmax; what rounding leaves goes to the first of the likeliest."""
    most, total, left = np.full(GROUP, -(1 << 31)), np.zeros(GROUP, np.int64), np.full(GROUP, _TOTAL)
    _raised(most, logits, first, n)
    for k in range(len(logits)):
        for j in range(n):
            gap = most[j] - np.int64(logits[k, first + j])
            weights[k, j] = exponential[np.uint64(_held(gap, 0, LOGITS))]
            total[j] += weights[k, j]
    for k in range(len(logits)):
        for j in range(n):
            # Of whole numbers below 2^30 a quotient in float64 is rounded down as one of whole numbers is.
            weights[k, j] = np.int64(np.float64(weights[k, j] << 16) / np.float64(total[j]))
            left[j] -= weights[k, j]
    for k in range(len(logits)):
        for j in range(n):
            likeliest = np.int64(logits[k, first + j]) == most[j]
            weights[k, j] += left[j] if likeliest else 0
            left[j] = 0 if likeliest else left[j]


@compiled
def _raised(most: Ints, logits: NDArray[np.int32], first: int, n: int) -> None:
    """Raise each to the largest of its symbol's logits."""
    for k in range(len(logits)):
        # Said in a loop: of whole arrays numba compiles the tests of their shapes too, which takes seconds.
        for j in range(n):
            most[j] = max(most[j], np.int64(logits[k, first + j]))


@compiled
def _cumulative(
    v: Ints, n: int, levels: int, means: Ints, scales: Ints, weights: Ints, sigmoid: NDArray[np.int32], at: Ints
) -> None:
    """Fill in C(v) of each symbol, at (GROUP,)."""
    t, below, above = np.empty(GROUP, np.int64), np.empty(GROUP, np.int64), np.empty(GROUP, np.int64)
    at[:n] = 0
    for k in range(len(means)):
        for j in range(n):
            t[j] = _held(((64 * v[j] - 32 - means[k, j]) * scales[k, j]) >> 10, _LOW, _HIGH) - _LOW
        # Looking up is a loop of its own, or the others would be held up by it.
        for j in range(n):
            place = np.uint64(t[j] >> 8)
            below[j], above[j] = sigmoid[place], sigmoid[place + np.uint64(1)]
        for j in range(n):
            at[j] += (below[j] * (256 - (t[j] & 255)) + above[j] * (t[j] & 255)) * weights[k, j]
    for j in range(n):
        inside = ((at[j] >> 8) * (_TOTAL - levels) >> 36) + v[j]
        at[j] = 0 if v[j] <= 0 else _TOTAL if v[j] >= levels else inside


@compiled
def mixture_ranges(
    params: NDArray[np.int32],
    symbols: Ints,
    levels: int,
    sigmoid: NDArray[np.int32],
    exponential: Ints,
    inverse: Ints,
    starts: NDArray[np.uint32],
    freqs: NDArray[np.uint32],
) -> None:
    """Fill in start and frequency (m,) of symbols (m,) under params (3 c, m); see `laws.LogisticMixture`."""
    shape = (len(params) // 3, GROUP)
    means, scales, weights = np.empty(shape, np.int64), np.empty(shape, np.int64), np.empty(shape, np.int64)
    start, end = np.empty(GROUP, np.int64), np.empty(GROUP, np.int64)
    for first in range(0, len(symbols), GROUP):
        v = symbols[first : first + GROUP]
        n = len(v)
        _components(params, first, n, exponential, inverse, means, scales, weights)
        _cumulative(v, n, levels, means, scales, weights, sigmoid, start)
        _cumulative(v + 1, n, levels, means, scales, weights, sigmoid, end)
        for j in range(n):
            starts[first + j] = start[j]
            freqs[first + j] = end[j] - start[j]


@compiled
def pop_mixture(
    states: NDArray[np.uint64],
    words: NDArray[np.uint16],
    size: int,
    params: NDArray[np.int32],
    levels: int,
    sigmoid: NDArray[np.int32],
    exponential: Ints,
    inverse: Ints,
    symbols: Ints,
) -> int:
    """Pop symbols (m,) under params (3 c, m); returns the new number of words, or -1 if there were too few."""
    shape = (len(params) // 3, GROUP)
    means, scales, weights = np.empty(shape, np.int64), np.empty(shape, np.int64), np.empty(shape, np.int64)
    slots, low, start, end = np.empty((4, GROUP), np.int64)
    middle, at = np.empty(GROUP, np.int64), np.empty(GROUP, np.int64)
    first = len(symbols)
    while first > 0:
        # A group is of symbols in lanes side by side, each of which shows its slot at once.
        after = (first - 1) % len(states) + 1
        n = min(after, GROUP)
        first, lane = first - n, after - n
        for j in range(n):
            slots[j] = np.int64(states[lane + j] & _SHOWN)
        _components(params, first, n, exponential, inverse, means, scales, weights)
        low[:n], start[:n], end[:n] = 0, 0, _TOTAL
        left = levels
        while left > 1:  # halves, as many for every symbol
            half = left >> 1
            for j in range(n):
                middle[j] = low[j] + half
            _cumulative(middle, n, levels, means, scales, weights, sigmoid, at)
            for j in range(n):
                found = at[j] <= slots[j]
                low[j] = middle[j] if found else low[j]
                start[j] = at[j] if found else start[j]
                end[j] = end[j] if found else at[j]
            left -= half
        for j in range(n - 1, -1, -1):
            size = advance(states, words, size, lane + j, start[j], end[j] - start[j], _PRECISION)
            if size < 0:
                return size
            symbols[first + j] = low[j]
    return size
