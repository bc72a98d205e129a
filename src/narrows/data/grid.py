"""The values that a model's cells can take, and which of them a cell of the data is."""

from __future__ import annotations

import numpy as np

from narrows.data.schema import MAX_LEVELS, Schema
from narrows.data.wording import short
from narrows.errors import InputError

_BYTES = np.arange(256)


def off_grid(values: np.ndarray, good: np.ndarray, schema: Schema, first: int = 0) -> InputError:
    """Make the error for cells that a model gives no probability: rounding them in silence would change the data.

    Parameters
    ----------
    values : array, shape (n, *schema.shape)
        Raw cells.
    good : array of bool, same shape
        Which of them are as they should be; at least one is not.
    schema : Schema
        Of the model.
    first : int
        Number of the first row among all that are read.
    """
    where = np.unravel_index(int(np.argmin(good)), values.shape)
    column = short(schema.names[int(where[1])]) if schema.names else str(tuple(int(place) for place in where[1:]))
    return InputError(
        f"row {first + int(where[0])}, cell {column} holds {float(values[where]):g}, but the model was trained on "
        f"{schema.describe()}; give data with the same values or train a model on these"
    )


class Grid:
    """The values low + step * i of a schema, i = 0, 1, ..., by their index.

    Parameters
    ----------
    schema : Schema
        Of at most 256 levels; its shape does not matter.

    Raises
    ------
    InputError
        If the values have no end, or are more than a byte can count.
    """

    def __init__(self, schema: Schema) -> None:
        if not 1 <= schema.levels <= MAX_LEVELS:
            raise InputError(
                f"the data are {schema.describe()}; only cells of at most {MAX_LEVELS} levels have an index in a "
                f"byte: train a model on such data"
            )
        self._schema = schema
        self.levels = schema.low + schema.step * np.arange(schema.levels)
        self.levels[-1] = schema.high  # low + step rounds

    @property
    def whole(self) -> bool:
        """Whether every value is a whole number."""
        return bool((self.levels == np.rint(self.levels)).all())

    @property
    def of_bytes(self) -> bool:
        """Whether every value is a whole number from 0 to 255."""
        return self.whole and self.levels[0] >= 0 and self.levels[-1] <= 255

    def indices(self, values: np.ndarray, first: int = 0) -> np.ndarray:
        """Raw cells (n, x) of any type -> their indices, uint8, such that `values` gives the cells back.

        Parameters
        ----------
        values : array
            Raw cells.
        first : int
            Number of the first row among all that are read, for the message.

        Raises
        ------
        InputError
            If a cell lies between the values, or outside of them.
        """
        if values.dtype.itemsize == 1 and values.dtype.kind in "bu":
            # A look-up takes an eighth of the memory that numbers would.
            index = self._nearest(_BYTES)[values.view(np.uint8)]
            good = np.isin(_BYTES, self.levels)[values.view(np.uint8)]
        else:
            index = self._nearest(values)
            good = self.levels[index] == values
        if not good.all():
            raise off_grid(values, good, self._schema, first)
        return np.ascontiguousarray(index)

    def values(self, indices: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Indices -> raw cells of a type: the inverse of `indices`."""
        return self.levels.astype(dtype)[indices]

    def _nearest(self, values: np.ndarray) -> np.ndarray:
        """Index of the value nearest to each cell, or of any for one that is no number."""
        scaled = np.rint((values.astype(np.float64) - self._schema.low) / self._schema.step)
        return np.clip(np.nan_to_num(scaled), 0, len(self.levels) - 1).astype(np.uint8)
