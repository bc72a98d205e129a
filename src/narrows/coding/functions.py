"""Tables of functions in whole numbers, the same on every machine: `decimal` rounds correctly wherever it runs."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DIGITS = 40


def exactly(function: Callable[[int], Decimal], places: range) -> NDArray[np.int64]:
    """Values of a function at whole numbers, rounded to the nearest whole number: (len(places),)."""
    with localcontext(Context(prec=DIGITS)):
        return np.array([int(function(place).to_integral_value()) for place in places], dtype=np.int64)


@lru_cache
def exponentials(steps: int, top: int, last: int) -> NDArray[np.int64]:
    """``top * exp(-i / steps)`` for i = 0..last, shape (last + 1,)."""
    return exactly(lambda i: top * (Decimal(-i) / steps).exp(), range(last + 1))


@lru_cache
def sigmoids(steps: int, top: int, last: int) -> NDArray[np.int64]:
    """``top / (1 + exp(-i / steps))`` for i = -last..last, its ends set to 0 and ``top``: shape (2 * last + 1,)."""
    table = exactly(lambda i: top / (1 + (Decimal(-i) / steps).exp()), range(-last, last + 1))
    table[0], table[-1] = 0, top
    return table


def tanh(x: Decimal) -> Decimal:
    """Hyperbolic tangent."""
    double = (2 * x).exp()
    return (double - 1) / (double + 1)
