"""Rows written to files, by the suffix of the name; each file is whole or absent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from narrows.atomic import writing
from narrows.data.cells import number_or_nan
from narrows.data.matrices import whole_and_large
from narrows.data.schema import Column, Schema
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

BYTE = 255


def in_stored_type(values: np.ndarray, schema: Schema) -> np.ndarray:
    """Round levels, and black and white at 0 and 255, back to uint8; leave everything else as float32.

    Between 0 and 1 a mean is a probability, which rounding would lose.
    """
    levels = schema.values == "levels" and schema.step == 1 and schema.low >= 0 and schema.high <= BYTE
    if levels or (schema.values == "binary" and (schema.low, schema.high) == (0, BYTE)):
        return np.clip(np.rint(values), schema.low, schema.high).astype(np.uint8)
    return values.astype(np.float32)


def write_npy(values: np.ndarray, path: Path) -> None:
    """Write an array as .npy."""
    with writing(path) as beside, beside.open("wb") as file:
        np.save(file, values, allow_pickle=False)


@contextmanager
def growing_npy(path: Path, like: np.ndarray) -> Iterator[Callable[[np.ndarray], None]]:
    """Write rows shaped and typed ``like`` others into an .npy file; it is there when the block ends well."""
    with writing(path) as beside, beside.open("wb") as file:
        count = 0

        def header() -> None:  # NumPy leaves room in it for 21 digits of the number of rows: it keeps its length
            shape = (count, *like.shape[1:])
            npy.write_array_header_1_0(file, {"descr": like.dtype.str, "fortran_order": False, "shape": shape})

        def write(rows: np.ndarray) -> None:
            nonlocal count
            count += len(rows)
            np.ascontiguousarray(rows, like.dtype).tofile(file)

        header()
        yield write
        file.seek(0)
        header()


@contextmanager
def growing_table(path: Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """Write tables of one schema into a file, some rows after the other; it is there when the block ends well.

    Parameters
    ----------
    path : Path
        Its suffix chooses: .csv with a header, .parquet or .arrow.
    schema : pyarrow.Schema
        Of all the tables.
    """
    suffix = check_suffix(path, tuple(TABLE_WRITERS))
    with writing(path) as beside, _opened(suffix, beside, schema) as file:
        yield file.write_table


def _opened(suffix: str, path: Path, schema: pa.Schema) -> Any:
    import pyarrow as pa
    from pyarrow import csv, parquet

    return {".csv": csv.CSVWriter, ".parquet": parquet.ParquetWriter, ".arrow": pa.ipc.new_file}[suffix](path, schema)


def _write(table: pa.Table, path: Path) -> None:
    with growing_table(path, table.schema) as write:
        write(table)


TABLE_WRITERS: Mapping[str, Callable[[pa.Table, Path], None]] = dict.fromkeys((".csv", ".parquet", ".arrow"), _write)


def check_suffix(path: Path, allowed: tuple[str, ...]) -> str:
    """Return the suffix of ``path``, or raise `InputError` if it is not one of those allowed."""
    suffix = path.suffix.lower()
    if suffix not in allowed:
        raise InputError(
            f"{path.name} has the suffix {suffix or '(none)'}; this output is written as {' or '.join(allowed)}"
        )
    return suffix


def write_columns(
    values: np.ndarray, names: list[str], path: Path, extra: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write a matrix (n, columns) as .npy, .csv or .parquet.

    Parameters
    ----------
    values : array, shape (n, columns)
        Numbers.
    names : list of str
        Column names.
    path : Path
        Its suffix chooses the format.
    extra : mapping of str to array, optional
        Further columns of a table, such as labels; .npy leaves them out.
    """
    suffix = check_suffix(path, (".npy", *TABLE_WRITERS))
    if suffix == ".npy":
        write_npy(values, path)
        return
    import pyarrow as pa

    columns = {name: pa.array(np.ascontiguousarray(values[:, i])) for i, name in enumerate(names)}
    columns |= {name: pa.array(column) for name, column in (extra or {}).items()}
    TABLE_WRITERS[suffix](pa.table(columns), path)


def write_sparse(rows: np.ndarray, codes: np.ndarray, values: np.ndarray, shape: tuple[int, int], path: Path) -> None:
    """Write the cells of a matrix that are not 0 as .npz, for `scipy.sparse.load_npz`.

    Parameters
    ----------
    rows, codes, values : array, shape (m,)
        Where the cells are, row by row, and what they hold.
    shape : tuple of int
        Of the matrix.
    path : Path
        The file.
    """
    from scipy import sparse

    with writing(path) as beside:
        sparse.save_npz(beside, sparse.csr_array((values, (rows, codes)), shape=shape))


def write_table(values: np.ndarray, schema: Schema, path: Path, extra: Mapping[str, np.ndarray] | None = None) -> None:
    """Write rows of a mixed table as .csv, .parquet or .arrow: categories by name, missing cells empty.

    Parameters
    ----------
    values : array, shape (n, columns)
        Raw rows, as `Column` has them. A category that is none of those known is written as a missing cell.
    schema : Schema
        Of a mixed table.
    path : Path
        Its suffix chooses the format.
    extra : mapping of str to array, optional
        Further columns, such as labels.
    """
    suffix = check_suffix(path, tuple(TABLE_WRITERS))
    TABLE_WRITERS[suffix](mixed_table(values, schema, extra), path)


def mixed_table(values: np.ndarray, schema: Schema, extra: Mapping[str, np.ndarray] | None = None) -> pa.Table:
    """Return rows of a mixed table as an Arrow table, as `write_table` writes it."""
    import pyarrow as pa

    columns = {column.name: _cells(column, values[:, i]) for i, column in enumerate(schema.columns or ())}
    columns |= {name: pa.array(column) for name, column in (extra or {}).items()}
    return pa.table(columns)


def _cells(column: Column, cells: np.ndarray) -> pa.Array:
    """One column as a person would write it, null where a cell is missing."""
    import pyarrow as pa

    if column.categories:
        known = pa.array(_restored(column.categories))
        places = np.where(cells < len(column.categories), cells, 0).astype(np.int64)
        return known.take(pa.array(places, mask=~(cells < len(column.categories))))
    # The shortest text of a float32 is shorter than that of the float64 next to it, which only large numbers need.
    cells = cells if whole_and_large(cells) else cells.astype(np.float32)
    return pa.array(cells, mask=np.isnan(cells))


def _restored(categories: tuple[str, ...]) -> list[Any]:
    """Two values as what they were: booleans or numbers, else text."""
    if categories == ("false", "true"):
        return [False, True]
    numbers = [number_or_nan(category) for category in categories]
    if len(categories) != 2 or not np.isfinite(numbers).all():
        return list(categories)
    return [int(number) for number in numbers] if all(n.is_integer() for n in numbers) else numbers
