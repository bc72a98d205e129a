"""Laws in plain NumPy: what `compiled_laws` does one symbol at a time is done here for all at once, to the same end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

REACH = 12  # scales from the mean to where a logistic ends
LOGITS = 12 * 64  # 64ths of a nat below the likeliest component at which another one ends
LOG_SCALES = 16 * 64  # 64ths of a nat to either side: beyond, tanh is as good as 1
MEANS = 1 << 24  # 64ths of a level: no mean is farther out

Ints = NDArray[np.int64]


def mixture_ranges(
    params: NDArray[np.int32], symbols: Ints, levels: int, sigmoid: NDArray[np.int32], exponential: Ints, inverse: Ints
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Start and frequency (m,) of symbols (m,); see `narrows.coding.laws.LogisticMixture`."""
    components = _components(params, exponential, inverse)
    start = _cumulative(symbols, levels, components, sigmoid)
    end = _cumulative(symbols + 1, levels, components, sigmoid)
    return start.astype(np.uint32), (end - start).astype(np.uint32)


def find_mixture(
    params: NDArray[np.int32],
    slots: NDArray[np.uint64],
    levels: int,
    sigmoid: NDArray[np.int32],
    exponential: Ints,
    inverse: Ints,
) -> tuple[Ints, Ints, Ints]:
    """Symbols (m,) whose ranges hold the slots (m,), their starts and frequencies."""
    components = _components(params, exponential, inverse)
    sought = slots.astype(np.int64)
    found, end = np.zeros_like(sought), np.full_like(sought, 1 << 16)
    start = np.zeros_like(sought)
    left = np.full_like(sought, levels)
    while left.max(initial=1) > 1:
        half = left >> 1
        at = _cumulative(found + half, levels, components, sigmoid)
        above = at > sought
        end = np.where((half > 0) & above, at, end)
        start = np.where((half > 0) & ~above, at, start)
        found += np.where(above, 0, half)
        left = np.where(above, half, left - half)
    return found, start, end - start


def _components(params: NDArray[np.int32], exponential: Ints, inverse: Ints) -> tuple[Ints, Ints, Ints]:
    """Means, reciprocal scales and weights, (m, c) each."""
    means, log_scales, logits = params.astype(np.int64).reshape(len(params), 3, params.shape[1] // 3).transpose(1, 0, 2)
    gaps = np.minimum(logits.max(1, keepdims=True) - logits, LOGITS)
    shares: Any = exponential[gaps]
    weights = (shares << 16) // shares.sum(1, keepdims=True)
    first = logits.argmax(1)
    weights[np.arange(len(weights)), first] += (1 << 16) - weights.sum(1)
    scales = inverse[np.clip(log_scales, -LOG_SCALES, LOG_SCALES) + LOG_SCALES]
    return np.clip(means, -MEANS, MEANS), scales, weights


def _cumulative(v: Ints, levels: int, components: tuple[Ints, Ints, Ints], sigmoid: NDArray[np.int32]) -> Ints:
    """C(v) of each row, (m,)."""
    means, scales, weights = components
    edges = (64 * v - 32)[:, None] - means
    t = np.clip((edges * scales) >> 10, -REACH << 16, (REACH << 16) - 1) + (REACH << 16)
    place, between = t >> 8, t & 255
    mass = (sigmoid[place] * (256 - between) + sigmoid[place + 1] * between) * weights
    inside = ((mass.sum(1) >> 8) * ((1 << 16) - levels) >> 36) + v
    return np.where(v <= 0, 0, np.where(v >= levels, 1 << 16, inside))
