"""Tables in symbols given back as files, block by block, each cell as it was."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from narrows.data.exact import names_of, table_of_block
from narrows.data.frames import Form
from narrows.data.schema import Schema
from narrows.data.sink import Sink
from narrows.data.verbatim import type_named
from narrows.data.wording import brief
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


class _Exact(Sink, ABC):
    """A file that takes one table after the other."""

    def __init__(self, path: Path, form: Form, schema: Schema, files: ExitStack) -> None:
        import pyarrow as pa

        super().__init__(path, form, schema, files)
        self._columns = form.columns or ()
        names = names_of(schema, self._columns)
        self.open(pa.schema([(name, type_named(own.type)) for name, own in zip(names, self._columns, strict=True)]))

    def add(self, values: np.ndarray, names: tuple[str, ...] | None = None, rest: bytes = b"") -> None:
        self.write(table_of_block(self.schema, self._columns, values, rest))

    def finish(self) -> None:
        """Nothing stands at the end."""

    @abstractmethod
    def open(self, schema: pa.Schema) -> None:
        """Begin the file of such columns."""

    @abstractmethod
    def write(self, table: pa.Table) -> None:
        """Write further rows."""


class _Csv(_Exact):
    """Cells parted by commas; quotes around those that need them, and around a text of no letters."""

    def open(self, schema: pa.Schema) -> None:
        self._file = self.files.enter_context(self.path.open("wb"))
        self._file.write(names_line(self.form, self.schema))

    def write(self, table: pa.Table) -> None:
        self._file.write(csv_lines(table))


def names_line(form: Form, schema: Schema) -> bytes:
    """First line of a CSV file: the names of its columns; nothing where none stood there."""
    import pyarrow as pa

    names = names_of(schema, form.columns or ())
    return csv_lines(pa.table({name: [name] for name in names})) if form.header else b""


def csv_lines(table: pa.Table) -> bytes:
    """Rows as lines of a CSV file, without their names."""
    import pyarrow.compute as pc

    columns = [_quoted(_printed(column)) for column in table.columns]
    lines = pc.binary_join_element_wise(*columns, ",").to_pylist()
    return "".join(f"{line}\n" for line in lines).encode()


def _printed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cells of any type as a person would write them; a span of time in its unit.

    Raises
    ------
    InputError
        If one is a time that no calendar has, or of a zone that this machine does not know.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = column.cast(pa.int64()) if pa.types.is_duration(column.type) else column
    try:
        texts = plain.cast(pa.string())
        if pa.types.is_temporal(plain.type) and pc.any(pc.starts_with(texts, "<value out of range")).as_py():
            raise pa.ArrowInvalid("a time that no calendar has")
    except pa.ArrowInvalid as error:
        raise InputError(f"cells of {plain.type} have no text ({brief(error)}); write .parquet or .arrow") from error
    return texts


def _quoted(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow.compute as pc

    within = pc.binary_join_element_wise('"', pc.replace_substring(column, '"', '""'), '"', "")
    needed = pc.or_(pc.match_substring_regex(column, '[",\r\n]'), pc.equal(column, ""))
    return pc.if_else(needed, within, column).fill_null("")


class _Parquet(_Exact):
    def open(self, schema: pa.Schema) -> None:
        from pyarrow import parquet

        self._writer = self.files.enter_context(parquet.ParquetWriter(self.path, schema))

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)


class _Arrow(_Exact):
    def open(self, schema: pa.Schema) -> None:
        import pyarrow as pa

        self._writer = self.files.enter_context(pa.ipc.new_file(self.path, schema))

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)


EXACT: Mapping[str, type[Sink]] = {".csv": _Csv, ".parquet": _Parquet, ".arrow": _Arrow}
