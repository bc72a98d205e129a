"""Rows as a trained model has them, some at once, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator

from narrows.data.columns import Raw
from narrows.data.dataset import Dataset, from_raw
from narrows.data.formats import in_columns
from narrows.data.request import Request
from narrows.data.sources import Located, located
from narrows.data.stored import Stored
from narrows.data.wording import short
from narrows.errors import InputError

CELLS = 2**22  # of a part, or of one block where rows are wider
BLOCK = 8192  # rows of a part are a multiple of what models take at once


def parts(data: str, request: Request, cells: int | None = None) -> Iterator[tuple[int, Dataset]]:
    """Read data part by part, each with the place of its first row.

    Parquet and Arrow files and arrays in .npy files are read in parts; all else comes whole, as one part.

    Parameters
    ----------
    data : str
        As `narrows.data.read` takes it.
    request : Request
        How to read them; its schema is that of a trained model.
    cells : int, optional
        Most cells of a part, as far as whole blocks of 8,192 rows allow; about four million unless given.

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
    found = located(data, request)
    rows = BLOCK * max(1, (cells or CELLS) // (BLOCK * request.schema.size))
    first = 0
    try:
        for raw in _raws(found, request, data, rows):
            if len(raw.values):
                yield first, _checked(raw, request, data, first)
            first += len(raw.values)
    except MemoryError as error:
        raise InputError(f"{short(data)} does not fit into memory; give a part of it, or free memory") from error


def _raws(found: Located, request: Request, data: str, rows: int) -> Iterator[Raw]:
    if found.blocks is not None:
        return (in_columns(table, request, short(data)) for table in found.blocks(rows) if table.num_rows)
    source = found.open() if found.open is not None else None
    if isinstance(source, Stored):
        return map(Raw, source.rows(rows))
    return iter([found.read()])


def _checked(raw: Raw, request: Request, data: str, first: int) -> Dataset:
    """The rows of a part; what is wrong with one is said with the place from which its number counts."""
    try:
        return from_raw(raw, kind=None, source=data, schema=request.schema)
    except InputError as error:
        if not first:
            raise
        raise InputError(f"{error} (in the part from row {first} on, from which rows are counted)") from error
