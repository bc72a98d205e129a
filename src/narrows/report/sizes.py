"""What the model makes of the data as a file, beside what other formats make of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from narrows.apps.comparing import compared
from narrows.compression.archive import chunk_cells, packed
from narrows.compression.compressor import Work
from narrows.compression.files import codec_bytes, compressor_for
from narrows.data.frames import Block
from narrows.data.grid import Grid
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.report.content import Figure
from narrows.report.markup import table
from narrows.report.subject import ModelSubject, counted

MOST_ROWS = 1000
MOST_CELLS = 1 << 20


def beside_formats(subject: ModelSubject) -> Iterator[Figure]:
    """Code the first images without loss by the model, decode them again, and by PNG, WebP, JPEG XL and xz."""
    compressor = compressor_for(subject.fitted.model)
    if compressor.lossy or not subject.rows.schema.is_image:
        what = "loses something of the images" if compressor.lossy else "codes tables"
        raise InputError(f"the model {what}, and the formats beside are for images without loss; see narrows compress")
    values = Grid(compressor.schema).indices(subject.rows.values[: _most(compressor.schema)], 0)
    coded = packed(compressor, Block(values), Work())
    ours = ("narrows", "the chunk of a file", len(coded.payload), 8 * len(coded.payload) / values.size, coded.note)
    codec = ("codec file, which a decoder needs once", "", len(codec_bytes(compressor)), None, "")
    others = [
        (row.format, row.layout, row.bytes, row.bits_per_cell, row.note or "")
        for row in compared(np.moveaxis(values, 1, 3))
    ]
    body = table(("format", "layout", "bytes", "bits a cell", "note"), [ours, codec, *others], "sizes beside formats")
    says = (
        "Size of the same images in each format, without loss; what the model coded was decoded and compared. With "
        "compress --compare, narrows does the same for all rows, and adds what a file costs besides."
    )
    unit = "bytes, and bits for each pixel and channel"
    yield Figure(body, says, unit, counted(len(values)), subject.own_command)


def _most(schema: Schema) -> int:
    """How many rows are coded: those of one chunk, and no more than can be coded in seconds."""
    return max(1, min(MOST_ROWS, min(MOST_CELLS, chunk_cells(schema)) // schema.size))
