"""What the data are: their shape, the values a cell can take, and the layout the user keeps them in."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from narrows.data.alphabets import Alphabet
from narrows.data.column import Column, ColumnKind
from narrows.errors import InputError

__all__ = [
    "MAX_LEVELS",
    "Column",
    "ColumnKind",
    "Layout",
    "Schema",
    "infer_schema",
    "mixed_schema",
    "shape_and_layout",
]

Layout = Literal["vector", "hw", "hwc", "chw"]

MAX_LEVELS = 256
ROWS_AT_ONCE = 500  # a check of all values at once would take as much memory as they do
_CHANNEL_COUNTS = (1, 3, 4)


@dataclass(frozen=True)
class Schema:
    """The shape of one example and the grid its cells lie on.

    Every cell holds a value ``low + step * i``. A step of 0 says that the values are continuous, an
    infinite ``high`` that they have no upper end (counts).

    Parameters
    ----------
    shape : tuple of int
        ``(columns,)`` for vectors, ``(channels, height, width)`` for images.
    low, high : float
        Ends of the range of a cell, in the unit of the data.
    step : float
        Distance between neighbouring values, in the unit of the data; 0 for continuous values.
    layout : {"vector", "hw", "hwc", "chw"}
        How the user's array holds one example.
    names : tuple of str or None
        Column names, where the source has them.
    columns : tuple of Column or None
        Of a mixed table: what each column holds. Its cells are floats, NaN where one is missing, and low, high and
        step are 0.
    """

    shape: tuple[int, ...]
    low: float
    high: float
    step: float = 0.0
    layout: Layout = "vector"
    names: tuple[str, ...] | None = None
    columns: tuple[Column, ...] | None = None

    @property
    def is_image(self) -> bool:
        """Whether one example is an image."""
        return len(self.shape) == 3

    @property
    def size(self) -> int:
        """Number of cells in one example."""
        return int(np.prod(self.shape))

    @property
    def alphabets(self) -> tuple[Alphabet, ...]:
        """Of a table in symbols: those of each column. Of anything else, none."""
        found = tuple(column.alphabet for column in self.columns or () if column.alphabet is not None)
        return found if len(found) == len(self.columns or ()) else ()

    @property
    def plain(self) -> Schema:
        """The same without what is known of the columns of a table."""
        return self if self.columns is None else dataclasses.replace(self, names=None, columns=None)

    @property
    def levels(self) -> int:
        """Number of values a cell can take; 0 where there is no end to them."""
        if self.step == 0 or not np.isfinite(self.high):
            return 0
        return round((self.high - self.low) / self.step) + 1

    @property
    def values(self) -> str:
        """The kind of values: ``binary``, ``levels``, ``counts``, ``reals``, or ``columns`` where each has its own."""
        if self.columns is not None:
            return "columns"
        if self.step == 0:
            return "reals"
        if self.levels == 0:
            return "counts"
        return "binary" if self.levels == 2 else "levels"

    def describe(self) -> str:
        """One line for a person: shape, kind of values, range."""
        what = "x".join(str(side) for side in self.shape)
        what = f"images {what} (channels x height x width)" if self.is_image else f"vectors of {what} columns"
        kind = {
            "binary": f"binary values {self.low:g} and {self.high:g}",
            "levels": f"{self.levels} levels from {self.low:g} to {self.high:g}",
            "counts": f"counts from {self.low:g}",
            "reals": f"real values from {self.low:.6g} to {self.high:.6g}",
            "columns": ", ".join(f"{n} {kind}" for kind, n in Counter(c.kind for c in self.columns or ()).items()),
        }[self.values]
        return f"{what}, {kind}"

    def from_user(self, values: np.ndarray) -> np.ndarray:
        """Array in the user's layout -> ``(n, *shape)``; no copy where a view will do.

        Raises
        ------
        InputError
            If the array does not hold examples of this schema.
        """
        if values.shape[1:] != self.user_shape:
            raise InputError(
                f"the data hold examples of shape {values.shape[1:]}; the model was trained on {self.user_shape} "
                f"({self.describe()}); give data of that shape"
            )
        if self.layout == "hw":
            return values[:, None]
        return np.moveaxis(values, 3, 1) if self.layout == "hwc" else values

    def to_user(self, values: np.ndarray) -> np.ndarray:
        """Array ``(n, *shape)`` -> the user's layout: the inverse of `from_user`."""
        if self.layout == "hw":
            return values[:, 0]
        return np.moveaxis(values, 1, 3) if self.layout == "hwc" else values

    @property
    def user_shape(self) -> tuple[int, ...]:
        """Shape of one example in the user's layout."""
        if self.layout == "hw":
            return self.shape[1:]
        return (*self.shape[1:], self.shape[0]) if self.layout == "hwc" else self.shape

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model file's header; an infinite end is written as null."""
        record = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del record["columns"]
        if self.columns is not None:
            record["columns"] = tuple(column.to_json() for column in self.columns)
        return {**record, "high": self.high if np.isfinite(self.high) else None}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Schema:
        """The inverse of `to_json`."""
        high = float("inf") if record["high"] is None else float(record["high"])
        names = None if record["names"] is None else tuple(record["names"])
        columns = None
        if record.get("columns") is not None:
            columns = tuple(map(Column.from_json, record["columns"]))
        return cls(**{**record, "shape": tuple(record["shape"]), "high": high, "names": names, "columns": columns})


def mixed_schema(columns: tuple[Column, ...]) -> Schema:
    """Make the schema of a mixed table of these columns."""
    names = tuple(column.name for column in columns)
    return Schema((len(columns),), 0.0, 0.0, 0.0, names=names, columns=columns)


def infer_schema(values: np.ndarray, *, names: tuple[str, ...] | None = None, kind: str | None = None) -> Schema:
    """Read the schema off an array of examples.

    Parameters
    ----------
    values : array, shape (n, columns), (n, height, width), (n, height, width, channels) or (n, channels, height, width)
        Numbers or booleans, all finite.
    names : tuple of str, optional
        Column names.
    kind : {"binary", "levels", "counts", "reals"}, optional
        Overrides the kind of values that the array suggests.

    Returns
    -------
    Schema
        Booleans, and arrays of nothing but 0 and 1 or 0 and 255, are binary; 8-bit integers are levels 0 to 255;
        everything else is real, unless ``kind`` says otherwise.

    Raises
    ------
    InputError
        If the shape is none of the above, or the values do not fit ``kind``.
    """
    shape, layout = shape_and_layout(values.shape[1:])
    low, high = float(values.min()), float(values.max())
    kind = kind or _kind_of(values, low, high)
    grid = _grid(values, kind, low, high)
    return Schema(shape, *grid, layout=layout, names=names)


def shape_and_layout(shape: tuple[int, ...]) -> tuple[tuple[int, ...], Layout]:
    """Shape of an example in an array of a user's -> its shape in a schema, and how the user keeps it.

    Raises
    ------
    InputError
        If it is neither a vector nor an image.
    """
    if len(shape) == 1:
        return shape, "vector"
    if len(shape) == 2:
        return (1, *shape), "hw"
    if len(shape) == 3 and shape[2] in _CHANNEL_COUNTS:
        return (shape[2], shape[0], shape[1]), "hwc"
    if len(shape) == 3 and shape[0] in _CHANNEL_COUNTS:
        return shape, "chw"
    raise InputError(
        f"the array holds examples of shape {shape}; give vectors (columns), grey images (height, width) or colour "
        f"images (height, width, channels) with 1, 3 or 4 channels"
    )


def _kind_of(values: np.ndarray, low: float, high: float) -> str:
    if values.dtype == bool or (low == 0 and high in (1, 255) and _only(values, low, high)):
        return "binary"
    return "levels" if values.dtype == np.uint8 else "reals"


def _only(values: np.ndarray, low: float, high: float) -> bool:
    """Whether no value lies between its two ends."""
    chunks = (values[start : start + ROWS_AT_ONCE] for start in range(0, len(values), ROWS_AT_ONCE))
    return all(bool(((chunk == low) | (chunk == high)).all()) for chunk in chunks)


def _reals_grid(values: np.ndarray, low: float, high: float) -> tuple[float, float, float]:
    # Images of 16 bits run as far as these do, whichever of their values there are, as those of 8 bits do.
    return (0.0, 65535.0, 0.0) if values.dtype == np.uint16 and values.ndim > 2 else (low, high, 0.0)


def _binary_grid(values: np.ndarray, low: float, high: float) -> tuple[float, float, float] | None:
    if values.dtype == bool:
        return 0.0, 1.0, 1.0
    return (low, high, high - low) if low < high and _only(values, low, high) else None


def _counts_grid(values: np.ndarray, low: float, high: float) -> tuple[float, float, float] | None:
    return (0.0, float("inf"), 1.0) if low >= 0 and _whole(values) else None


def _levels_grid(values: np.ndarray, low: float, high: float) -> tuple[float, float, float] | None:
    if values.dtype == np.uint8:
        return 0.0, 255.0, 1.0
    return (low, high, 1.0) if high - low < MAX_LEVELS and _whole(values) else None


def _whole(values: np.ndarray) -> bool:
    return values.dtype.kind in "ui" or bool((values == np.floor(values)).all())


# What each kind of values is, and the grid of values that are of it.
_GRIDS: Mapping[str, tuple[str, Callable[[np.ndarray, float, float], tuple[float, float, float] | None]]] = {
    "binary": ("binary data hold two distinct values", _binary_grid),
    "levels": (f"levels are at most {MAX_LEVELS} neighbouring whole numbers", _levels_grid),
    "counts": ("counts are whole numbers from 0", _counts_grid),
    "reals": ("reals are numbers", _reals_grid),
}


def _grid(values: np.ndarray, kind: str, low: float, high: float) -> tuple[float, float, float]:
    """Low end, high end and step of the grid that ``kind`` means for these values."""
    if kind not in _GRIDS:
        raise InputError(f"unknown kind of values {kind!r}; allowed are binary, levels, counts and reals")
    meaning, grid_of = _GRIDS[kind]
    grid = grid_of(values, low, high)
    if grid is None:
        raise InputError(f"{meaning}; these run from {low:g} to {high:g}: take --values reals")
    return grid
