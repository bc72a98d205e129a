"""The bytes of a ``.nrw`` file: source, numbers, digests, prefix; `narrows.coding.container` has the format."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, BinaryIO

from narrows.errors import InputError, at_least, at_most

VERSION = 1
MAGIC = b"\x89NRW\r\n\x1a\n"  # as PNG's: text does not begin so, and a transfer that rewrites line ends destroys it
DIGEST_BYTES = 16
MARKER_BYTES = 6
MAX_HEADER = 1 << 20

_HEAD = struct.Struct("<8sBI8s")
_WINDOW = 1 << 20


class Damaged(InputError):
    """Bytes of a ``.nrw`` file are missing, or are not those that were written."""


class Newer(InputError):
    """A ``.nrw`` file is of a later version of the format than this program knows."""


class Source:
    """A binary file from which nothing is read, and for which nothing is allocated, beyond its size.

    Parameters
    ----------
    file : binary file
        Seekable.
    name : str
        What messages call it.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self.name = name
        self.size = file.seek(0, 2)
        self._file = file

    def take(self, offset: int, n: int) -> bytes:
        """Exactly ``n`` bytes from ``offset`` on, or `Damaged`."""
        if n < 0 or offset < 0 or offset + n > self.size:
            raise self.damaged()
        self._file.seek(offset)
        taken = self._file.read(n)
        if len(taken) < n:
            raise self.damaged()
        return taken

    def find(self, pattern: bytes) -> Iterator[int]:
        """Where a pattern begins, from the first place to the last, in constant memory."""
        for start in range(0, self.size, _WINDOW):
            window = self.take(start, min(_WINDOW + len(pattern) - 1, self.size - start))
            at = window.find(pattern)
            while at >= 0:
                yield start + at
                at = window.find(pattern, at + 1)

    def damaged(self, what: str = "") -> Damaged:
        """Make the error for the file, or for what part of it."""
        return Damaged(
            f"{what}{self.name} is cut short or altered; get a whole copy, "
            f"or add --salvage to recover the chunks that are intact"
        )


def digest_of(purpose: str, key: bytes, *pieces: bytes) -> bytes:
    """BLAKE2b of 16 bytes over the pieces in a row (RFC 7693), keyed, one function for each purpose."""
    state = blake2b(digest_size=DIGEST_BYTES, key=key, person=purpose.encode())
    for piece in pieces:
        state.update(piece)
    return state.digest()


def packed(numbers: Iterable[int]) -> bytes:
    """Whole numbers from 0 to 2^63 - 1, each in groups of 7 bits, the lowest first, and 128 set in all but the last."""
    out = bytearray()
    for number in numbers:
        at_least("a number of the file", number, 0)
        at_most("a number of the file", number, 2**63 - 1)
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        out.append(number)
    return bytes(out)


def unpacked(buffer: bytes) -> Iterator[int]:
    """Numbers that `packed` wrote, as far as they go; what follows them is never looked at before it is asked for."""
    number = shift = 0
    for byte in buffer:
        number |= (byte & 127) << shift
        shift = shift + 7 if byte > 127 else 0
        if shift >= 63:
            return
        if not shift:
            yield number
            number = 0


@dataclass(frozen=True)
class Prefix:
    """What a file begins with, and its footer too.

    Parameters
    ----------
    raw : bytes
        All of it: magic, version, length of the header, salt, header, digest.
    header : dict
        The header.
    """

    raw: bytes
    header: dict[str, Any]

    @classmethod
    def of(cls, header: bytes, salt: bytes) -> Prefix:
        """Put it together from a header in JSON and 8 bytes that tell files with equal headers apart."""
        raw = _HEAD.pack(MAGIC, VERSION, len(header), salt) + header
        return cls(raw + digest_of("nrw prefix", b"", raw), json.loads(header))

    @classmethod
    def read(cls, source: Source, offset: int) -> Prefix:
        """Read and check the one that begins at ``offset``.

        Raises
        ------
        Damaged
            If there is none, or not as it was written.
        Newer
            If it is of a newer version.
        """
        head = source.take(offset, _HEAD.size)
        magic, version, length, _ = _HEAD.unpack(head)
        if magic == MAGIC and version > VERSION:
            raise Newer(
                f"{source.name} is of format {version}, and this narrows reads formats up to {VERSION}; "
                f"upgrade it (pip install --upgrade narrows)"
            )
        if magic != MAGIC or version < 1 or length > MAX_HEADER:
            raise source.damaged("the header of ")
        text, digest = source.take(offset + len(head), length), source.take(offset + len(head) + length, DIGEST_BYTES)
        if digest != digest_of("nrw prefix", b"", head, text):
            raise source.damaged("the header of ")
        try:
            return cls(head + text + digest, dict(json.loads(text)))
        except (TypeError, ValueError, RecursionError) as error:
            raise source.damaged("the header of ") from error

    @property
    def identity(self) -> bytes:
        """The digest of all that stands before it; the key of every other digest in the file."""
        return self.raw[-DIGEST_BYTES:]

    @property
    def marker(self) -> bytes:
        """What every chunk of this file begins with, and by chance no more than one in 2^48 places elsewhere."""
        return digest_of("nrw marker", self.identity)[:MARKER_BYTES]


def header_bytes(header: Mapping[str, Any]) -> bytes:
    """A header as JSON, the same bytes for equal headers; `InputError` if it is too long, or no plain JSON."""
    try:
        text = json.dumps(dict(header), sort_keys=True, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"a header must be plain JSON, without infinite or undefined numbers ({error})") from error
    at_most("the header's length in bytes", len(text), MAX_HEADER)
    return text
