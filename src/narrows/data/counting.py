"""How often values came that are met block by block, how many different ones did, and whether each came once."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MOST_COUNTED = 2**15  # different values that are counted
POWERS = (1, 2, 3)
WRAP = 2**64


@dataclass
class Counts:
    """How often each value came, and how many different ones did.

    Of more than 32,768 the rarer half is forgotten again and again, and their number is estimated, to 1 %, by adaptive
    sampling (Flajolet 1990, after Wegman).
    """

    counts: Counter[Any] = field(default_factory=Counter)
    _lost: bool = False
    _marks: set[int] = field(default_factory=set)
    _zeros: int = 0

    def add(self, found: Iterable[tuple[Any, int]]) -> None:
        """Take in values, each with its count."""
        for value, count in found:
            if value not in self.counts:
                self._mark(value)
            self.counts[value] += count
        if len(self.counts) > MOST_COUNTED:
            self.counts = Counter(dict(self.counts.most_common(MOST_COUNTED // 2)))
            self._lost = True

    def _mark(self, value: Any) -> None:
        """Mark a value that may be new; of all marks only those are kept that end in so many zeros, one in 2^zeros."""
        mark = zlib.crc32(str(value).encode())
        if mark % 2**self._zeros:
            return
        self._marks.add(mark)
        while len(self._marks) > MOST_COUNTED:
            self._zeros += 1
            self._marks = {kept for kept in self._marks if not kept % 2**self._zeros}

    @property
    def distinct(self) -> int:
        """Number of different values; an estimate, once counts were lost."""
        return len(self._marks) * 2**self._zeros if self._lost else len(self.counts)


class PowerSums:
    """Sums of the first three powers of whole numbers that came, as far as 64 bits go."""

    def __init__(self) -> None:
        self._sums = dict.fromkeys(POWERS, 0)

    def add(self, values: np.ndarray) -> None:
        """Take in whole numbers, int64."""
        whole = values.view(np.uint64)
        for power in POWERS:
            self._sums[power] = (self._sums[power] + int(np.sum(whole**power, dtype=np.uint64))) % WRAP

    def are_of(self, low: int, high: int) -> bool:
        """Whether they are those of all whole numbers from one to another, each once."""
        return all(self._sums[power] == _sum_of_powers(low, high, power) for power in POWERS)


def _sum_of_powers(low: int, high: int, power: int) -> int:
    """Sum of the powers of all whole numbers from one to another, as far as 64 bits go."""

    def up_to(n: int) -> int:
        closed = {1: n * (n + 1) // 2, 2: n * (n + 1) * (2 * n + 1) // 6, 3: (n * (n + 1) // 2) ** 2}
        return closed[power]

    return (up_to(high) - up_to(low - 1)) % WRAP
