"""The few of many rows that tell what all of them are, found in one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from narrows.data.arrow import cells_of
from narrows.data.cells import FEW_ROWS, Texts
from narrows.data.kinds import MOST_CATEGORIES
from narrows.data.matrices import finite, numeric
from narrows.data.shards import one_table

if TYPE_CHECKING:
    import pyarrow as pa

CELLS = 2**22  # of the rows that are spread evenly


class TellingRows:
    """Rows of a table that comes block by block: what they hold in each column is what all hold.

    Kept are rows spread evenly over all that came, and of each column those with its smallest and its largest number,
    and the first one with a number between them, with a fraction, a gap, and each of the first thousand texts.

    Attributes
    ----------
    rows : int
        How many came.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._stride = 1
        self._spread: list[pa.Table] = []
        self._remarkable: list[pa.Table] = []
        self._columns: dict[str, _Seen] = {}

    def see(self, block: pa.Table) -> None:
        """Take in the next rows, of the columns of the first."""
        if not block.num_rows:
            return
        first = -self.rows % self._stride
        self._spread.append(_copied(block, np.arange(first, block.num_rows, self._stride)))
        self.rows += block.num_rows
        while sum(table.num_rows for table in self._spread) * block.num_columns > 2 * CELLS:
            whole = one_table(self._spread)
            self._stride *= 2
            self._spread = [_copied(whole, np.arange(0, whole.num_rows, 2))]
        seen = (self._columns.setdefault(name, _Seen()) for name in block.column_names)
        places = {place for one, column in zip(seen, block.columns, strict=True) for place in one.first_in(column)}
        self._remarkable.append(_copied(block, np.array(sorted(places), np.int64)))

    def see_those_of(self, other: TellingRows) -> None:
        """Take in the rows of another file by those of them that tell."""
        if other.rows:
            rows = self.rows + other.rows
            self.see(other.table())
            self.rows = rows

    def table(self) -> pa.Table:
        """The rows that tell; some may be there twice."""
        return one_table([*self._spread, *self._remarkable])

    def numbering(self) -> tuple[str, ...]:
        """Columns of as many whole numbers as there are rows, from the smallest to the largest: they name the rows."""
        return tuple(name for name, seen in self._columns.items() if seen.may_number(self.rows))


@dataclass
class _Ends:
    """What was met among numbers: their ends, whether one lies between, and whether one is a fraction."""

    low: float = math.inf
    high: float = -math.inf
    between: bool = False
    fraction: bool = False

    def first_in(self, rows: np.ndarray) -> set[int]:
        """Rows (n, x) that show something for the first time."""
        lowest, highest = (int(find(rows)) // rows.shape[1] for find in (np.argmin, np.argmax))
        low, high = min(self.low, float(rows[lowest].min())), max(self.high, float(rows[highest].max()))
        places = {place for place, moved in ((lowest, low < self.low), (highest, high > self.high)) if moved}
        self.low, self.high = low, high
        for name, holds in (("between", self._lies_between), ("fraction", _is_fraction)):
            found = np.zeros(1, bool) if getattr(self, name) else holds(rows)
            if found.any():
                setattr(self, name, True)
                places.add(int(np.argmax(found)) // rows.shape[1])
        return places

    def _lies_between(self, rows: np.ndarray) -> np.ndarray:
        return (rows != self.low) & (rows != self.high)


def _is_fraction(rows: np.ndarray) -> np.ndarray:
    return rows != np.floor(rows) if rows.dtype.kind == "f" else np.zeros(1, bool)


@dataclass
class _Seen:
    """What was met in one column."""

    gap: bool = False
    texts: set[str] = field(default_factory=set)
    numbers: _Ends = field(default_factory=_Ends)

    def first_in(self, column: pa.ChunkedArray) -> set[int]:
        """Rows that show something for the first time; of a column of no kind there are none."""
        cells = cells_of(column)
        if cells is None:
            return set()
        places = set[int]()
        if not self.gap and cells.missing.any():
            self.gap = True
            places.add(int(np.argmax(cells.missing)))
        if isinstance(cells, Texts):
            return places | self._first_texts(cells)
        present = np.flatnonzero(~cells.missing)
        found = self.numbers.first_in(cells.numbers()[present, None]) if len(present) else ()
        return places | {int(present[place]) for place in found}

    def may_number(self, rows: int) -> bool:
        """Whether the column may hold each whole number from its smallest to its largest once."""
        whole = not (self.gap or self.numbers.fraction or self.texts)
        return whole and rows > FEW_ROWS and self.numbers.high - self.numbers.low == rows - 1

    def _first_texts(self, cells: Texts) -> set[int]:
        places = set[int]()
        if len(self.texts) >= MOST_CATEGORIES:
            return places
        codes, firsts = np.unique(cells.codes, return_index=True)
        for code, place in zip(codes.tolist(), firsts.tolist(), strict=True):
            text = cells.texts[code].as_py() if code >= 0 else None
            if text is not None and text not in self.texts and len(self.texts) < MOST_CATEGORIES:
                self.texts.add(text)
                places.add(place)
        return places


def _copied(table: pa.Table, places: np.ndarray) -> pa.Table:
    """Rows of a table in memory of their own, so that they do not hold on to that of their neighbours."""
    return table.take(places)


class TellingExamples:
    """Examples of arrays that come block by block: the schema of them is that of all.

    Kept are those with the smallest and the largest cell so far, the first one with a cell between, and the first one
    with a fraction.

    Parameters
    ----------
    what : str
        How a message calls the data.
    """

    def __init__(self, what: str) -> None:
        self.rows = 0
        self._what = what
        self._seen = _Ends()
        self._kept: list[np.ndarray] = []

    def see(self, block: np.ndarray) -> None:
        """Take in the next examples (n, ...).

        Raises
        ------
        InputError
            If a cell is no finite number.
        """
        checked = finite(numeric(block, self._what), None, self._what, self.rows)
        self._kept += [block[place] for place in self._seen.first_in(checked.reshape(len(block), -1))]
        self.rows += len(block)

    def see_those_of(self, other: TellingExamples) -> None:
        """Take in the examples of another file by those of them that tell."""
        if other.rows:
            rows = self.rows + other.rows
            self.see(other.examples())
            self.rows = rows

    def examples(self) -> np.ndarray:
        """The examples that tell."""
        return np.stack(self._kept)
