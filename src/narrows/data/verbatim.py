"""Tables whose cells are read as they are written, in parts: each cell a text, each column of a type that is kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.data.limits import refuse_bomb
from narrows.data.tables import as_said, named, opened, separator_of
from narrows.data.wording import brief, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import csv

_BLOCK = 16 * 2**20
_ROWS = 2**16
_ZONED = re.compile(r"timestamp\[(s|ms|us|ns), tz=([\w+:/-]{1,64})\]")
_DECIMAL = re.compile(r"decimal(128|256)\((\d{1,2}), (-?\d{1,2})\)")


@dataclass(frozen=True)
class Verbatim:
    """A table that can be read as often as one likes, part by part.

    Parameters
    ----------
    names : tuple of str
        Of its columns.
    header : bool
        Whether they stand in the file.
    parts : callable
        Gives Arrow tables, from the first row on; at least one, which may be without rows.
    """

    names: tuple[str, ...]
    header: bool
    parts: Callable[[], Iterator[pa.Table]]


def of_text(path: Path, header: bool) -> Verbatim:
    """Open a CSV or TSV file. Its cells are texts, whatever they look like; null where nothing stands.

    Raises
    ------
    InputError
        If it is empty, ragged, not in UTF-8, or its first line holds data where names belong.
    """
    import pyarrow as pa

    with as_said(path, header), _csv(path, header, {}) as reader:
        alone = len(reader.schema.names) == 1
    # A table of one column is looked at anew, for in it a line without anything is a row, or the first line.
    with as_said(path, header), _csv(path, header, {}, alone) as reader:
        found = reader.schema.names
        first = pa.Table.from_batches(list(islice(reader, 1)), reader.schema)
    names = tuple(named(first, header, str(path)).column_names)

    def parts() -> Iterator[pa.Table]:
        with as_said(path, header), _csv(path, header, dict.fromkeys(found, pa.string()), alone) as reader:
            yield reader.schema.empty_table().rename_columns(names)
            for batch in reader:
                yield pa.Table.from_batches([batch]).rename_columns(names)

    return Verbatim(names, header, parts)


@contextmanager
def _csv(
    path: Path, header: bool, types: Mapping[str, pa.DataType], alone: bool = False
) -> Iterator[csv.CSVStreamingReader]:
    from pyarrow import csv

    reading = csv.ReadOptions(autogenerate_column_names=not header, block_size=_BLOCK, use_threads=False)
    # Among several columns a line without anything in it is no row; a single one may have an empty cell.
    parsing = csv.ParseOptions(delimiter=separator_of(path), newlines_in_values=True, ignore_empty_lines=not alone)
    typed = csv.ConvertOptions(
        column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    with opened(path) as stream, csv.open_csv(stream, reading, parsing, typed) as reader:
        yield reader


def of_parquet(path: Path) -> Verbatim:
    """Open a Parquet file; `InputError` if it is damaged, or declares more cells than its size can hold."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            record, schema = file.metadata, file.schema_arrow
        refuse_bomb(record.num_rows * record.num_columns * 8, path.stat().st_size, str(path))
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, "Parquet", error) from error

    def parts() -> Iterator[pa.Table]:
        try:
            with parquet.ParquetFile(path) as file:
                yield schema.empty_table()
                for batch in file.iter_batches(_ROWS):
                    yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _unreadable(path, "Parquet", error) from error

    return Verbatim(tuple(schema.names), True, parts)


def of_table(table: pa.Table) -> Verbatim:
    """Make one of a table in memory."""
    return Verbatim(tuple(table.column_names), True, lambda: iter([table]))


def _unreadable(path: Path, what: str, error: Exception) -> InputError:
    return InputError(f"{short(str(path))} cannot be read as a {what} file ({brief(error)}); write it again")


# --- Types and texts -------------------------------------------------------------------------------------------------


def type_named(name: str) -> pa.DataType:
    """Return the Arrow type of a name that `str` gave one.

    Raises
    ------
    InputError
        If it is of a kind whose cells are not kept as texts.
    """
    import pyarrow as pa

    zoned, decimal = _ZONED.fullmatch(name), _DECIMAL.fullmatch(name)
    try:
        if zoned:
            return pa.timestamp(*zoned.groups())
        if decimal:
            bits, digits, scale = map(int, decimal.groups())
            return (pa.decimal128 if bits == 128 else pa.decimal256)(digits, scale)
        return pa.type_for_alias(name)
    except ValueError as error:
        raise InputError(f"cells of type {short(name)} are not kept; write the column as text or numbers") from error


def kept_type(kind: pa.DataType) -> pa.DataType:
    """Return the type in which cells are given back: that of the values, where each is kept but once."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def texts_of(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Cells of any type as texts, null where one is missing, from which `restored` makes them again.

    Raises
    ------
    InputError
        If no text holds all that a cell is.
    """
    import pyarrow as pa

    kind = kept_type(column.type)
    texts = pa.chunked_array([], pa.string())
    try:
        column.validate(full=True)  # the texts of a file may be of any bytes
        column = column.cast(kind)
        whole = column.cast(_whole(kind)) if pa.types.is_temporal(kind) else column
        texts = whole.cast(pa.string())
        again = pa.chunked_array([restored(chunk, type_named(str(kind))) for chunk in texts.chunks], kind)
        # A cell that is not a number is not equal to itself.
        same = again.equals(column) or (pa.types.is_floating(kind) and again.cast(pa.string()).equals(texts))
    except MemoryError:  # which is one of Arrow's too
        raise
    except (pa.ArrowException, InputError):
        same = False
    if not same:
        raise InputError(
            f"the column {short(name)} holds cells of type {short(str(kind))}, which no text gives back; write it as "
            f"text or numbers, or leave it out (--ignore)"
        )
    return texts


def restored(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """The inverse of `texts_of`.

    Raises
    ------
    InputError
        If a text is none of such a cell.
    """
    import pyarrow as pa

    if texts.null_count == len(texts):
        return pa.nulls(len(texts), kind)
    try:
        return texts.cast(_whole(kind)).cast(kind) if pa.types.is_temporal(kind) else texts.cast(kind)
    except MemoryError:
        raise
    except pa.ArrowException as error:
        raise InputError(f"a chunk holds a cell that is no {kind} ({brief(error)}); fetch the file again") from error


def _whole(kind: pa.DataType) -> pa.DataType:
    """The whole numbers that times and dates are, since some day or midnight."""
    import pyarrow as pa

    return pa.int64() if kind.bit_width == 64 else pa.int32()
