"""Guards against files that unpack to far more than they are."""

from __future__ import annotations

import io

from narrows.data.wording import short
from narrows.errors import InputError

# Real data sets unpack to well below 500 times their size, blank images aside; those fit into the free part.
MAX_RATIO = 500
FREE_BYTES = 256 * 2**20


def allowance(packed: int) -> int:
    """Most bytes that a file of ``packed`` bytes may unpack to."""
    return max(FREE_BYTES, MAX_RATIO * packed)


def refuse_bomb(unpacked: int, packed: int, name: str) -> None:
    """Refuse a file that declares far more content than its size can honestly hold.

    Raises
    ------
    InputError
        If ``unpacked`` is over the allowance of a file of ``packed`` bytes.
    """
    if unpacked > allowance(packed):
        raise InputError(
            f"{short(name)} is {packed} bytes and would unpack to {unpacked}, over {MAX_RATIO} times its size; "
            f"if you trust it, unpack it yourself and give the unpacked data"
        )


class BoundedReader(io.RawIOBase):
    """A stream that refuses to yield more than a number of bytes.

    Parameters
    ----------
    stream : binary file
        Where the bytes come from.
    packed : int
        Size of the packed file, which sets the bound.
    name : str
        The file's name, for the message.
    """

    def __init__(self, stream: io.BufferedIOBase, packed: int, name: str) -> None:
        self._stream = stream
        self._packed = packed
        self._name = name
        self._seen = 0

    def readable(self) -> bool:
        """Whether one can read from it: always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes, at most ``size``; all that are left, within the bound, where size is negative."""
        room = allowance(self._packed) - self._seen + 1
        chunk = self._stream.read(room if size is None or size < 0 else min(size, room))
        self._seen += len(chunk)
        refuse_bomb(self._seen, self._packed, self._name)
        return chunk

    def close(self) -> None:
        """Close the stream beneath as well."""
        self._stream.close()
        super().close()
