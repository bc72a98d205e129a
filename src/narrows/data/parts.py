"""Rows as a trained model has them, some at once, in memory that does not grow with their number."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from narrows.data.columnar import stream_blocks
from narrows.data.columns import Raw
from narrows.data.dataset import Dataset, from_raw
from narrows.data.formats import in_columns
from narrows.data.images import Pictures, stacks
from narrows.data.request import STANDARD_INPUT, Request
from narrows.data.sources import located
from narrows.data.squares import each_square
from narrows.data.stored import Stored
from narrows.data.wording import short
from narrows.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SPOKEN = "standard input"
CELLS = 2**22  # of a part, or of one block where rows are wider
BLOCK = 8192  # rows of a part are a multiple of what models take at once


def parts(data: str, request: Request, cells: int | None = None) -> Iterator[tuple[int, Dataset]]:
    """Read data part by part, each with the place of its first row.

    Parquet and Arrow files, arrays in .npy and IDX files, images and an Arrow stream on standard input, which is called
    ``-``, are read in parts; all else comes whole, as one part.

    Parameters
    ----------
    data : str
        As `narrows.data.read` takes it.
    request : Request
        How to read them; its schema is that of a trained model.
    cells : int, optional
        Most cells of a part, as far as whole blocks of 8,192 rows allow; about four million unless given. Of images
        that many, whatever the block.

    Returns
    -------
    iterator of (int, Dataset)
        Nothing at all of a file of no rows.

    Raises
    ------
    InputError
        If there is no such source, or, when the part is reached, it is damaged or does not fit the schema.
    """
    assert request.schema is not None
    first = 0
    try:
        for raw in _raws(data, request, _rows(request.schema.size, cells)):
            if len(raw.values):
                yield first, _checked(raw, request, data, first)
            first += len(raw.values)
    except MemoryError as error:
        raise InputError(f"{short(data)} does not fit into memory; give a part of it, or free memory") from error


def stream_parts(request: Request, kind: str | None) -> Iterator[Dataset]:
    """Read an Arrow stream on standard input part by part; the first part tells what its columns hold.

    Parameters
    ----------
    request : Request
        How to read it, without a schema.
    kind : str or None
        Kind of the values, where it is not that of the first part. Floats are real values, whatever they are by chance.

    Raises
    ------
    InputError
        If no rows come, or they cannot be used.
    """
    first = 0
    for table in stream_blocks(sys.stdin.buffer, SPOKEN, _rows):
        raw = in_columns(table, request, SPOKEN)
        if request.schema is None:
            part = from_raw(raw, kind=kind or _kind_of(raw, table), source=SPOKEN, schema=None)
            request = dataclasses.replace(request, schema=part.schema, kinds={})
        else:
            part = _checked(raw, request, SPOKEN, first)
        first += len(part)
        yield part
    if not first:
        raise no_rows(SPOKEN)


def no_rows(data: str) -> InputError:
    """Make the error for data without a row."""
    return InputError(f"{data} has no rows; give at least one example, one row each")


def _kind_of(raw: Raw, table: pa.Table) -> str | None:
    """Kind of values that is told by their type; None where it is not."""
    import pyarrow as pa

    floats = raw.columns is None and all(
        pa.types.is_floating(table.schema.field(name).type) for name in raw.names or ()
    )
    return "reals" if floats else None


def _rows(columns: int, cells: int | None = None) -> int:
    """Rows of a part: whole blocks."""
    return BLOCK * max(1, (cells or CELLS) // (BLOCK * columns))


def _raws(data: str, request: Request, rows: int) -> Iterator[Raw]:
    if data == STANDARD_INPUT:
        return (in_columns(table, request, SPOKEN) for table in stream_blocks(sys.stdin.buffer, SPOKEN, lambda _: rows))
    found = located(data, request)
    if found.blocks is not None:
        return (in_columns(table, request, short(data)) for table in found.blocks(rows) if table.num_rows)
    source = found.open() if found.open is not None else None
    return iter([found.read()]) if source is None else map(Raw, arrays_of(source, request.tile, rows))


def arrays_of(source: Stored | Pictures, tile: int | None, rows: int) -> Iterator[np.ndarray]:
    """Examples in arrays (n, ...) of so many rows at most, images of about four million cells at most, cut where asked.

    Raises
    ------
    InputError
        When one is reached that is damaged, or of images one that differs from the first.
    """
    if isinstance(source, Stored):
        return source.rows(rows)
    return stacks(source.alike() if tile is None else each_square(source, tile), CELLS)


def _checked(raw: Raw, request: Request, data: str, first: int) -> Dataset:
    """The rows of a part; what is wrong with one is said with the place from which its number counts."""
    try:
        return from_raw(raw, kind=None, source=data, schema=request.schema)
    except InputError as error:
        if not first:
            raise
        raise InputError(f"{error} (in the part from row {first} on, from which rows are counted)") from error
