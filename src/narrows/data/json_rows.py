"""Rows that came as JSON, and rows of any table, as a trained model's schema has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.data.columns import raw_columns
from narrows.data.dataset import from_raw
from narrows.data.schema import Schema
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


def table_of_json(found: Sequence[Any], schema: Schema, what: str) -> pa.Table:
    """Return rows that came as JSON, objects by the names of columns or arrays in their order, as an Arrow table.

    Parameters
    ----------
    found : sequence
        Of lists and dictionaries.
    schema : Schema
        Of the trained model, whose columns are taken.
    what : str
        How a message calls one of them.

    Raises
    ------
    InputError
        If one lacks a column, or holds more cells than there are; cells that are none raise what Arrow raises.
    """
    import pyarrow as pa

    names = names_of(schema)
    columns = zip(*(_cells(row, names, what) for row in found), strict=True)
    table = {}
    for name, is_category, cells in zip(names, are_categories(schema), columns, strict=True):
        table[name] = pa.array([_text(cell) for cell in cells] if is_category else cells)
    return pa.table(table)


def raw_rows(table: pa.Table, schema: Schema, what: str, *, positional: bool = False) -> np.ndarray:
    """Return the rows of a table (n, columns) as a trained model's schema has them; see `raw_columns`, `from_raw`."""
    found = raw_columns(table, what=what, schema=schema, positional=positional)
    return from_raw(found, kind=None, source=what, schema=schema).values


def names_of(schema: Schema) -> tuple[str, ...]:
    """Names of the columns, c0, c1, ... where they have none."""
    return schema.names or tuple(f"c{place}" for place in range(schema.size))


def _cells(found: Any, names: tuple[str, ...], what: str) -> list[Any]:
    """The cells of one row."""
    if isinstance(found, dict):
        try:
            return [found[name] for name in names]
        except KeyError as error:
            raise InputError(f"{what} lacks {error}") from None
    if not isinstance(found, list):
        raise InputError(f"{what} holds neither a JSON object nor an array")
    if len(found) != len(names):
        raise InputError(f"{what} holds an array of {len(found)} cells, not {len(names)}")
    return found


def are_categories(schema: Schema) -> list[bool]:
    """Say whether each column holds categories, which are read as text: as numbers, 01 and 1 would be the same."""
    if schema.columns is None:
        return [False] * schema.size
    return [bool(column.categories) for column in schema.columns]


def _text(cell: Any) -> Any:
    """A number or a truth value as CSV would write it."""
    return json.dumps(cell) if isinstance(cell, (int, float)) else cell


def errors_of_rows() -> tuple[type[Exception], ...]:
    """Return what Arrow, the readers of tables and the one of JSON raise at what is no row."""
    import pyarrow as pa

    return (pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError)
