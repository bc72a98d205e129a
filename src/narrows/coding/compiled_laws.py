"""Laws compiled by numba, one symbol at a time: twins of the functions of `plain_laws`, with the same whole numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from narrows.coding.compiled import advance, compiled, peek
from narrows.coding.plain_laws import LOG_SCALES, LOGITS, MEANS, REACH

_PRECISION = 16
_LOW, _HIGH = -REACH << 16, (REACH << 16) - 1

Ints = NDArray[np.int64]


@compiled
def _components(
    params: NDArray[np.int32], row: int, exponential: Ints, inverse: Ints, means: Ints, scales: Ints, weights: Ints
) -> None:
    """Fill in means, reciprocal scales and weights (c,) of one row."""
    count = len(means)
    first = 0
    for k in range(count):
        means[k] = min(max(params[row, k], -MEANS), MEANS)
        log_scale: int = params[row, count + k]
        scales[k] = inverse[min(max(log_scale, -LOG_SCALES), LOG_SCALES) + LOG_SCALES]
        if params[row, 2 * count + k] > params[row, 2 * count + first]:
            first = k
    total = 0
    for k in range(count):
        # Signed numbers of 32 bits are subtracted as such of 64.
        gap: int = params[row, 2 * count + first] - np.int64(params[row, 2 * count + k])
        weights[k] = exponential[min(gap, LOGITS)]
        total += weights[k]
    left = 1 << 16
    for k in range(count):
        weights[k] = (weights[k] << 16) // total
        left -= weights[k]
    weights[first] += left


@compiled
def _cumulative(v: int, levels: int, means: Ints, scales: Ints, weights: Ints, sigmoid: NDArray[np.int32]) -> int:
    """C(v)."""
    if v <= 0:
        return 0
    if v >= levels:
        return 1 << 16
    mass = 0
    edge = 64 * v - 32
    for k in range(len(means)):
        t = min(max(((edge - means[k]) * scales[k]) >> 10, _LOW), _HIGH) - _LOW
        place, between = t >> 8, t & 255
        mass += (sigmoid[place] * (256 - between) + sigmoid[place + 1] * between) * weights[k]
    return ((mass >> 8) * ((1 << 16) - levels) >> 36) + v


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
    """Fill in start and frequency (m,) of symbols (m,); see `narrows.coding.laws.LogisticMixture`."""
    count = params.shape[1] // 3
    means, scales, weights = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    for i in range(len(symbols)):
        _components(params, i, exponential, inverse, means, scales, weights)
        start = _cumulative(symbols[i], levels, means, scales, weights, sigmoid)
        starts[i] = start
        freqs[i] = _cumulative(symbols[i] + 1, levels, means, scales, weights, sigmoid) - start


@compiled
def _bracket(
    slot: int, levels: int, means: Ints, scales: Ints, weights: Ints, sigmoid: NDArray[np.int32], place: Ints
) -> None:
    """Find symbols between which the one at a slot lies; ``place`` becomes low, C(low), high, C(high).

    From the mean on, in steps that double: most symbols are near it.
    """
    guess = 0
    for k in range(len(means)):
        guess += weights[k] * means[k]
    v = min(max(((guess >> 16) + 32) >> 6, 0), levels - 1)
    at, step = _cumulative(v, levels, means, scales, weights, sigmoid), 1
    place[0] = place[2] = v
    place[1] = place[3] = at
    if at <= slot:
        while place[3] <= slot:
            place[0], place[1] = place[2], place[3]
            place[2] = min(place[0] + step, levels)
            place[3] = _cumulative(place[2], levels, means, scales, weights, sigmoid)
            step *= 2
    else:
        while place[1] > slot:
            place[2], place[3] = place[0], place[1]
            place[0] = max(place[2] - step, 0)
            place[1] = _cumulative(place[0], levels, means, scales, weights, sigmoid)
            step *= 2


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
    """Pop symbols (m,) under params (m, 3 c); returns the new number of words, or -1 if there were too few."""
    count = params.shape[1] // 3
    means, scales, weights = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    place = np.empty(4, np.int64)
    lane = len(symbols) % len(states)
    for i in range(len(symbols) - 1, -1, -1):
        lane = lane - 1 if lane > 0 else len(states) - 1
        _components(params, i, exponential, inverse, means, scales, weights)
        slot: int = np.int64(peek(states, lane, _PRECISION))  # type: ignore[assignment]  # signed, as all here
        _bracket(slot, levels, means, scales, weights, sigmoid, place)
        low, start, high, end = place[0], place[1], place[2], place[3]
        while high - low > 1:
            middle = (low + high) >> 1
            at = _cumulative(middle, levels, means, scales, weights, sigmoid)
            if at <= slot:
                low, start = middle, at
            else:
                high, end = middle, at
        size = advance(states, words, size, lane, start, end - start, _PRECISION)
        if size < 0:
            return size
        symbols[i] = low
    return size
