"""Arrays of nothing but finite numbers, and columns side by side, in the smallest type that holds them."""

from __future__ import annotations

from typing import Any

import numpy as np

from narrows.data.schema import ROWS_AT_ONCE
from narrows.data.wording import brief, short
from narrows.errors import InputError

_SPOKEN = {
    "U": "text",
    "S": "bytes",
    "O": "text among the numbers",
    "M": "dates",
    "m": "durations",
    "c": "complex numbers",
}

# Every whole number up to here is a float32, or a float64.
_EXACT_IN_FLOAT32 = 2**24
_EXACT_IN_FLOAT64 = 2**53


def stacked(columns: list[np.ndarray]) -> np.ndarray:
    """Put columns into a matrix of their type, if it is one, else of float64."""
    kinds = {column.dtype for column in columns}
    return _side_by_side(columns, kinds.pop() if len(kinds) == 1 else np.dtype(np.float64))


def _side_by_side(columns: list[np.ndarray], dtype: np.dtype) -> np.ndarray:
    matrix = np.empty((len(columns[0]), len(columns)), dtype)
    # Whole columns at a time would go through all of the memory for each.
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        for place, column in enumerate(columns):
            matrix[rows, place] = column[rows]
    return matrix


def whole_and_large(values: np.ndarray) -> bool:
    """Whether these are whole numbers, NaN aside, some of which float32 would round."""
    largest = max(float(np.fmax.reduce(values, axis=None)), -float(np.fmin.reduce(values, axis=None)))
    large = _EXACT_IN_FLOAT32 < largest <= _EXACT_IN_FLOAT64
    return large and bool(((values == np.floor(values)) | np.isnan(values)).all())


def float_matrix(columns: list[np.ndarray]) -> np.ndarray:
    """Put columns into a matrix of float32, or of float64 where a column holds whole numbers that need it.

    The others are rounded to float32 there as well, so that a column's numbers do not depend on its neighbours.
    """
    large = [whole_and_large(column) for column in columns]
    kept = [column if exact else column.astype(np.float32) for column, exact in zip(columns, large, strict=True)]
    return _side_by_side(kept, np.dtype(np.float64 if any(large) else np.float32))


def array_of(values: Any, what: str) -> np.ndarray:
    """A NumPy array of what holds numbers: lists, tensors (without importing torch), masked arrays."""
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu().numpy()
        if np.ma.is_masked(values):
            # np.asarray would bare the numbers under the mask; a masked cell is a missing one.
            values = np.ma.filled(values.astype(np.float64), np.nan)
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{what} is no regular array of numbers ({brief(error)}); give rows of equal length"
        ) from error


def numeric(values: np.ndarray, what: str) -> np.ndarray:
    """Booleans, integers and floats pass; objects only if they are numbers one by one."""
    if values.dtype == object and not any(isinstance(cell, (str, bytes)) for cell in values.flat):
        try:
            return values.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{what} holds Python objects ({brief(error)}); give rows of equal length that hold nothing but numbers"
            ) from error
    if values.dtype.kind in "biuf":
        return values
    first = next((cell for cell in values.flat if isinstance(cell, (str, bytes))), values.flat[0])
    raise InputError(
        f"{what} holds {_SPOKEN.get(values.dtype.kind, values.dtype.name)} such as {short(first)} "
        f"where numbers belong; drop them or write them as numbers"
    )


def finite(values: np.ndarray, names: tuple[str, ...] | None, what: str, first: int = 0) -> np.ndarray:
    """The cells, floats as float32, or a sentence that says where the first bad one is, ``first`` rows aside."""
    if values.dtype.kind != "f":
        return values
    good = np.isfinite(values)
    if not good.all():
        where = np.unravel_index(int(np.argmin(good)), values.shape)
        column = short(names[int(where[1])]) if names is not None else ", ".join(str(int(place)) for place in where[1:])
        bad = good.size - int(good.sum())
        raise InputError(
            f"{what} holds NaN or infinite values in {bad} cell{'s' if bad > 1 else ''}, the first in row "
            f"{first + int(where[0])}, column {column} (counted from 0): an array may hold no gaps; "
            f"fill or drop them"
        )
    with np.errstate(over="ignore"):
        single = values.astype(np.float32, copy=False)
    if single is values:
        return values
    if not np.isfinite(single).all():
        raise InputError(f"{what} holds values up to {np.abs(values).max():.3g}, beyond 3.4e38; rescale the data")
    return values if whole_and_large(values) else single
