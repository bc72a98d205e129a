"""Data in a ``.nrw`` file and back: chunk by chunk, several at once, each decoded before it is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, BinaryIO, TypeVar, get_args

import numpy as np
import torch

from narrows.coding.chunks import Frame
from narrows.coding.container import CODED, STORED, Chunk, Reader, Writer
from narrows.coding.products import full_precision
from narrows.compression.compressor import Compressor, Work
from narrows.compression.files import fingerprint
from narrows.compression.pieces import check_fit, from_pieces, in_pieces, pieces_in
from narrows.data.exact import spelling_of
from narrows.data.frames import Block, Form, Frames
from narrows.data.schema import MAX_LEVELS, Layout, Schema
from narrows.data.wording import short
from narrows.errors import InputError
from narrows.threads import side_by_side

CHUNK_CELLS = 1 << 20  # of a chunk of bytes; a single example may have more
_CELLS_A_BYTE = 1 << 19  # no symbol takes less than log2(2^16 / (2^16 - 1)) bits, of which a byte has 363,409

T = TypeVar("T")
U = TypeVar("U")


def chunk_cells(schema: Schema) -> int:
    """Most cells of a chunk: the fewer levels they have, the more, or what each chunk costs beside them would tell."""
    return CHUNK_CELLS * 8 // (schema.levels - 1).bit_length() if schema.columns is None else CHUNK_CELLS


@dataclass(frozen=True)
class Packed:
    """A chunk ready to be written.

    Parameters
    ----------
    block : Block
        The examples.
    method : int
        `CODED`, or `STORED` where that is shorter.
    payload : bytes
        As they are kept.
    bits : float
        Bits that the model gives them.
    kept : array, shape (n, *shape)
        What they decode to.
    note : str
        What a person should hear of how they were coded, if anything.
    """

    block: Block
    method: int
    payload: bytes
    bits: float
    kept: np.ndarray
    note: str = ""


def written(file: BinaryIO, compressor: Compressor, frames: Frames, work: Work) -> Iterator[Packed]:
    """Write data as a ``.nrw`` file, and give each chunk once it is written.

    Every chunk is decoded first and compared. The bytes do not depend on ``work``, nor on the number of threads.

    Raises
    ------
    InputError
        If the data do not fit the codec.
    RuntimeError
        If a chunk does not decode to what was encoded: a fault of ours or of the machine.
    """
    header = {
        "what": "data",
        "codec": fingerprint(compressor),
        "kind": compressor.kind,
        "schema": frames.schema.to_json(),
        "form": frames.form.to_json(),
    }
    with Writer(file, header) as writer:
        for made in _several(lambda block: packed(compressor, block, work), frames):
            values = made.block.values
            writer.add(
                made.payload,
                examples=len(values),
                size=values.size,
                shape=values.shape[1:],
                method=made.method,
                notes=json.dumps(made.block.names).encode() if made.block.names else made.block.rest,
            )
            yield made


def packed(compressor: Compressor, block: Block, work: Work) -> Packed:
    """Code a chunk, decode it again and compare."""
    values = np.ascontiguousarray(block.values)
    check_fit(values.shape[1:], compressor.schema.shape)
    pieces = in_pieces(values, compressor.schema.shape)
    coded = compressor.coded(pieces, work)
    raw = stored(values, compressor.schema.levels)
    if len(coded.payload) >= len(raw):
        return Packed(block, STORED, raw, 8.0 * len(raw), values)
    if not np.array_equal(compressor.decode(coded.payload, len(pieces), work), coded.kept):
        raise RuntimeError("a chunk did not decode to what was encoded; nothing was written")
    return Packed(block, CODED, coded.payload, coded.bits, from_pieces(coded.kept, values.shape[1:]), coded.note)


def stored(values: np.ndarray, levels: int) -> bytes:
    """Levels in as few whole bits as each of them needs, without a model."""
    bits = (levels - 1).bit_length()
    return np.packbits(np.unpackbits(values.reshape(-1, 1), axis=1)[:, 8 - bits :]).tobytes()


def unstored(payload: bytes, cells: int, levels: int) -> np.ndarray:
    """The inverse of `stored`, (cells,); `InputError` if the payload is of another length."""
    bits = (levels - 1).bit_length()
    if len(payload) != -(-cells * bits // 8):
        raise InputError("a chunk holds fewer or more levels than it says; fetch the file again")
    rows = np.unpackbits(np.frombuffer(payload, np.uint8), count=cells * bits).reshape(cells, bits)
    return np.packbits(np.pad(rows, ((0, 0), (8 - bits, 0))), axis=1)[:, 0]


@dataclass(frozen=True)
class Archive:
    """An open ``.nrw`` file of data.

    Parameters
    ----------
    reader : Reader
        Its chunks.
    schema : Schema
        Grid of the data; their shape, unless each chunk has its own.
    form : Form
        In what form they came.
    """

    reader: Reader
    schema: Schema
    form: Form

    @classmethod
    def of(cls, reader: Reader) -> Archive:
        """Read the header; `InputError` if the file holds something else."""
        header, name = reader.header, reader.source.name
        if header.get("what") != "data":
            raise InputError(f"{name} holds a codec and no data; give a file that narrows compress wrote")
        return cls(reader, schema_in(header, name), Form.from_json(header.get("form")))

    def check(self, compressor: Compressor) -> None:
        """Raise `InputError` unless this codec wrote the file, and for the grid of its data."""
        header, name = self.reader.header, self.reader.source.name
        if header.get("codec") != fingerprint(compressor):
            raise InputError(
                f"{name} was written with another model ({header.get('kind')} {str(header.get('codec'))[:12]}); give "
                f"that one, or its codec file: this is {compressor.kind} {fingerprint(compressor)[:12]}"
            )
        ours, theirs = (replace(of.schema.plain, layout="vector", names=None) for of in (self, compressor))
        if ours != theirs or (self.form.columns is None) == bool(compressor.schema.alphabets):
            raise InputError(f"{name} says that its data are {ours.describe()}, and its model is not; fetch it again")
        if self.form.columns is not None:
            spelling_of(compressor.schema, self.form.columns)

    def known_to(self, compressor: Compressor) -> Schema:
        """Return the schema of the data, with what the codec knows of the columns of a table."""
        theirs = compressor.schema
        return replace(self.schema, names=theirs.names, columns=theirs.columns) if theirs.alphabets else self.schema

    def one(self, compressor: Compressor, block: Block, row: int) -> Block:
        """Return a block of one example of another."""
        rows, names = slice(row, row + 1), block.names
        if self.form.columns is None:
            return Block(block.values[rows], names and names[rows])
        values, rest = spelling_of(compressor.schema, self.form.columns).rows(block.values, block.rest, rows)
        return Block(values, rest=rest)

    def blocks(self, compressor: Compressor, work: Work, chunks: Iterable[int] | None = None) -> Iterator[Block]:
        """Decode chunks in order, all of them unless some are named; what the file says is checked at once.

        Raises
        ------
        InputError
            If one is damaged, or was written with another model.
        """
        self.check(compressor)
        wanted = range(len(self.reader.entries)) if chunks is None else chunks
        chunks_read = (self.reader.read(i) for i in wanted)
        return _several(lambda chunk: unpacked(compressor, chunk, work), chunks_read)


def schema_in(header: Mapping[str, Any], name: str) -> Schema:
    """What a file says of its data; `InputError` if that cannot be."""
    try:
        schema = Schema.from_json(header["schema"])
        sound = all(type(side) is int and side > 0 for side in schema.shape) and schema.layout in get_args(Layout)
        named = schema.names is None or (
            schema.shape == (len(schema.names),) and all(isinstance(own, str) for own in schema.names)
        )
        if not (sound and named and 2 <= schema.levels <= MAX_LEVELS):
            raise ValueError(short(schema))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} does not say what its data are ({error}); fetch it again") from None
    return schema


def unpacked(compressor: Compressor, chunk: Chunk, work: Work) -> Block:
    """Decode one chunk."""
    frame, schema = chunk.frame, compressor.schema
    _check_frame(frame, schema)
    shape = (frame.examples, *frame.shape)
    if frame.method == STORED:
        values = unstored(chunk.payload, frame.size, schema.levels).reshape(shape)
    else:
        pieces = compressor.decode(chunk.payload, frame.examples * pieces_in(frame.shape, schema.shape), work)
        values = from_pieces(pieces, frame.shape)
    if schema.alphabets:
        return Block(values, rest=chunk.notes)
    return Block(values, _names_in(chunk.notes, frame.examples))


def _names_in(notes: bytes, examples: int) -> tuple[str, ...] | None:
    """Names of images, one each; none of what came without."""
    if not notes:
        return None
    try:
        names = json.loads(notes)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or len(names) != examples or not all(isinstance(name, str) for name in names):
        raise InputError("a chunk does not name its images as a writer does; fetch the file again")
    return tuple(names)


def _check_frame(frame: Frame, schema: Schema) -> None:
    """Refuse a chunk of which the numbers cannot be those of a writer, before anything is made as large as they say."""
    cells = frame.examples * int(np.prod(frame.shape, dtype=object))
    fits = cells == frame.size and (frame.examples == 1 or cells <= chunk_cells(schema))
    if not fits or frame.method not in (STORED, CODED) or cells > _CELLS_A_BYTE * max(frame.payload, 1):
        raise InputError("a chunk describes itself in a way that no writer does; fetch the file again")
    check_fit(frame.shape, schema.shape)


def _several(work: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """Results in order; as many pieces of work are done side by side as torch has threads."""
    left = iter(items)
    while some := list(islice(left, torch.get_num_threads())):
        with full_precision():  # for all threads, of which each would otherwise switch it off when it ends
            results = side_by_side(lambda place: work(some[place]), range(len(some)))
        yield from results
