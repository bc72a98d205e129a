"""The symbols of a column of a table, and what each of them leaves open of a cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError

MOST_SYMBOLS = 256
MOST_DECIMALS = 18
LARGEST = 9 * 10**18  # of a number times its power of ten: fits into 64 bits
LONGEST_TEXT = 256  # bytes
EMPTY = "(empty)"
_LISTS = ("texts", "values", "starts", "bits")


@dataclass(frozen=True)
class Alphabet:
    """At most 256 symbols that stand for the cells of a column, as they are written.

    In this order: texts that are no numbers; single numbers; ranges of 2^b numbers, of which a cell is one that b
    further bits name; and a last symbol for every other cell, whose text is kept beside it. A number x is known as
    k = x 10^d, a whole one.

    Parameters
    ----------
    texts : tuple of str or None
        None is an empty cell.
    decimals : int
        d, from 0 to 18.
    values : tuple of int
        Single numbers k, upwards.
    starts : tuple of int
        First number of each range, upwards; ranges do not overlap.
    bits : tuple of int
        b of each range.

    Raises
    ------
    InputError
        If it is none: a file may bring anything.
    """

    texts: tuple[str | None, ...] = ()
    decimals: int = 0
    values: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    bits: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check all that a file may bring."""
        whole = [self.decimals, *self.values, *self.starts, *self.bits]
        sound = (
            all(text is None or (isinstance(text, str) and _fits(text)) for text in self.texts)
            and len(set(self.texts)) == len(self.texts)
            and all(type(number) is int and -LARGEST < number < LARGEST for number in whole)
            and 0 <= self.decimals <= MOST_DECIMALS
            and len(self.starts) == len(self.bits)
            and all(0 <= bits <= 64 for bits in self.bits)
            and list(self.values) == sorted(set(self.values))
        )
        if not sound or self.size > MOST_SYMBOLS or self._overlap:
            raise InputError("a column says in no known way what its symbols are; fetch the file again")

    @property
    def _overlap(self) -> bool:
        ends = [start + (1 << bits) for start, bits in zip(self.starts, self.bits, strict=True)]
        return any(end > start for end, start in zip(ends, self.starts[1:], strict=False))

    @property
    def size(self) -> int:
        """Number of symbols, the last one included."""
        return len(self.texts) + len(self.values) + len(self.starts) + 1

    @property
    def first_number(self) -> int:
        """The first symbol that is a number or a range of them."""
        return len(self.texts)

    @property
    def first_range(self) -> int:
        """The first symbol that is a range."""
        return len(self.texts) + len(self.values)

    @property
    def other(self) -> int:
        """The last symbol."""
        return self.size - 1

    @cached_property
    def open_bits(self) -> NDArray[np.int64]:
        """Bits that each symbol leaves open, (size,)."""
        return np.array([*[0] * self.first_range, *self.bits, 0], dtype=np.int64)

    @cached_property
    def lowest(self) -> NDArray[np.int64]:
        """The number, or the first one, of each symbol from the first that is one: (numbers and ranges,)."""
        return np.array([*self.values, *self.starts], dtype=np.int64)

    @property
    def names(self) -> tuple[str, ...]:
        """Each symbol but the last one, for a person."""
        texts = [EMPTY if text is None else text for text in self.texts]
        single = [self._spoken(value) for value in self.values]
        ranges = [
            self._spoken(start) + (f" to {self._spoken(start + (1 << bits) - 1)}" if bits else "")
            for start, bits in zip(self.starts, self.bits, strict=True)
        ]
        return (*texts, *single, *ranges)

    def _spoken(self, number: int) -> str:
        sign, digits = "-" * (number < 0), f"{abs(number):0{self.decimals + 1}}"
        whole = digits[: len(digits) - self.decimals]
        return f"{sign}{whole}.{digits[-self.decimals :]}" if self.decimals else f"{sign}{whole}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"decimals": self.decimals} | {name: list(getattr(self, name)) for name in _LISTS}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; raises `InputError`, KeyError or TypeError for what is none."""
        return cls(decimals=record["decimals"], **{name: tuple(record[name]) for name in _LISTS})


def _fits(text: str) -> bool:
    """Whether a text is one that a file can hold, and short enough to be repeated in every row."""
    try:
        return len(text.encode()) <= LONGEST_TEXT
    except UnicodeEncodeError:  # half a pair of surrogates, which JSON may bring
        return False
