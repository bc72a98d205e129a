"""A first pass over data that are too many to hold: what they are, how many there are, and in which files."""

from __future__ import annotations

import copy
import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.data.arrow import cells_of, is_number, no_numbers
from narrows.data.cells import Cells, Numbers
from narrows.data.columns import Raw, columns_of
from narrows.data.dataset import Dataset, from_array, from_raw, refuse_no_examples
from narrows.data.ends import Ends, examples_of
from narrows.data.formats import in_columns
from narrows.data.matrices import finite, numeric
from narrows.data.names import learnt_names, no_column_left
from narrows.data.parts import CELLS, arrays_of, no_rows
from narrows.data.request import Request
from narrows.data.schema import ColumnKind, Schema
from narrows.data.shards import FittingArrays, FittingTables, good
from narrows.data.sizes import files_of
from narrows.data.sources import Located
from narrows.data.stored import Stored
from narrows.data.summaries import NumbersMet, Summary, TextsMet
from narrows.data.wording import short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Learnt:
    """What a first pass found.

    Parameters
    ----------
    schema : Schema
        What the rows are.
    dtype : dtype
        Of their cells in memory.
    single : array of bool, shape (columns,), or None
        Where the type is float64 for some columns of a mixed table: those that are rounded to float32 all the same.
    rows : int
        How many there are.
    files : sequence of str
        What they are in: those shards that could be read, or the one source.
    notes : tuple of str
        What was left out, and why.
    """

    schema: Schema
    dtype: np.dtype
    single: np.ndarray | None
    rows: int
    files: Sequence[str]
    notes: tuple[str, ...]


def learn(data: str, request: Request, kind: str | None) -> Learnt:
    """Go through all rows once.

    Raises
    ------
    InputError
        If the data are damaged or cannot be used.
    """
    files = dict(files_of(data, request))
    several = data not in files
    tables = all(found.blocks is not None for found in files.values())
    met: _Met = (_Table if tables else _Array)(data, request, several)
    take = met.take_or_leave if request.skip else met.take
    kept, notes = [data], tuple[str, ...]()
    if several:
        kept, notes = good(map(Path, files), lambda path: take(str(path), files[str(path)]), skip=request.skip)
    else:
        met.take(data, files[data])
    if met.refused is not None:
        raise met.refused
    if not met.rows:
        raise no_rows(short(data))
    told, single = met.told(kind)
    return Learnt(told.schema, told.values.dtype, single, met.rows, kept, (*notes, *told.notes))


class _Met(ABC):
    """What was met in a first pass so far.

    Attributes
    ----------
    rows : int
        How many came.
    refused : InputError or None
        What is wrong with a cell, in a file that can be read: no reason to leave the file out.
    """

    def __init__(self, data: str, request: Request, several: bool) -> None:
        self.data, self.request, self.several = data, request, several
        self.rows = 0
        self.refused: InputError | None = None

    def take(self, file: str, found: Located) -> str:
        """Take in all rows of a file; return its name."""
        for block in self.blocks(found):
            self.see(block, file)
        return file

    def take_or_leave(self, file: str, found: Located) -> str:
        """Take in all rows of a file, or, where it breaks in its middle, none of them; raises as `take`."""
        before = copy.deepcopy(vars(self))
        try:
            return self.take(file, found)
        except InputError:
            vars(self).update(before)
            raise

    @abstractmethod
    def blocks(self, found: Located) -> Iterator[Any]:
        """The rows of a file in blocks; of a table at least one, maybe without rows."""

    @abstractmethod
    def see(self, block: Any, file: str) -> None:
        """Take in the next rows."""

    @abstractmethod
    def told(self, kind: str | None) -> tuple[Dataset, np.ndarray | None]:
        """Data of the schema and the type of all rows, whatever their values; and see `Learnt.single`."""


class _Table(_Met):
    """The columns of a table."""

    def __init__(self, data: str, request: Request, several: bool) -> None:
        super().__init__(data, request, several)
        self._fits = FittingTables()
        self._columns: dict[str, Summary] = {}
        self._said: dict[str, ColumnKind] = {}
        self._types: dict[str, pa.DataType] = {}
        self._present: list[str] = []

    def blocks(self, found: Located) -> Iterator[pa.Table]:
        assert found.blocks is not None
        columns = next((table.num_columns for table in found.blocks(1)), 1)
        return found.blocks(max(1, CELLS // max(1, columns)))

    def see(self, block: pa.Table, file: str) -> None:
        request = self.request
        what = short(file)
        names, self._said = learnt_names(block.schema, what, request.label, request.ignore, request.kinds)
        if self.several:
            block = self._fits(block, Path(file))
        self._present = block.column_names
        for name in names:
            self._types[name] = _common(self._types.get(name), block.schema.field(name).type)
            if block.num_rows:
                self._see(name, block.column(name), what)
        self.rows += block.num_rows

    def _see(self, name: str, column: pa.ChunkedArray, what: str) -> None:
        cells = cells_of(column)
        if cells is None:
            raise no_numbers(column, name, what)
        if name not in self._columns:
            self._columns[name] = NumbersMet() if isinstance(cells, Numbers) else TextsMet()
        self._columns[name] = self._columns[name].seeing(cells, counted=name in self._said)

    def told(self, kind: str | None) -> tuple[Dataset, np.ndarray | None]:
        what = short(self.data)
        if not self._columns:
            raise no_column_left(self._present, what)
        witnesses = None if self._said else self._witnesses()
        if witnesses is not None:
            plain = dataclasses.replace(self.request, label=None, ignore=(), kinds={})
            return from_raw(in_columns(witnesses, plain, what), kind=kind, source=self.data, schema=None), None
        found = {name: cells if name in self._said else cells.settled() for name, cells in self._columns.items()}
        columns, notes = columns_of(found, self._said, what, self.request.keep_constants)
        exact = np.array([not column.categories and _exact(found[column.name]) for column in columns])
        empty = np.empty((0, len(columns)), np.float64 if exact.any() else np.float32)
        raw = Raw(empty, tuple(column.name for column in columns), columns=columns, notes=notes)
        return from_raw(raw, kind=kind, source=self.data, schema=None), ~exact if exact.any() else None

    def _witnesses(self) -> pa.Table | None:
        """Rows that stand for all of a table of nothing but numbers, or booleans, without a gap; None of any other."""
        import pyarrow as pa

        numbers = all(map(is_number, self._types.values()))
        if not numbers and not all(map(pa.types.is_boolean, self._types.values())):
            return None
        if any(column.missing.any() for column in self._columns.values()):
            return None
        found = {name: column.witnesses() for name, column in self._columns.items()}
        longest = max(map(len, found.values()))
        kept = (pa.uint8(), pa.bool_(), pa.float32())
        arrays = {
            name: pa.array(
                values + values[:1] * (longest - len(values)),
                self._types[name] if self._types[name] in kept else pa.float64(),
            )
            for name, values in found.items()
        }
        return pa.table(arrays)


class _Array(_Met):
    """The cells of arrays or images."""

    def __init__(self, data: str, request: Request, several: bool) -> None:
        super().__init__(data, request, several)
        self._fits = FittingArrays()
        self._ends = Ends()
        self._like: np.ndarray | None = None

    def blocks(self, found: Located) -> Iterator[np.ndarray]:
        assert found.open is not None
        source, cells = found.open(), 1
        if isinstance(source, Stored):
            refuse_no_examples(source.shape, short(self.data))
            cells = math.prod(source.shape[1:])
        return arrays_of(source, self.request.tile, max(1, CELLS // cells))

    def see(self, block: np.ndarray, file: str) -> None:
        if self.several:
            block = self._fits(block, Path(file))
        of_all = block.dtype if self._like is None else np.promote_types(self._like.dtype, block.dtype)
        self._like = np.empty((0, *block.shape[1:]), of_all)
        if not block.size or self.refused is not None:
            return
        what = short(self.data)
        try:
            checked = finite(numeric(block, what), None, what, self.rows)
        except InputError as error:
            self.refused = error
            return
        self._ends.see(checked)
        self.rows += len(block)

    def told(self, kind: str | None) -> tuple[Dataset, np.ndarray | None]:
        assert self._like is not None
        return from_array(examples_of(self._ends, self._like), kind=kind, source=self.data), None


def _exact(cells: Cells) -> bool:
    return isinstance(cells, Summary) and cells.exact


def _common(one: pa.DataType | None, other: pa.DataType) -> pa.DataType:
    """A type that holds what two do, of numbers; of dictionaries that of their values."""
    import pyarrow as pa

    other = other.value_type if pa.types.is_dictionary(other) else other
    if one is None or one == other or pa.types.is_null(other):
        return one or other
    return other if pa.types.is_null(one) else pa.float64() if is_number(one) and is_number(other) else one
