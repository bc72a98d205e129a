"""From an Arrow table to a matrix of numbers: which columns, in which order, and whether they hold numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.data.wording import brief, listed, nearest, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|\s*[+-]?(nan|inf|infinity)\s*|\s*", re.IGNORECASE)
_MISSING = {"", "NA", "N/A", "#N/A", "NULL", "null", "n/a", "None"}


@dataclass(frozen=True)
class Raw:
    """What a reader found, before anything is checked.

    Parameters
    ----------
    values : array, shape (n, ...)
        One row an example, in the layout of the source.
    names : tuple of str or None
        Column names, where the source has them.
    labels : array, shape (n,), or None
        One label an example, where the source has them.
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None
    labels: np.ndarray | None = None


def table_of(frame: object) -> pa.Table:
    """A pandas, polars or Arrow frame -> an Arrow table, through the Arrow C-stream interface.

    Raises
    ------
    InputError
        If the object is no frame of columns.
    """
    import pyarrow as pa

    try:
        return pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        kind = type(frame).__name__
        raise InputError(
            f"a {kind} cannot be read as a table ({brief(error)}); give a frame with named columns of numbers"
        ) from error


def raw_columns(
    table: pa.Table,
    *,
    what: str = "the table",
    label: str | None = None,
    ignore: Sequence[str] = (),
    wanted: tuple[str, ...] | None = None,
    positional: bool = False,
) -> Raw:
    """Take labels and ignored columns out of a table, and stack the others.

    Parameters
    ----------
    table : pyarrow.Table
        The table.
    what : str
        How a message calls it.
    label : str, optional
        Column that holds the labels.
    ignore : sequence of str
        Columns to drop.
    wanted : tuple of str, optional
        The columns a trained model takes, in its order; all other columns are dropped.
    positional : bool
        Whether the names are made up, so that as many columns as wanted may stand for them.

    Returns
    -------
    Raw
        Numbers as float64; as uint8 or bool where every column is.

    Raises
    ------
    InputError
        If a name is unknown or occurs twice, or a column holds something else than numbers.
    """
    present = list(table.column_names)
    _refuse_repeated(present, what)
    for name in (*ignore, *((label,) if label is not None else ())):
        if name not in present:
            raise InputError(
                f"{what} has no column {short(name)}; its columns are {listed(present)}{nearest(name, present)}"
            )
    taken = {*ignore, label, *_index_columns(table)}
    names = tuple(name for name in present if name not in taken)
    if wanted is not None:
        names = matched(names, wanted, what, positional)
    if not names:
        raise InputError(f"{what} has no column left to learn from; its columns are {listed(present)}: ignore fewer")
    labels = None if label is None else _labels(table.column(label))
    return Raw(_stack([_numbers(table.column(name), name, what) for name in names]), wanted or names, labels)


def _refuse_repeated(names: list[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(
                f"{what} has two columns named {short(name)}; rename one, or, if the first line holds data, "
                f"say that there is no header (header=False, --no-header)"
            )
        seen.add(name)


def _index_columns(table: pa.Table) -> set[str]:
    """A pandas index travels as a column, yet it names the rows and is no measurement."""
    record = table.schema.pandas_metadata or {}
    return {name for name in record.get("index_columns", ()) if isinstance(name, str)}


def matched(names: tuple[str, ...], wanted: tuple[str, ...], what: str, positional: bool) -> tuple[str, ...]:
    """The wanted names if all are there; else, where names are made up, as many in the order they have.

    Raises
    ------
    InputError
        If a wanted column is missing.
    """
    missing = [name for name in wanted if name not in names]
    if not missing:
        return wanted
    if positional and len(names) == len(wanted):
        return names
    raise InputError(
        f"{what} lacks the column {short(missing[0])} that the model was trained on; it has {listed(names)}"
        f"{nearest(missing[0], names)}"
    )


def _stack(columns: list[np.ndarray]) -> np.ndarray:
    kinds = {column.dtype for column in columns}
    dtype = kinds.pop() if len(kinds) == 1 else np.dtype(np.float64)
    matrix = np.empty((len(columns[0]), len(columns)), dtype)
    for place, column in enumerate(columns):
        matrix[:, place] = column
    return matrix


def _numbers(column: pa.ChunkedArray, name: str, what: str) -> np.ndarray:
    """One column as uint8, bool or float64, with NaN where a cell is missing."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if column.null_count == 0 and (kind == pa.uint8() or kind == pa.bool_()):
        return np.asarray(column.to_numpy())
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    elif not any(
        is_kind(kind) for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    ):
        row, value = _first_text(column)
        raise InputError(
            f"{what} holds {_spoken(kind)} where numbers belong: column {short(name)} has {short(value)} in row {row} "
            f"(counted from 0); ignore the column, take it as the label, or write it as numbers"
        )
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _spoken(kind: pa.DataType) -> str:
    """What a person calls an Arrow type."""
    return "text" if "string" in str(kind) else f"{kind} values"


def _first_text(column: pa.ChunkedArray) -> tuple[int, object]:
    """Row and value of the first cell that is no number."""
    first: tuple[int, object] | None = None
    for row, scalar in enumerate(column):
        cell: Any = scalar.as_py()
        if cell is None:
            continue
        first = first or (row, cell)
        if not isinstance(cell, str) or not (cell in _MISSING or _NUMBER.fullmatch(cell)):
            return row, cell
    return first or (0, None)


def _labels(column: pa.ChunkedArray) -> np.ndarray:
    """Labels as numbers or text, never as Python objects."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    labels = np.asarray(column.to_numpy())
    if labels.dtype != object:
        return labels
    return np.array(["" if label is None else str(label) for label in column.to_pylist()])
