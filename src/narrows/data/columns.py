"""From an Arrow table to a matrix of numbers: which columns, in which order, and what stands for their cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from narrows.data.arrow import cells_of, is_number, no_numbers, plain_numbers
from narrows.data.cells import Cells
from narrows.data.kinds import (
    CONSTANT,
    CONSTANT_BUT_GAPS,
    WATCHED,
    column_of,
    encoded,
    notes_of,
    reason_to_leave_out,
    suggested,
)
from narrows.data.matrices import float_matrix, stacked
from narrows.data.names import learnt_names, matched, no_column_left
from narrows.data.schema import Column, ColumnKind, Schema
from narrows.data.wording import brief, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

CONSTANTS = (CONSTANT, CONSTANT_BUT_GAPS)


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
    columns : tuple of Column or None
        Of a mixed table: what its columns hold. ``values`` are then checked, and floats as `Column` has them.
    notes : tuple of str
        What was left out, and why.
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None
    labels: np.ndarray | None = None
    columns: tuple[Column, ...] | None = None
    notes: tuple[str, ...] = ()


def is_frame(source: object) -> bool:
    """Whether something is a table in memory: pandas, polars and Arrow speak the Arrow C interface."""
    return hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__")


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
            f"a {kind} cannot be read as a table ({brief(error)}); give a frame whose named columns each hold cells of "
            f"one type, such as numbers, text or dates"
        ) from error


def raw_columns(
    table: pa.Table,
    *,
    what: str = "the table",
    label: str | None = None,
    ignore: Sequence[str] = (),
    kinds: Mapping[str, str] | None = None,
    schema: Schema | None = None,
    positional: bool = False,
    keep_constants: bool = False,
) -> Raw:
    """Take labels and ignored columns out of a table, and make a matrix of the others.

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
    kinds : mapping of str to str, optional
        What columns hold, where it is not what their cells suggest: a kind of column, or ``ignore``.
    schema : Schema, optional
        Of a trained model: its columns in its order, all others dropped.
    positional : bool
        Whether the names are made up, so that as many columns as wanted may stand for them.
    keep_constants : bool
        Whether columns that never change are kept: nothing is to be learnt from them, and a detector marks a row that
        differs there.

    Returns
    -------
    Raw
        Numbers as float64, or as uint8 or bool where every column is; the columns of a mixed table as `Column` has
        them.

    Raises
    ------
    InputError
        If a name is unknown or occurs twice, or a column does not hold what it should.
    """
    names, said = learnt_names(table.schema, what, label, ignore, kinds or {}, schema)
    if schema is not None and schema.names is not None:
        names = matched(names, schema.names, what, positional)
    if not names:
        raise no_column_left(table.column_names, what)
    if not table.num_rows:
        raise InputError(f"{what} has names and no rows; give at least one example, one row each")
    labels = None if label is None else _labels(table.column(label))
    table = table.select(names)
    found = _as_found(table, said, what, keep_constants) if schema is None else _as_trained(table, schema, what)
    return dataclasses.replace(found, labels=labels)


def _as_found(table: pa.Table, said: Mapping[str, ColumnKind], what: str, keep_constants: bool) -> Raw:
    matrix = None if said else _all_numbers(table)
    if matrix is None:
        return _mixed(table, said, what, keep_constants)
    return _moving(matrix, tuple(table.column_names), keep_constants)


# --- tables of numbers -----------------------------------------------------------------------------------------------


def _all_numbers(table: pa.Table) -> np.ndarray | None:
    """The matrix of a table of nothing but numbers, or nothing but booleans, without a gap; None of any other."""
    from pyarrow import types

    kinds = [getattr(kind, "value_type", kind) if types.is_dictionary(kind) else kind for kind in table.schema.types]
    if not all(map(is_number, kinds)) and not all(map(types.is_boolean, kinds)):
        return None
    if any(column.null_count for column in table.columns):
        return None
    matrix = stacked([plain_numbers(table.column(name), name, "") for name in table.column_names])
    return None if matrix.dtype.kind == "f" and np.isnan(matrix).any() else matrix


def _moving(matrix: np.ndarray, names: tuple[str, ...], keep_constants: bool) -> Raw:
    """Numbers, unless told to keep them without those that never change; where none does, the training will say so."""
    low = matrix.min(0)
    still = (low == matrix.max(0)) & np.isfinite(low)
    left = {name: CONSTANT for name, constant in zip(names, still, strict=True) if constant}
    if keep_constants:
        return Raw(matrix, names, notes=notes_of(left, WATCHED))
    if still.all() or not still.any():
        return Raw(matrix, names)
    return Raw(matrix[:, ~still], tuple(name for name in names if name not in left), notes=notes_of(left))


# --- mixed tables ----------------------------------------------------------------------------------------------------


def _mixed(table: pa.Table, said: Mapping[str, ColumnKind], what: str, keep_constants: bool) -> Raw:
    """A table whose columns have kinds of their own: those said, else those that the cells suggest."""
    found = {name: _cells(table.column(name), name, what) for name in table.column_names}
    found = {name: cells if name in said else cells.settled() for name, cells in found.items()}
    columns, notes = columns_of(found, said, what, keep_constants)
    values = [encoded(column, found[column.name], what) for column in columns]
    return Raw(float_matrix(values), tuple(column.name for column in columns), columns=columns, notes=notes)


def columns_of(
    found: Mapping[str, Cells], said: Mapping[str, ColumnKind], what: str, keep_constants: bool
) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """What columns hold that a mixed table is learnt from, and what became of the others.

    Parameters
    ----------
    found : mapping of str to Cells
        The cells of each column, or a summary of them; settled where nothing was said.
    said : mapping of str to str
        The kinds of columns that were said.
    what : str
        How a message calls the table.
    keep_constants : bool
        See `raw_columns`.

    Raises
    ------
    InputError
        If no column is left, or one is not of the kind that was said.
    """
    reasons = {name: reason_to_leave_out(cells) for name, cells in found.items() if name not in said}
    left = {name: reason for name, reason in reasons.items() if reason is not None}
    watched = {name: left.pop(name) for name in list(left) if keep_constants and left[name] in CONSTANTS}
    if len(left) == len(found):  # it is for the training to say that nothing changes
        left = {name: reason for name, reason in left.items() if reason != CONSTANT}
    notes = notes_of(left) + notes_of(watched, WATCHED)
    if len(left) == len(found):
        raise InputError(f"{what} has no column left to learn from: {'; '.join(notes)}; give a kind to one of them")
    kept = {name: cells for name, cells in found.items() if name not in left}
    columns = tuple(column_of(name, said.get(name, suggested(cells)), cells, what) for name, cells in kept.items())
    odd = {name: cells.odd_one() for name, cells in found.items() if name not in said}
    notes += tuple(
        f"column {short(name)} holds {short(found[name].at(row))} in row {row} where nearly all cells are numbers, and "
        f"was read as text"
        for name, row in odd.items()
        if row is not None
    )
    return columns, notes


def _as_trained(table: pa.Table, schema: Schema, what: str) -> Raw:
    """The columns of a trained model, whose names stand in the schema."""
    names = schema.names or tuple(table.column_names)
    if schema.columns is None:
        return Raw(stacked([plain_numbers(table.column(name), name, what) for name in table.column_names]), names)
    values = [
        encoded(column, _cells(cells, column.name, what), what)
        for column, cells in zip(schema.columns, table.columns, strict=True)
    ]
    return Raw(float_matrix(values), names, columns=schema.columns)


def _cells(column: pa.ChunkedArray, name: str, what: str) -> Cells:
    cells = cells_of(column)
    if cells is None:
        raise no_numbers(column, name, what)
    return cells


def _labels(column: pa.ChunkedArray) -> np.ndarray:
    """Labels as numbers or text, never as Python objects."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not pa.types.is_string(column.type):
        labels = np.asarray(column.to_numpy())
        if labels.dtype != object:
            return labels
        return np.array(["" if label is None else str(label) for label in column.to_pylist()])
    texts = column.fill_null("").combine_chunks().dictionary_encode()
    return np.array(texts.dictionary.to_pylist())[texts.indices.to_numpy()]
