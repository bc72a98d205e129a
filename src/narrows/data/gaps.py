"""Gaps filled in a table as it stands in its file, so that every other cell comes back as it was written."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from narrows.atomic import writing
from narrows.data.schema import Column
from narrows.data.tables import opened, separator_of

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Filling:
    """What goes into the gaps of one column.

    Parameters
    ----------
    column : Column
        What it holds, as the model has it.
    name : str
        Its name in the file.
    rows : array of int, shape (m,)
        Rows with a gap.
    values : array, shape (m,)
        Numbers, or indices of categories.
    spread : array, shape (m,), or None
        Standard deviations of the numbers, where they are wanted.
    """

    column: Column
    name: str
    rows: np.ndarray
    values: np.ndarray
    spread: np.ndarray | None = None

    def texts(self) -> list[str]:
        """The values as a person would write them, numbers with six digits."""
        if self.column.categories:
            return [self.column.categories[int(value)] for value in self.values]
        return [f"{value:.6g}" for value in self.values.tolist()]

    def spread_of(self, rows: int) -> np.ndarray:
        """The standard deviations (rows,), NaN where a cell was there."""
        spread = np.full(rows, np.nan)
        spread[self.rows] = self.spread
        return spread


def fill_text(source: Path, target: Path, fillings: Sequence[Filling], header: bool) -> None:
    """Copy a text table with its gaps filled, every other cell letter by letter; columns of spreads come last.

    Parameters
    ----------
    source, target : Path
        Files; the target is written whole or not at all, with the separator of the source.
    fillings : sequence of Filling
        Of the columns that have gaps.
    header : bool
        Whether the first line holds the names; without it they are c0, c1, ...
    """
    with opened(source) as stream:
        lines = (stream.read() or b"").decode("utf-8-sig")
    separator = separator_of(source)
    with _cells_of_any_length():
        rows = [row for row in csv.reader(io.StringIO(lines, newline=""), delimiter=separator) if row]
    names = rows.pop(0) if header else [f"c{place}" for place in range(len(rows[0]))]
    for filling in fillings:
        place = names.index(filling.name)
        for row, cell in zip(filling.rows.tolist(), filling.texts(), strict=True):
            rows[row][place] = cell
    spreads = [filling for filling in fillings if filling.spread is not None]
    further = [["" if np.isnan(s) else f"{s:.6g}" for s in filling.spread_of(len(rows))] for filling in spreads]
    for row, *cells in zip(rows, *further, strict=True):
        row += cells
    head = [[*names, *(f"{filling.name}_spread" for filling in spreads)]] if header else []
    with writing(target) as beside, beside.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator, lineterminator="\n").writerows([*head, *rows])


@contextlib.contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """The csv module refuses cells of more than 128 KiB, unless told otherwise for the whole process."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def filled_table(table: pa.Table, fillings: Sequence[Filling]) -> pa.Table:
    """Return an Arrow table with its gaps filled, every column in its own type; columns of spreads come last."""
    import pyarrow as pa

    for filling in fillings:
        place = table.column_names.index(filling.name)
        table = table.set_column(place, filling.name, _filled(table.column(place), filling))
    for filling in fillings:
        if filling.spread is not None:
            spread = filling.spread_of(table.num_rows)
            table = table.append_column(f"{filling.name}_spread", pa.array(spread, mask=np.isnan(spread)))
    return table


def _filled(cells: pa.ChunkedArray, filling: Filling) -> pa.ChunkedArray:
    """A column with its gaps filled: numbers rounded where the type is one of whole numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = cells.type.value_type if pa.types.is_dictionary(cells.type) else cells.type
    rows = len(cells)
    gap = np.zeros(rows, bool)
    gap[filling.rows] = True
    if filling.column.categories:
        texts = np.full(rows, "", object)
        texts[filling.rows] = filling.texts()
        given = pa.array(texts, pa.string(), mask=~gap).cast(kind)
    else:
        numbers = np.zeros(rows)
        numbers[filling.rows] = np.rint(filling.values) if pa.types.is_integer(kind) else filling.values
        given = pa.array(numbers, mask=~gap).cast(kind)
    return pc.if_else(pa.array(gap), given, cells.cast(kind)).cast(cells.type)
