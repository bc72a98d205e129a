"""What the symbols of a table leave open, as bytes: low bits of numbers, and texts that have no symbol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


def in_bits(numbers: NDArray[np.uint64], bits: NDArray[np.int64]) -> bytes:
    """Numbers of so many bits each (n,), the lowest bit first, in a row."""
    ends = bits.cumsum()
    row = np.zeros(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    for bit, which, places in _bits(bits, ends):
        row[places] = numbers[which] >> np.uint64(bit) & np.uint64(1)
    return np.packbits(row).tobytes()


def from_bits(row: bytes, bits: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The inverse of `in_bits`, of those numbers that have bits."""
    bits = bits[bits > 0]
    ends = bits.cumsum()
    numbers = np.zeros(len(bits), dtype=np.uint64)
    total = int(ends[-1]) if len(ends) else 0
    if len(row) != -(-total // 8):
        raise damaged()
    unpacked = np.unpackbits(np.frombuffer(row, np.uint8), count=total)
    for bit, which, places in _bits(bits, ends):
        numbers[which] |= unpacked[places].astype(np.uint64) << np.uint64(bit)
    return numbers


def _bits(bits: NDArray[np.int64], ends: NDArray[np.int64]) -> Iterator[tuple[int, Any, Any]]:
    """Each bit: its place in a number, which numbers have it, and where it is of each in the row."""
    for bit in range(int(bits.max(initial=0))):
        which = np.flatnonzero(bits > bit)
        yield bit, which, ends[which] - bits[which] + bit


def in_bytes(arrays: Sequence[pa.Array]) -> bytes:
    """Texts: the length of each and one, 0 for none, in 4 bytes; then all of them in UTF-8."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.concat_arrays([array.cast(pa.large_string()) for array in arrays])
    lengths = (pc.fill_null(pc.binary_length(texts), -1).to_numpy(zero_copy_only=False) + 1).astype("<u4")
    return lengths.tobytes() + "".join(texts.drop_null().to_pylist()).encode()


def from_bytes(kept: bytes, n: int) -> pa.Array:
    """The inverse of `in_bytes`, for n texts."""
    import pyarrow as pa

    if len(kept) < 4 * n:
        raise damaged()
    lengths = np.frombuffer(kept, "<u4", count=n).astype(np.int64)
    ends = np.maximum(lengths - 1, 0).cumsum()
    if 4 * n + (int(ends[-1]) if n else 0) != len(kept):
        raise damaged()
    offsets = np.append(0, ends).astype(np.int32)
    present = np.packbits(lengths > 0, bitorder="little").tobytes()
    buffers = [pa.py_buffer(present), pa.py_buffer(offsets.tobytes()), pa.py_buffer(kept[4 * n :])]
    texts = pa.Array.from_buffers(pa.string(), n, buffers)
    try:
        texts.validate(full=True)
    except pa.ArrowException:
        raise damaged() from None
    return texts


def damaged() -> InputError:
    """Make the error for a chunk of a table that no writer wrote."""
    return InputError("a chunk does not hold the cells of its table as a writer keeps them; fetch the file again")
