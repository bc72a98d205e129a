"""Chunks of a ``.nrw`` file and their index; `narrows.coding.container` has the format."""

from __future__ import annotations

import bz2
import struct
from dataclasses import dataclass
from itertools import accumulate, islice

from narrows.coding.framing import DIGEST_BYTES, MARKER_BYTES, Prefix, Source, digest_of, packed, unpacked

MAX_AXES = 8
MAX_NOTES = 1 << 24

_MAX_FRAME = (7 + MAX_AXES) * 9  # a number takes 9 bytes at most
_TRAILER = struct.Struct(f"<I{DIGEST_BYTES}s")


@dataclass(frozen=True)
class Frame:
    """What is said of a chunk before its payload.

    Parameters
    ----------
    method : int
        How the payload came about, from 0 to 127.
    first, examples : int
        The number of its first example, counted from 0 through the file, and how many it has.
    size : int
        Bytes that the payload unpacks to.
    payload, notes : int
        Bytes of either in the file.
    shape : tuple of int
        Shape of one example, at most 8 axes.
    """

    method: int
    first: int
    examples: int
    size: int
    payload: int
    notes: int
    shape: tuple[int, ...]

    def to_bytes(self) -> bytes:
        """Its numbers in this order, the length of the shape before the shape."""
        fixed = (self.method, self.first, self.examples, self.size, self.payload, self.notes)
        return packed((*fixed, len(self.shape), *self.shape))


@dataclass(frozen=True)
class Entry:
    """Where a chunk is in the file.

    Parameters
    ----------
    first, examples : int
        The number of its first example, and how many it has.
    offset, length : int
        Where it begins, and how many bytes it takes, from its marker to its digest.
    digest : bytes
        Of 16 bytes.
    """

    first: int
    examples: int
    offset: int
    length: int
    digest: bytes

    @property
    def stop(self) -> int:
        """The number of the example after its last."""
        return self.first + self.examples


@dataclass(frozen=True)
class Block:
    """A chunk with its place: frame, payload, and notes as they are in the file."""

    frame: Frame
    payload: bytes
    notes: bytes
    entry: Entry

    @classmethod
    def read(cls, source: Source, prefix: Prefix, offset: int, end: int) -> Block:
        """Read and check the one that begins at ``offset`` and ends by ``end``; `Damaged` if there is none."""
        head = source.take(offset, min(MARKER_BYTES + _MAX_FRAME, end - offset))
        numbers = unpacked(head[MARKER_BYTES:])
        fixed = list(islice(numbers, 7))
        if len(fixed) < 7 or not head.startswith(prefix.marker):
            raise source.damaged("a chunk of ")
        method, first, examples, size, n_payload, n_notes, axes = fixed
        frame = Frame(method, first, examples, size, n_payload, n_notes, tuple(islice(numbers, axes)))
        text = frame.to_bytes()
        at = offset + MARKER_BYTES + len(text)
        length = MARKER_BYTES + len(text) + frame.payload + frame.notes + DIGEST_BYTES
        if offset + length > end:
            raise source.damaged("a chunk of ")
        payload, notes = source.take(at, frame.payload), source.take(at + frame.payload, frame.notes)
        digest = digest_of("nrw chunk", prefix.identity, text, payload, notes)
        if digest != source.take(offset + length - DIGEST_BYTES, DIGEST_BYTES):
            raise source.damaged("a chunk of ")
        return cls(frame, payload, notes, Entry(frame.first, frame.examples, offset, length, digest))


def footer_bytes(prefix: Prefix, entries: list[Entry]) -> bytes:
    """The prefix again, the number of chunks, their examples and lengths, their digests; then length and digest."""
    numbers = packed([len(entries), *(number for entry in entries for number in (entry.examples, entry.length))])
    body = prefix.raw + numbers + b"".join(entry.digest for entry in entries)
    return body + _TRAILER.pack(len(body), digest_of("nrw footer", prefix.identity, body))


def read_footer(source: Source, prefix: Prefix) -> tuple[list[Entry], int]:
    """Read and check the footer that the file ends with.

    Returns
    -------
    tuple of list of Entry and int
        The chunks, with the places at which they were written; the bytes that the footer takes.

    Raises
    ------
    Damaged
        If there is none, or not as it was written.
    """
    length, digest = _TRAILER.unpack(source.take(source.size - _TRAILER.size, _TRAILER.size))
    body = source.take(source.size - _TRAILER.size - length, length)
    if digest != digest_of("nrw footer", prefix.identity, body):
        raise source.damaged("the end of ")
    numbers = unpacked(body[len(prefix.raw) :])
    pairs = list(islice(zip(numbers, numbers, strict=False), next(numbers, 0)))
    examples, lengths = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    firsts, offsets = accumulate(examples, initial=0), accumulate(lengths, initial=len(prefix.raw))
    places = range(len(body) - DIGEST_BYTES * len(pairs), len(body), DIGEST_BYTES)
    digests = [body[at : at + DIGEST_BYTES] for at in places]
    entries = [Entry(*row) for row in zip(firsts, examples, offsets, lengths, digests, strict=False)]
    whole = footer_bytes(prefix, entries)
    if whole[: len(body)] != body:
        raise source.damaged("the end of ")
    return entries, len(whole)


def shortest(notes: bytes) -> bytes:
    """Notes as they are kept: none, plain, or compressed where that is shorter."""
    return min(b"\x00" + notes, b"\x01" + bz2.compress(notes), key=len) if notes else b""


def restored(kept: bytes) -> bytes:
    """The inverse of `shortest`; ValueError if these are no kept notes, or would be longer than `MAX_NOTES`."""
    if kept[:1] != b"\x01":
        return kept[1:]
    unpacker = bz2.BZ2Decompressor()
    try:
        notes = unpacker.decompress(kept[1:], MAX_NOTES + 1)
    except OSError as error:
        raise ValueError("notes are not compressed by bzip2") from error
    if len(notes) > MAX_NOTES or not unpacker.eof:
        raise ValueError("notes are too long or cut short")
    return notes
