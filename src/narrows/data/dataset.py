"""Examples in memory, checked once: numeric, finite, and of a schema."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows.data.columns import Raw, is_frame, raw_columns, table_of
from narrows.data.grid import off_grid
from narrows.data.kinds import checked_matrix
from narrows.data.matrices import array_of, finite, numeric, whole_and_large
from narrows.data.names import matched
from narrows.data.schema import Schema, infer_schema, mixed_schema
from narrows.data.wording import short
from narrows.errors import InputError


@dataclass(frozen=True)
class Dataset:
    """Examples, what they are, and where they came from.

    Parameters
    ----------
    values : array, shape (n, *schema.shape)
        The cells in the unit of the data, as they are stored: uint8 where the grid fits into a byte (and
        for 8-bit data of any kind), uint16 for deeper images, else float32; float64 only for whole numbers
        that float32 cannot hold. Of a mixed table as `Column` has them: NaN where a cell is missing.
    schema : Schema
        Shape and grid of an example.
    labels : array, shape (n,), or None
        One label an example; numbers or text.
    source : str
        Where the examples came from, for a person.
    notes : tuple of str
        Columns of a table that were left out, or kept though they never change, and why.
    """

    values: np.ndarray
    schema: Schema
    labels: np.ndarray | None
    source: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.values)


def from_array(
    values: object,
    *,
    names: Sequence[str] | None = None,
    kind: str | None = None,
    labels: object | None = None,
    source: str = "array",
    schema: Schema | None = None,
    keep_constants: bool = False,
) -> Dataset:
    """Check examples that are in memory, and find or apply their schema.

    Parameters
    ----------
    values : array, tensor, list or frame
        ``(n, columns)``, ``(n, height, width)``, ``(n, height, width, channels)`` or ``(n, channels, height, width)``;
        pandas, polars and Arrow frames bring their column names.
    names : sequence of str, optional
        Column names.
    kind : {"binary", "levels", "counts", "reals"}, optional
        Overrides the kind of values that the data suggest.
    labels : array, shape (n,), optional
        One label an example.
    source : str
        Where the values came from, for messages.
    schema : Schema, optional
        Schema of a trained model: columns are put into its order by name, images into its layout, and the
        cells must lie on its grid. An array for a mixed schema is such a matrix as `Column` describes.
    keep_constants : bool
        Whether columns of a frame that never change are kept, as a detector wants them.

    Returns
    -------
    Dataset
        The checked examples.

    Raises
    ------
    InputError
        If there is no example, a cell is no finite number, or the data do not fit ``schema`` or ``kind``. A frame may
        be a mixed table, whose cells may be text or missing.
    """
    what = _spoken(source)
    given = tuple(names) if names is not None else None
    if is_frame(values):
        what = "the frame" if source == "array" else what
        found = _raw_frame(values, given, what, schema, keep_constants)
    else:
        found = _raw(values, given, what, schema)
    found = dataclasses.replace(found, labels=None if labels is None else array_of(labels, "the array of labels"))
    return from_raw(found, kind=kind, source=source, schema=schema)


def from_raw(found: Raw, *, kind: str | None, source: str, schema: Schema | None) -> Dataset:
    """Check what a reader found, as `from_array` does."""
    what = _spoken(source)
    if kind is not None and schema is not None:
        raise InputError(
            f"the kind of values {kind!r} was given with a trained model's schema, which states it; leave it out"
        )
    if found.columns is not None and kind is not None:
        raise InputError(
            f"the kind of values {kind!r} was given for {what}, whose columns have kinds of their own; leave it out, "
            f"or give the kind of a column (kinds=, --column NAME=KIND)"
        )
    cells, schema = _cells(found, kind, schema, what)
    labels = _checked_labels(found.labels, len(cells), what)
    return Dataset(cells, schema, labels, source, found.notes)


def _spoken(source: str) -> str:
    return "the array" if source == "array" else short(source)


def _cells(found: Raw, kind: str | None, schema: Schema | None, what: str) -> tuple[np.ndarray, Schema]:
    """The cells in their stored type, and what they are."""
    if found.columns is not None:
        return found.values, schema or mixed_schema(found.columns)
    refuse_no_examples(found.values.shape, what)
    cells = numeric(found.values, what)
    if schema is not None and schema.columns is not None:
        return checked_matrix(cells, schema.columns, what), schema
    cells = finite(cells, found.names, what)
    if schema is None:
        schema = _inferred(cells, found.names, kind, what)
        cells = schema.from_user(cells)
    else:
        cells = _fitted(cells, schema, what)
    return _stored(cells, schema), schema


def _raw_frame(
    values: object, names: tuple[str, ...] | None, what: str, schema: Schema | None, keep_constants: bool
) -> Raw:
    table = table_of(values)
    table = table if names is None else table.rename_columns(_checked_names(names, table.num_columns, what))
    return raw_columns(table, what=what, schema=schema, keep_constants=keep_constants)


def _raw(values: Any, names: tuple[str, ...] | None, what: str, schema: Schema | None) -> Raw:
    """An array with its names, columns in the wanted order."""
    array = array_of(values, what)
    if array.ndim == 0:
        raise InputError(
            f"{what} is a {type(values).__name__}; give an array, a frame, a file's name or a named data set"
        )
    if names is None:
        return Raw(array)
    if array.ndim != 2:
        raise InputError(
            f"column names were given for examples of shape {array.shape[1:]}; only vectors have them: leave them out"
        )
    names = _checked_names(names, array.shape[1], what)
    if schema is None or schema.names is None:
        return Raw(array, names)
    wanted = matched(names, schema.names, what, positional=False)
    return Raw(array[:, [names.index(name) for name in wanted]], wanted)


def refuse_no_examples(shape: tuple[int, ...], what: str) -> None:
    """Refuse an array without an example, or with one of no cells."""
    if len(shape) < 2 or 0 in shape:
        raise InputError(
            f"{what} has the shape {shape}; give at least one example of at least one cell, examples first: "
            f"(examples, columns) or (examples, height, width)"
        )


def _checked_names(names: tuple[str, ...], columns: int, what: str) -> tuple[str, ...]:
    if len(names) != columns or len(set(names)) != columns:
        raise InputError(
            f"{len(set(names))} distinct names were given for the {columns} columns of {what}; "
            f"give each column one name"
        )
    return names


def _inferred(values: np.ndarray, names: tuple[str, ...] | None, kind: str | None, what: str) -> Schema:
    try:
        return infer_schema(values, names=names, kind=kind)
    except InputError as error:
        raise InputError(f"{what}: {error}") from error


def _fitted(values: np.ndarray, schema: Schema, what: str) -> np.ndarray:
    """Cells in the model's layout and on its grid."""
    try:
        if values.shape[1:] != schema.user_shape and schema.is_image and values.ndim > 2:
            other = infer_schema(values, kind="reals")
            if other.shape == schema.shape:
                return _on_grid(other.from_user(values), schema)
        return _on_grid(schema.from_user(values), schema)
    except InputError as error:
        raise InputError(f"{what}: {error}") from error


def _on_grid(values: np.ndarray, schema: Schema) -> np.ndarray:
    """Refuse cells that the model gives no probability: rounding them in silence would change the data."""
    if schema.step == 0 or (values.dtype == np.uint8 and (schema.low, schema.high, schema.step) == (0.0, 255.0, 1.0)):
        return values
    if schema.values == "binary":
        good = (values == schema.low) | (values == schema.high)
    else:
        index = (values - np.asarray(schema.low, np.float32 if values.itemsize == 1 else np.float64)) / schema.step
        good = (index == np.rint(index)) & (index >= 0) & (values <= schema.high)
    if not good.all():
        raise off_grid(values, good, schema)
    return values


def _stored(values: np.ndarray, schema: Schema) -> np.ndarray:
    """Whole grids within 0 to 255 are bytes, whatever the file held, so that one schema means one type."""
    whole = schema.step >= 1 and schema.low >= 0 and float(schema.low).is_integer() and float(schema.step).is_integer()
    if values.dtype == np.uint8 or (whole and schema.high <= 255):
        return values.astype(np.uint8, copy=False)
    if values.dtype == np.uint16 and schema.is_image:
        return values
    large = values.dtype.kind in "iuf" and whole_and_large(values)
    return values.astype(np.float64 if large else np.float32, copy=False)


def _checked_labels(array: np.ndarray | None, rows: int, what: str) -> np.ndarray | None:
    if array is None:
        return None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (rows,):
        raise InputError(
            f"the labels have the shape {array.shape} and {what} has {rows} examples; give one label an example"
        )
    return array
