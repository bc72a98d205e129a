"""What the cells of columns and arrays are, found block by block: as much as tells their schema, however many come."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from narrows.data.cells import FEW_ROWS, Cells, Numbers, Texts
from narrows.data.counting import Counts, PowerSums
from narrows.data.ends import Ends
from narrows.data.matrices import whole_and_large
from narrows.data.schema import ColumnKind


class Summary(Cells):
    """The cells of a column that comes block by block, as far as its kind hangs on them; see `Counts` for how far.

    Attributes
    ----------
    rows : int
        Cells that came.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._gap = False

    @property
    def missing(self) -> np.ndarray:
        """Whether a cell is missing, shape (1,)."""
        return np.array([self._gap])

    @property
    def exact(self) -> bool:
        """Whether these are whole numbers, some of which float32 would round."""
        return False

    def numbers(self) -> np.ndarray:
        """Cells are not kept."""
        raise NotImplementedError

    def places(self, categories: tuple[str, ...]) -> np.ndarray:
        """Cells are not kept."""
        raise NotImplementedError

    def at(self, row: int) -> object:
        """Cells are not kept."""
        raise NotImplementedError

    def witnesses(self) -> list[Any]:
        """Values that stand for all."""
        raise NotImplementedError

    def see(self, cells: Cells, *, counted: bool = False) -> None:
        """Take in the next cells; of numbers, count different values only if asked to."""
        raise NotImplementedError

    def seeing(self, cells: Cells, *, counted: bool = False) -> Summary:
        """Take in the next cells, of another type too where all cells of one are missing; return what has them."""
        if isinstance(self, NumbersMet) == isinstance(cells, Numbers):
            self.see(cells, counted=counted)
            return self
        if cells.missing.all():
            self._see_gaps(len(cells.missing))
            return self
        other = TextsMet()  # this one has met nothing but gaps: types that differ do not go together
        other._see_gaps(self.rows)
        other.see(cells, counted=counted)
        return other

    def _see_gaps(self, count: int) -> None:
        self.rows += count
        self._gap |= count > 0


class NumbersMet(Summary):
    """Numbers that came block by block; see `narrows.data.cells.Numbers`."""

    usual: ClassVar[ColumnKind] = "numeric"

    def __init__(self) -> None:
        super().__init__()
        self.ends = Ends()
        self._counts = Counts()
        self._sums = PowerSums()

    def see(self, cells: Cells, *, counted: bool = False) -> None:
        """Take in the next numbers."""
        values = cells.numbers()
        present = values[~np.isnan(values)]
        self.rows += len(values)
        self._gap |= len(present) < len(values)
        if not len(present):
            return
        self.ends.see(present)
        if counted:
            found, counts = np.unique(present, return_counts=True)
            self._counts.add(zip(found.tolist(), counts.tolist(), strict=True))
        if self.ends.fraction is None and not self._gap and abs(self.ends.low) + abs(self.ends.high) < 2**53:
            self._sums.add(present.astype(np.int64))

    def witnesses(self) -> list[Any]:
        """Ends, one between, and a fraction."""
        return self.ends.witnesses()

    @property
    def distinct(self) -> int:
        """Number of different values, where 3 stands for more than 2."""
        if self.ends.low is None:
            return 0
        infinite = not (np.isfinite(self.ends.low) and np.isfinite(self.ends.high))
        return 3 if infinite or self.ends.between is not None else 1 + (self.ends.low != self.ends.high)

    @property
    def exact(self) -> bool:
        """Whether these are whole numbers, some of which float32 would round."""
        return self.ends.low is not None and whole_and_large(np.array(self.ends.witnesses(), np.float64))

    @property
    def are_dates(self) -> bool:
        """Numbers are no dates."""
        return False

    @property
    def tell_rows_apart(self) -> bool:
        """Whether they are as many neighbouring whole numbers as rows, each once: so sums of three powers tell."""
        ends = self.ends
        if self.rows <= FEW_ROWS or self._gap or ends.fraction is not None or ends.high - ends.low != self.rows - 1:
            return False
        return self._sums.are_of(int(ends.low), int(ends.high))

    def commonest(self, most: int) -> tuple[str, ...]:
        """Return the most frequent numbers that were counted, else the two that there are."""
        if not self._counts.counts:
            return Numbers(np.array(self.ends.witnesses(), np.float64)).commonest(most)
        values, counts = zip(*self._counts.counts.items(), strict=True)
        chosen = np.lexsort((np.array(values), -np.array(counts)))[:most]
        return tuple(Numbers(np.array([values[place]])).commonest(1)[0] for place in chosen)

    def settled(self) -> Cells:
        """Return these numbers."""
        return self

    def odd_one(self) -> int | None:
        """Return none: all are numbers."""
        return None


class TextsMet(Summary):
    """Texts that came block by block; see `narrows.data.cells.Texts`."""

    usual: ClassVar[ColumnKind] = "category"

    def __init__(self) -> None:
        super().__init__()
        self._declared = False
        self._present = 0
        self._counts = Counts()
        self._dates = True
        self._written = NumbersMet()  # as long as every text is a number
        self._strange = 0
        self._first_strange: tuple[int, str] | None = None

    def see(self, cells: Cells, *, counted: bool = False) -> None:
        """Take in the next texts; all are counted."""
        assert isinstance(cells, Texts)
        counts = cells.counts
        self._declared |= cells.declared
        self._gap |= bool((cells.codes < 0).any())
        self._present += int(counts.sum())
        self._dates &= cells.are_dates or not len(cells.texts)
        self._counts.add(zip(cells.texts.to_pylist(), counts.tolist(), strict=True))
        strange = cells.strange
        if strange.any() and self._first_strange is None:
            row = int(np.argmax(np.append(strange, False)[cells.codes]))
            self._first_strange = self.rows + row, str(cells.at(row))
        self._strange += int(counts[strange].sum())
        if self._first_strange is None:
            self._written.see(cells)
        self.rows += len(cells.codes)

    def witnesses(self) -> list[Any]:
        """Of booleans: those that there are."""
        return [text == "true" for text in self._counts.counts]

    @property
    def distinct(self) -> int:
        """Number of different texts, or an estimate of it."""
        return self._counts.distinct

    @property
    def are_dates(self) -> bool:
        """Whether all texts are ISO dates or times."""
        return self._dates and self._present > 0

    @property
    def tell_rows_apart(self) -> bool:
        """Whether there are more texts than half the rows."""
        return self._present > FEW_ROWS and 2 * self.distinct > self._present

    def commonest(self, most: int) -> tuple[str, ...]:
        """Return the most frequent texts."""
        ranked = sorted(self._counts.counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(text for text, _ in ranked[:most])

    def settled(self) -> Cells:
        """Return numbers where every text is one, else these texts."""
        numbers = not self._declared and self._first_strange is None and self._written.ends.low is not None
        return self._written if numbers else self

    def odd_one(self) -> int | None:
        """Return the row of the first text that is no number where at least nine cells of ten are."""
        odd = not self._declared and 0 < 10 * self._strange <= self._present
        return self._first_strange[0] if odd and self._first_strange is not None else None

    def at(self, row: int) -> object:
        """Return the first text that is no number."""
        return self._first_strange[1] if self._first_strange is not None else None
