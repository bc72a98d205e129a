"""Rows that stay in their file because they are too many for memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from narrows.data.matrices import finite
from narrows.data.schema import Schema
from narrows.data.wording import short
from narrows.errors import InputError

SMALLEST_BYTES = 2**29  # a file below that is read whole
BLOCK_ROWS = 1024
KINDS = {"f": "reals", "u": "levels"}  # of values, by the kind of type


@dataclass(frozen=True)
class Filed:
    """A matrix whose rows are read from an .npy file where they are asked for.

    Parameters
    ----------
    path : Path
        The file.
    offset : int
        Bytes before the first row.
    shape : tuple of int
        Rows and columns.
    stored : dtype
        Of the cells in the file, a float or uint8.
    """

    path: Path
    offset: int
    shape: tuple[int, int]
    stored: np.dtype

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    @property
    def kind(self) -> str:
        """The kind of values."""
        return KINDS[self.stored.kind]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows from ``start`` to ``stop``, floats as float32.

        Raises
        ------
        InputError
            If the file has become shorter.
        """
        start, stop = min(start, len(self)), min(stop, len(self))
        width = self.shape[1]
        with self.path.open("rb") as file:
            file.seek(self.offset + start * width * self.stored.itemsize)
            cells = np.fromfile(file, self.stored, (stop - start) * width)
        if cells.size != (stop - start) * width:
            raise InputError(f"{short(str(self.path))} became shorter while it was read; write or fetch it again")
        return self._ready(cells.reshape(-1, width), start)

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """All rows in order, so many at once."""
        return (self.read(start, start + rows) for start in range(0, len(self), rows))

    def take(self, places: np.ndarray) -> np.ndarray:
        """Rows at some places in rising order: each block that holds some is read once, from the first to the last."""
        bounds = np.searchsorted(places, np.arange(0, len(self) + BLOCK_ROWS, BLOCK_ROWS))
        found = np.empty((len(places), self.shape[1]), np.uint8 if self.kind == "levels" else np.float32)
        for block in np.flatnonzero(np.diff(bounds)).tolist():
            here = slice(bounds[block], bounds[block + 1])
            first, last = places[here][[0, -1]].tolist()
            found[here] = self.read(first, last + 1)[places[here] - first]
        return found

    def schema(self) -> Schema:
        """Look at all cells, and say what they are: levels from 0 to 255 in bytes, else real values.

        Raises
        ------
        InputError
            If one is not finite.
        """
        if self.kind == "levels":
            return Schema(self.shape[1:], 0.0, 255.0, 1.0)
        ends = [(float(block.min()), float(block.max())) for block in self.blocks(BLOCK_ROWS)]
        lows, highs = zip(*ends, strict=True)
        return Schema(self.shape[1:], min(lows), max(highs))

    def _ready(self, cells: np.ndarray, first: int) -> np.ndarray:
        checked = finite(cells, None, short(str(self.path)), first)
        return checked if self.kind == "levels" else checked.astype(np.float32, copy=False)
