"""What numbers are, told by four of them: the ends, one between and a fraction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Ends:
    """What was met among numbers: the smallest and the largest, one between them, and a fraction."""

    low: Any = None
    high: Any = None
    between: Any = None
    fraction: Any = None

    def see(self, values: np.ndarray) -> None:
        """Take in numbers, at least one, none of which is NaN."""
        low, high = values.min().item(), values.max().item()
        met = [] if self.low is None else [self.low, self.high]
        self.low, self.high = min([low, *met]), max([high, *met])
        if self.between is None:
            inner = [value for value in (low, high, *met) if self.low < value < self.high]
            self.between = inner[0] if inner else _first(values, (values != self.low) & (values != self.high))
        if self.fraction is None and values.dtype.kind == "f":
            self.fraction = _first(values, values != np.floor(values))

    def witnesses(self) -> list[Any]:
        """Those of them that there are."""
        return [value for value in (self.low, self.high, self.between, self.fraction) if value is not None]


def examples_of(ends: Ends, like: np.ndarray) -> np.ndarray:
    """Examples, in the shape and the type of others, whose cells are those that were met at the ends."""
    return np.stack([np.full(like.shape[1:], value, like.dtype) for value in ends.witnesses()])


def _first(values: np.ndarray, chosen: np.ndarray) -> Any:
    """The first of the chosen values; None where there is none."""
    return values.flat[int(np.argmax(chosen))].item() if chosen.any() else None
