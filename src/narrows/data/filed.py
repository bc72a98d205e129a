"""Rows that stay in their file because they are too many for memory."""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import IO

import numpy as np

from narrows.data.ends import Ends, examples_of
from narrows.data.matrices import finite
from narrows.data.schema import Schema, infer_schema, shape_and_layout
from narrows.data.wording import short
from narrows.errors import InputError

SMALLEST_BYTES = 2**29  # data below that are read whole
BLOCK_ROWS = 1024
BLOCK_BYTES = 2**18  # of wide rows a block holds fewer, so that a pool is of many blocks whatever their width
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
    file : binary file, optional
        The same, open, where it has no name.
    """

    path: Path
    offset: int
    rows: int
    file: IO[bytes] | None = None

    def bytes_from(self, start: int, count: int) -> bytes:
        """So many bytes, ``start`` after the beginning of the rows; fewer where the file ends. Threads may at once."""
        if self.file is not None:
            return _read_at(self.file.fileno(), count, self.offset + start)
        with self.path.open("rb") as file:
            file.seek(self.offset + start)
            return file.read(count)


def _read_at(file: int, count: int, offset: int) -> bytes:
    """So many bytes from there on; the system may give fewer at once."""
    parts = [os.pread(file, count, offset)]
    while parts[-1] and sum(map(len, parts)) < count:
        parts.append(os.pread(file, count - sum(map(len, parts)), offset + sum(map(len, parts))))
    return parts[0] if len(parts) == 1 else b"".join(parts)


@dataclass(frozen=True)
class Filed:
    """Examples that are read from files where they are asked for.

    Parameters
    ----------
    pieces : tuple of Piece
        The files, in the order of their rows.
    example : tuple of int
        Shape of one example, in the layout of the files.
    stored : dtype
        Of the cells in the files.
    notes : tuple of str
        What was left out, and why.
    known : Schema, optional
        Of rows that were written by `narrows.data.unpacking`: what they are. They lie as it has them, and were checked.
    """

    pieces: tuple[Piece, ...]
    example: tuple[int, ...]
    stored: np.dtype
    notes: tuple[str, ...] = ()
    known: Schema | None = None

    @classmethod
    def joined(cls, parts: Sequence[Filed | None], notes: tuple[str, ...]) -> Filed | None:
        """All rows of several, where they are of one shape and type; None where they are not, or one is none."""
        found = [part for part in parts if part is not None]
        if len(found) < len(parts) or len({(part.example, part.stored) for part in found}) != 1:
            return None
        return cls(tuple(piece for part in found for piece in part.pieces), found[0].example, found[0].stored, notes)

    @cached_property
    def seen_as(self) -> Schema:
        """Shape and layout of an example; of what its values are, nothing unless it is known."""
        if self.known is not None:
            return self.known
        shape, layout = shape_and_layout(self.example)
        return Schema(shape, 0.0, 0.0, layout=layout)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, then the shape of one as models take it."""
        return self.starts[-1], *self.seen_as.shape

    @property
    def size(self) -> int:
        """Bytes of all rows in their files."""
        return len(self) * self._row_bytes

    @property
    def block_rows(self) -> int:
        """Neighbours that are read, and put in order, together."""
        return max(1, min(BLOCK_ROWS, BLOCK_BYTES // self._row_bytes))

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
        """The type of cells as they are given: that of whole numbers, float32 of floats that were not checked."""
        return np.float32 if self.stored.kind == "f" and self.known is None else self.stored.type

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows from ``start`` to ``stop``, in the type that is given.

        Raises
        ------
        InputError
            If the file has become shorter.
        """
        start, stop = min(start, len(self)), min(stop, len(self))
        begun = max(0, bisect_right(self.starts, start) - 1)
        parts = [np.empty((0, *self.seen_as.shape), self.given)]
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
        found = np.empty((len(places), *self.seen_as.shape), self.given)
        # Of the places alone: what it takes does not grow with the file.
        begins = np.flatnonzero(np.diff(places // self.block_rows, prepend=-1))
        for start, stop in pairwise([*begins.tolist(), len(places)]):
            first, last = places[[start, stop - 1]].tolist()
            found[start:stop] = self.read(first, last + 1)[places[start:stop] - first]
        return found

    def schema(self) -> Schema:
        """What is known of the examples; else look at all cells, and say what they are, as of an array in memory.

        Raises
        ------
        InputError
            If one is not finite.
        """
        if self.known is not None:
            return self.known
        ends = Ends()
        for block in self.blocks(self.block_rows):
            ends.see(block)
        return infer_schema(examples_of(ends, np.empty((0, *self.example), self.given)))

    @cached_property
    def _row_bytes(self) -> int:
        return math.prod(self.example) * self.stored.itemsize

    def _of(self, piece: Piece, start: int, stop: int) -> np.ndarray:
        """Rows of one file."""
        wanted = (stop - start) * self._row_bytes
        found = piece.bytes_from(start * self._row_bytes, wanted)
        if len(found) != wanted:
            raise InputError(f"{short(str(piece.path))} became shorter while it was read; write or fetch it again")
        cells = np.frombuffer(found, self.stored)
        if self.known is not None:
            return cells.reshape(-1, *self.known.shape)
        checked = finite(cells.reshape(-1, *self.example), None, short(str(piece.path)), start)
        return self.seen_as.from_user(checked.astype(self.given, copy=False))
