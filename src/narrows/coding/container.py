"""The ``.nrw`` file: data that were compressed, in chunks that can be read, checked and salvaged one by one.

It knows nothing of models or images: a header in JSON, and of each chunk how many examples it holds, their shape, the
size that it unpacks to, a method, and bytes. Equal input gives equal bytes, on any machine and at any time.

**Format 1.** Numbers in ``[]`` are lengths in bytes; `n` stands for a whole number below 2^63 in groups of 7 bits, the
lowest first, with 128 set in all bytes but the last (LEB128); all else is little-endian::

    file    = prefix chunk* footer
    prefix  = magic[8] version[1] header length[4] salt[8] header identity[16]
    chunk   = marker[6] frame payload notes digest[16]
    frame   = method n, first example n, examples n, unpacked size n, payload length n, notes length n, axes n, shape n*
    footer  = prefix, chunks n, (examples n, chunk length n)*, digest[16]* of each chunk, footer length[4], digest[16]

Magic is ``89 4e 52 57 0d 0a 1a 0a``. The header is JSON in ASCII with sorted keys, at most 1 MiB. The salt is the
beginning of the BLAKE2b-128 of the first chunk from frame to notes, personalised ``nrw salt``, and tells files with
equal headers apart. All digests are BLAKE2b-128 (RFC 7693): ``nrw prefix`` over the prefix before it, without a key;
this is the file's identity and the key of the others: ``nrw chunk`` over frame, payload and notes; ``nrw footer`` over
the footer before its length; ``nrw marker`` over nothing, whose first 6 bytes are the marker. The length of the footer
leaves out itself and the digest after it. Notes are nothing, or ``00`` and the bytes, or ``01`` and the bytes
compressed by bzip2 (of which, unlike zlib, all machines make the same bytes), whichever is shorter.

So a chunk belongs to one file (its key) and one place in it (its first example), and the footer, which holds the digest
of every chunk, tells one file from another that begins alike. The digests find damage and mistakes; they are no
signature, which someone who alters a file on purpose could not make anew.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Self

from narrows.coding.chunks import (
    MAX_AXES,
    MAX_NOTES,
    Block,
    Entry,
    Frame,
    footer_bytes,
    read_footer,
    restored,
    shortest,
)
from narrows.coding.framing import MAGIC, Prefix, Source, digest_of, header_bytes
from narrows.errors import InputError, at_least, at_most

STORED, CODED = 0, 1


class Writer:
    """Writes a ``.nrw`` file from front to back, in memory that grows by some 200 bytes a chunk.

    As a context manager it ends the file, unless an error passes through; it does not close what it writes to, which
    should come from `narrows.atomic.writing`, so that no unfinished file takes anyone's place.

    Parameters
    ----------
    file : binary file
        Nothing but ``write`` is called.
    header : mapping
        Plain JSON values that hold for the whole file, such as the fingerprint of a model; at most 1 MiB as JSON.

    Raises
    ------
    InputError
        If the header is no plain JSON, or too long.
    """

    def __init__(self, file: BinaryIO, header: Mapping[str, Any]) -> None:
        self._file = file
        self._header = header_bytes(header)
        self._prefix: Prefix | None = None
        self._entries: list[Entry] = []
        self._first = self._size = 0
        self._closed = False

    def add(
        self,
        payload: bytes,
        *,
        examples: int,
        size: int,
        shape: tuple[int, ...] = (),
        method: int = CODED,
        notes: bytes = b"",
    ) -> None:
        """Write a chunk.

        Parameters
        ----------
        payload : bytes
            The examples as they are kept.
        examples : int
            How many there are, at least 1.
        size : int
            Bytes that they unpack to.
        shape : tuple of int
            Shape of one of them, at most 8 axes; may be left out where the header says it.
        method : int
            How the payload came about, from 0 to 127: `STORED`, `CODED`, or what the header's owner agrees on.
        notes : bytes
            What else belongs to these examples, such as the names of their files; at most 16 MiB.

        Raises
        ------
        InputError
            If a number is out of its bounds.
        ValueError
            If the writer is closed.
        """
        if self._closed:
            raise ValueError("the file has its footer; add chunks before")
        at_least("the number of examples", examples, 1)
        at_most("a chunk's method", method, 127)
        at_most("the number of axes", len(shape), MAX_AXES)
        at_most("the length of a chunk's notes in bytes", len(notes), MAX_NOTES)
        kept = shortest(notes)
        frame = Frame(method, self._first, examples, size, len(payload), len(kept), shape).to_bytes()
        prefix = self._begun(digest_of("nrw salt", b"", frame, payload, kept))
        digest = digest_of("nrw chunk", prefix.identity, frame, payload, kept)
        offset = self._size
        self._write(prefix.marker, frame, payload, kept, digest)
        self._entries.append(Entry(self._first, examples, offset, self._size - offset, digest))
        self._first += examples

    def close(self) -> None:
        """Write the footer, once; nothing may be added after it."""
        if self._closed:
            return
        self._closed = True
        self._write(footer_bytes(self._begun(digest_of("nrw salt", b"")), self._entries))

    def _begun(self, salt: bytes) -> Prefix:
        """The prefix, written before the first chunk, on which it depends."""
        if self._prefix is None:
            self._prefix = Prefix.of(self._header, salt[:8])
            self._write(self._prefix.raw)
        return self._prefix

    def _write(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._file.write(piece)
            self._size += len(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()


@dataclass(frozen=True)
class Chunk:
    """What a chunk holds: its frame (first, examples, size, shape, method), payload and notes as they were given."""

    frame: Frame
    payload: bytes
    notes: bytes


@dataclass(frozen=True)
class Bits:
    """Bits of each part of a file; they add up to its length.

    Parameters
    ----------
    header, footer : int
        What stands before the chunks and after them, the footer with a second copy of the header. Of a file that is
        salvaged, what is lost counts as footer.
    payload, notes : int
        Of all chunks.
    framing : int
        What marks, describes and checks the chunks.
    """

    header: int
    payload: int
    notes: int
    framing: int
    footer: int


@dataclass(frozen=True)
class Reader:
    """The chunks of a ``.nrw`` file; `Reader.open` makes one, and `narrows.coding.salvage.salvage` from a damaged file.

    Parameters
    ----------
    source : Source
        The file.
    prefix : Prefix
        What it begins with.
    entries : tuple of Entry
        Its chunks in order: the first example and the number of examples of each, and where it is.
    total : int or None
        Examples in the file, lost ones included; None if it was salvaged and that is not known.
    """

    source: Source
    prefix: Prefix
    entries: tuple[Entry, ...]
    total: int | None

    @classmethod
    def open(cls, file: bytes | BinaryIO, name: str = "the file") -> Self:
        """Read header and footer of a whole file and check them.

        Parameters
        ----------
        file : bytes or binary file
            A file has to be seekable, and to stay open.
        name : str
            What messages call it.

        Raises
        ------
        InputError
            If it is foreign, of a newer version, cut short or altered; damage within a chunk is found by `read`.
        """
        source = source_of(file, name)
        if source.take(0, min(len(MAGIC), source.size)) != MAGIC:
            raise InputError(
                f"{name} does not begin as a .nrw file does; give one that narrows compress wrote, "
                f"or add --salvage if it is one and damaged"
            )
        prefix = Prefix.read(source, 0)
        entries, footer = read_footer(source, prefix)
        if len(prefix.raw) + sum(entry.length for entry in entries) + footer != source.size:
            raise source.damaged()
        return cls(source, prefix, tuple(entries), sum(entry.examples for entry in entries))

    @property
    def header(self) -> dict[str, Any]:
        """The header that the writer was given."""
        return self.prefix.header

    @property
    def lost(self) -> tuple[range, ...]:
        """Examples that no chunk holds; after the last chunk there may be more where ``total`` is None."""
        stops = [0, *(entry.stop for entry in self.entries)]
        starts = [*(entry.first for entry in self.entries), stops[-1] if self.total is None else self.total]
        return tuple(range(stop, start) for stop, start in zip(stops, starts, strict=True) if stop < start)

    def holding(self, example: int) -> int:
        """Which chunk holds an example; `InputError` if none does."""
        i = bisect_right(self.entries, example, key=lambda entry: entry.first) - 1
        if i < 0 or example >= self.entries[i].stop:
            held = sum(entry.examples for entry in self.entries)
            raise InputError(
                f"example {example} is not in {self.source.name}; ask for one of the {held} in it, counted from 0"
            )
        return i

    def read(self, i: int) -> Chunk:
        """Read and check chunk ``i`` and nothing else.

        Raises
        ------
        InputError
            If it is not as it was written.
        """
        entry = self.entries[i]
        altered = self.source.damaged(f"the chunk of examples {entry.first} to {entry.stop - 1} of ")
        try:
            block = Block.read(self.source, self.prefix, entry.offset, entry.offset + entry.length)
            notes = restored(block.notes)
        except ValueError as error:
            raise altered from error
        if block.entry != entry:
            raise altered
        return Chunk(block.frame, block.payload, notes)

    def bits(self) -> Bits:
        """Bits of each part; reads and checks all chunks."""
        frames = [self.read(i).frame for i in range(len(self.entries))]
        header, payload, notes = len(self.prefix.raw), sum(f.payload for f in frames), sum(f.notes for f in frames)
        chunks = sum(entry.length for entry in self.entries)
        parts = (header, payload, notes, chunks - payload - notes, self.source.size - header - chunks)
        return Bits(*(8 * part for part in parts))


def source_of(file: bytes | BinaryIO, name: str) -> Source:
    """A file, or bytes as one."""
    return Source(io.BytesIO(file) if isinstance(file, bytes) else file, name)
