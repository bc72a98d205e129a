"""The cells of one column of a table: numbers or texts, what they look like, and how each is read as the other.

Whole columns go through Arrow and NumPy; no loop runs over cells, and none over more than a thousand distinct values.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from narrows.data.schema import ColumnKind

# Up to so many rows, distinct texts or neighbouring numbers are no sign of an identifier.
FEW_ROWS = 20
# What marks a missing number; among texts they may be values like others: a house with no basement, an unknown service.
MISSING_AMONG_NUMBERS = ("None", "-")

_NUMBER = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|inf|infinity)$"
_TIME = r"\d{2}:\d{2}(:\d{2}([.,]\d+)?)?"
_DATE = rf"^(\d{{4}}-\d{{2}}-\d{{2}}([T ]{_TIME}(Z|[+-]\d{{2}}:?\d{{2}})?)?|{_TIME})$"


class Cells(ABC):
    """The cells of one column."""

    usual: ClassVar[ColumnKind]

    @property
    @abstractmethod
    def missing(self) -> np.ndarray:
        """Whether each cell is missing, shape (n,)."""

    @property
    @abstractmethod
    def distinct(self) -> int:
        """Number of different values; any number above 2 may stand for more."""

    @property
    @abstractmethod
    def are_dates(self) -> bool:
        """Whether all cells are dates or times as ISO 8601 writes them."""

    @property
    @abstractmethod
    def tell_rows_apart(self) -> bool:
        """Whether they number or name the rows, and so say nothing of what the rows have in common."""

    @abstractmethod
    def commonest(self, most: int) -> tuple[str, ...]:
        """Return the texts of the most frequent values, ties in the order of the values."""

    @abstractmethod
    def numbers(self) -> np.ndarray:
        """Return float64 (n,): NaN where a cell is missing, infinite where it is no number."""

    @abstractmethod
    def places(self, categories: tuple[str, ...]) -> np.ndarray:
        """Return float64 (n,): the place of each cell among the categories, their number where it is none of them."""

    @abstractmethod
    def settled(self) -> Cells:
        """Return these cells, or numbers where each of them writes one."""

    @abstractmethod
    def odd_one(self) -> int | None:
        """Return the row of the first text among what are numbers in at least nine cells of ten, if it is so."""

    @abstractmethod
    def at(self, row: int) -> object:
        """Return one cell, for a message."""


@dataclass(frozen=True)
class Numbers(Cells):
    """Cells that are numbers.

    Parameters
    ----------
    values : array, shape (n,)
        Float64, NaN where a cell is missing.
    """

    values: np.ndarray
    usual: ClassVar[ColumnKind] = "numeric"

    @cached_property
    def missing(self) -> np.ndarray:
        """Whether each cell is missing."""
        return np.isnan(self.values)

    @cached_property
    def _present(self) -> np.ndarray:
        return self.values[~self.missing] if self.missing.any() else self.values

    @cached_property
    def distinct(self) -> int:
        """Number of different values, where 3 stands for more than 2."""
        if not len(self._present):
            return 0
        low, high = self._present.min(), self._present.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            return 3  # an infinite one is refused among numbers, and would pass as one of two values
        if low == high:
            return 1
        return 2 if bool(((self._present == low) | (self._present == high)).all()) else 3

    @property
    def are_dates(self) -> bool:
        """Numbers are no dates."""
        return False

    @cached_property
    def tell_rows_apart(self) -> bool:
        """Whether they are as many neighbouring whole numbers as there are rows, each of them once."""
        rows = len(self.values)
        if rows <= FEW_ROWS or self.missing.any():
            return False
        steps = self.values - self.values.min()
        if steps.max() != rows - 1 or (steps != np.floor(steps)).any():
            return False
        return bool((np.bincount(steps.astype(np.int64), minlength=rows) == 1).all())

    def commonest(self, most: int) -> tuple[str, ...]:
        """Return the most frequent numbers, whole ones without a point."""
        values, counts = np.unique(self._present + 0.0, return_counts=True)  # -0 and 0 are one number, of one name
        chosen = np.lexsort((values, -counts))[:most]
        return tuple(f"{value:.0f}" if value.is_integer() else repr(value) for value in values[chosen].tolist())

    def numbers(self) -> np.ndarray:
        """Return the values."""
        return self.values

    def places(self, categories: tuple[str, ...]) -> np.ndarray:
        """Return the place of the category that is the same number."""
        return np.where(self.missing, np.nan, _places_of_numbers(self.values, categories))

    def settled(self) -> Cells:
        """Return these numbers."""
        return self

    def odd_one(self) -> int | None:
        """Return none: all are numbers."""
        return None

    def at(self, row: int) -> object:
        """Return one number."""
        value = float(self.values[row])
        return int(value) if value.is_integer() else value


@dataclass(frozen=True)
class Texts(Cells):
    """Cells that are texts.

    Parameters
    ----------
    texts : pyarrow.Array
        The different texts, each of which occurs.
    codes : array, shape (n,)
        The place of each cell's text, -1 where a cell is missing.
    declared : bool
        Whether the source says that these are categories, so that they are no numbers even if they look like some.
    """

    texts: Any
    codes: np.ndarray
    declared: bool = False
    usual: ClassVar[ColumnKind] = "category"

    @cached_property
    def missing(self) -> np.ndarray:
        """Whether each cell is missing."""
        return self.codes < 0

    @property
    def distinct(self) -> int:
        """Number of different texts."""
        return len(self.texts)

    @cached_property
    def counts(self) -> np.ndarray:
        """How many cells hold each of the texts."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))

    @cached_property
    def are_dates(self) -> bool:
        """Whether all texts are ISO dates or times."""
        import pyarrow.compute as pc

        return bool(pc.all(pc.match_substring_regex(self.texts, _DATE), min_count=1).as_py())

    @cached_property
    def tell_rows_apart(self) -> bool:
        """Whether more than half of them occur once, so to speak: there are more texts than half the rows."""
        rows = int(self.counts.sum())
        return rows > FEW_ROWS and 2 * len(self.texts) > rows

    def commonest(self, most: int) -> tuple[str, ...]:
        """Return the most frequent texts."""
        import pyarrow as pa
        import pyarrow.compute as pc

        table = pa.table({"text": self.texts, "count": self.counts})
        order = [("count", "descending"), ("text", "ascending")]
        return tuple(self.texts.take(pc.select_k_unstable(table, most, order)).to_pylist())

    @cached_property
    def _written(self) -> np.ndarray:
        """Whether each text writes a number, even an infinite one."""
        import pyarrow.compute as pc

        return pc.match_substring_regex(self.texts, _NUMBER, ignore_case=True).to_numpy(zero_copy_only=False)

    @cached_property
    def _absent(self) -> np.ndarray:
        """Whether each text would stand for a missing number."""
        import pyarrow as pa
        import pyarrow.compute as pc

        return pc.is_in(self.texts, pa.array(MISSING_AMONG_NUMBERS, self.texts.type)).to_numpy(zero_copy_only=False)

    @cached_property
    def _parsed(self) -> np.ndarray:
        """Each text as a number: NaN where it stands for a missing one, infinite where it is none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        values = pc.if_else(pa.array(self._written), self.texts, None).cast(pa.float64()).fill_null(np.inf).to_numpy()
        return np.where(self._absent, np.nan, values)

    def settled(self) -> Cells:
        """Return numbers where every text is one, else these texts."""
        numbers = not self.declared and self._written.any() and (self._written | self._absent).all()
        return Numbers(self.numbers()) if numbers else self

    @property
    def strange(self) -> np.ndarray:
        """Whether each text is neither a number nor stands for a missing one."""
        return np.asarray(~(self._written | self._absent))

    def odd_one(self) -> int | None:
        """Return the row of the first text that is no number where at least nine cells of ten are."""
        odd = self.strange
        strange, cells = int(self.counts[odd].sum()), int(self.counts.sum())
        if self.declared or not 0 < 10 * strange <= cells:
            return None
        return int(np.argmax(np.append(odd, False)[self.codes]))

    def numbers(self) -> np.ndarray:
        """Return the numbers that the texts write."""
        return np.append(self._parsed, np.nan)[self.codes]

    def places(self, categories: tuple[str, ...]) -> np.ndarray:
        """Return the place of the category of the same text, else of the same number."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found = pc.index_in(self.texts, pa.array(categories, self.texts.type))
        places = found.cast(pa.float64()).fill_null(np.nan).to_numpy()
        others = _places_of_numbers(self._parsed, categories)
        if not self.declared and not any(np.isnan(number_or_nan(category)) for category in categories):
            others = np.where(self._absent, np.nan, others)  # they were numbers, among which these are missing
        return np.append(np.where(np.isnan(places), others, places), np.nan)[self.codes]

    def at(self, row: int) -> object:
        """Return one text."""
        return self.texts[int(self.codes[row])].as_py()


def _places_of_numbers(values: np.ndarray, categories: tuple[str, ...]) -> np.ndarray:
    """Place of the category that is the same number; their number where there is none."""
    parsed = np.array([number_or_nan(category) for category in categories])
    order = np.argsort(parsed)  # NaN comes last
    at = np.searchsorted(parsed[order], values)
    nearest = order[np.minimum(at, len(order) - 1)] if len(order) else np.zeros(len(values), np.int64)
    same = parsed[nearest] == values if len(order) else np.zeros(len(values), bool)
    return np.where(same, nearest, len(categories)).astype(np.float64)


def number_or_nan(text: str) -> float:
    """Return the number that a text writes, NaN where it writes none."""
    try:
        return float(text)
    except ValueError:
        return np.nan
