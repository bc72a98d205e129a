"""Rows that stay in their file because they are too many for memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
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
class Piece:
    """Rows of one file, one after the other.

    Parameters
    ----------
    path : Path
        The file.
    offset : int
        Bytes before the first row.
    rows : int
        How many there are.
    """

    path: Path
    offset: int
    rows: int


@dataclass(frozen=True)
class Filed:
    """A matrix whose rows are read from .npy files where they are asked for.

    Parameters
    ----------
    pieces : tuple of Piece
        The files, in the order of their rows.
    width : int
        Columns.
    stored : dtype
        Of the cells in the files, a float or uint8.
    notes : tuple of str
        Files that were left out, and why.
    """

    pieces: tuple[Piece, ...]
    width: int
    stored: np.dtype
    notes: tuple[str, ...] = ()

    @classmethod
    def joined(cls, parts: Sequence[Filed | None], notes: tuple[str, ...]) -> Filed | None:
        """All rows of several, where they are of one width and type; None where they are not, or one is none."""
        found = [part for part in parts if part is not None]
        if len(found) < len(parts) or len({(part.width, part.stored) for part in found}) != 1:
            return None
        return cls(tuple(piece for part in found for piece in part.pieces), found[0].width, found[0].stored, notes)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.starts[-1], self.width

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The first row of each piece; last, the number of rows."""
        return (0, *accumulate(piece.rows for piece in self.pieces))

    def __len__(self) -> int:
        """Number of rows."""
        return self.starts[-1]

    @property
    def kind(self) -> str:
        """The kind of values."""
        return KINDS[self.stored.kind]

    @property
    def given(self) -> type[np.generic]:
        """The type of cells as they are given: uint8 of levels, float32 of all floats."""
        return np.uint8 if self.kind == "levels" else np.float32

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows from ``start`` to ``stop``, floats as float32.

        Raises
        ------
        InputError
            If the file has become shorter.
        """
        start, stop = min(start, len(self)), min(stop, len(self))
        begun = max(0, bisect_right(self.starts, start) - 1)
        parts = [np.empty((0, self.width), self.given)]
        for piece, first in zip(self.pieces[begun:], self.starts[begun:], strict=False):
            if first >= stop:
                break
            parts.append(self._of(piece, max(start - first, 0), min(stop - first, piece.rows)))
        return parts[1] if len(parts) == 2 else np.concatenate(parts)

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """All rows in order, so many at once."""
        return (self.read(start, start + rows) for start in range(0, len(self), rows))

    def take(self, places: np.ndarray) -> np.ndarray:
        """Rows at some places in rising order: each block that holds some is read once, from the first to the last."""
        found = np.empty((len(places), self.width), self.given)
        # Of the places alone: what it takes does not grow with the file.
        begins = np.flatnonzero(np.diff(places // BLOCK_ROWS, prepend=-1))
        for start, stop in pairwise([*begins.tolist(), len(places)]):
            first, last = places[[start, stop - 1]].tolist()
            found[start:stop] = self.read(first, last + 1)[places[start:stop] - first]
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

    def _of(self, piece: Piece, start: int, stop: int) -> np.ndarray:
        """Rows of one file."""
        with piece.path.open("rb") as file:
            file.seek(piece.offset + start * self.width * self.stored.itemsize)
            cells = np.fromfile(file, self.stored, (stop - start) * self.width)
        if cells.size != (stop - start) * self.width:
            raise InputError(f"{short(str(piece.path))} became shorter while it was read; write or fetch it again")
        checked = finite(cells.reshape(-1, self.width), None, short(str(piece.path)), start)
        return checked.astype(self.given, copy=False)
