"""IDX files, the format of MNIST and its kin: a magic number, the sides, then big-endian cells."""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from narrows.data.limits import allowance
from narrows.data.stored import Stored
from narrows.data.wording import brief, short
from narrows.errors import InputError

_CELLS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_SIDES = 4
_CHUNK = 2**20


def is_idx(path: Path) -> bool:
    """Whether a file, unpacked if it is a gzip file, begins as an IDX file does."""
    try:
        with _opened(path) as stream:
            return _sides_of(stream.read(4)) > 0
    except (OSError, EOFError, zlib.error):
        return False


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file, gzipped or not.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    array
        Of the shape and type that the file declares, in native byte order.

    Raises
    ------
    InputError
        If the file is no IDX file, or shorter or longer than it declares. The declared size is weighed
        against the file's before memory is taken.
    """
    with _read(path) as stream:
        shape, cell = _declared(stream, path)
        cells = bytearray()  # rather than bytes, so that the array is writable, as torch wants it
        for part in _parts(stream, shape, cell, _CHUNK, path):
            cells += part
    return np.frombuffer(cells, cell).reshape(shape).astype(cell.newbyteorder("="), copy=False)


def open_idx(path: Path) -> Stored:
    """Open an IDX file, gzipped or not, to read it in blocks.

    Raises
    ------
    InputError
        As `read_idx`; of a file that ends early, or goes on, when its last block is read.
    """
    with _read(path) as stream:
        shape, cell = _declared(stream, path)

    def rows(at_once: int) -> Iterator[np.ndarray]:
        with _read(path) as stream:
            _declared(stream, path)
            for part in _parts(stream, shape, cell, at_once * math.prod(shape[1:]) * cell.itemsize, path):
                yield np.frombuffer(part, cell).reshape(-1, *shape[1:]).astype(cell.newbyteorder("="), copy=False)

    return Stored(shape, cell.newbyteorder("="), rows)


@contextlib.contextmanager
def _read(path: Path) -> Iterator[io.BufferedIOBase]:
    """The unpacked file; what reading it raises becomes one sentence."""
    try:
        with _opened(path) as stream:
            yield stream
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{short(str(path))} cannot be read as an IDX file ({brief(error)}); fetch it again"
        ) from error


def _opened(path: Path) -> io.BufferedIOBase:
    with path.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")


def _sides_of(magic: bytes) -> int:
    """Number of sides that the magic number declares; 0 where it is none."""
    valid = len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in _CELLS and 1 <= magic[3] <= _MAX_SIDES
    return magic[3] if valid else 0


def _declared(stream: io.BufferedIOBase, path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the cells, weighed against the size of the file; the stream then stands at the cells."""
    name = str(path)
    magic = stream.read(4)
    sides = _sides_of(magic)
    header = stream.read(4 * sides)
    if not sides or len(header) != 4 * sides:
        raise InputError(
            f"{short(name)} is no IDX file: it begins with {magic.hex() or 'nothing'}; "
            f"give a file like train-images-idx3-ubyte"
        )
    shape = tuple(int.from_bytes(header[4 * side : 4 * side + 4], "big") for side in range(sides))
    cell = np.dtype(_CELLS[magic[2]])
    declared = math.prod(shape) * cell.itemsize
    size = path.stat().st_size
    packed = isinstance(stream, gzip.GzipFile)
    if declared > allowance(size) if packed else declared != size - 4 - len(header):
        raise InputError(
            f"{short(name)} declares {declared} bytes of cells of shape {shape}, which its {size} bytes "
            f"do not hold; fetch it again"
        )
    return shape, cell


def _parts(stream: io.BufferedIOBase, shape: tuple[int, ...], cell: np.dtype, size: int, path: Path) -> Iterator[bytes]:
    """The bytes of the cells, so many at a time; refuses the file at its end if that is not where it should be."""
    left = math.prod(shape) * cell.itemsize
    while left and len(part := stream.read(min(size, left))) == min(size, left):
        left -= len(part)
        yield part
    if left or stream.read(1):
        relation = "ends early" if left else "goes on after them"
        raise InputError(f"{short(str(path))} declares cells of shape {shape} and {relation}; fetch it again")
