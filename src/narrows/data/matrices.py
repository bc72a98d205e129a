"""Columns side by side in one matrix, in the smallest type that holds their numbers."""

from __future__ import annotations

import numpy as np

from narrows.data.schema import ROWS_AT_ONCE

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
