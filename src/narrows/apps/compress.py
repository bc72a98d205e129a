"""Data into small files and back, without loss."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.apps.reading import Reading
from narrows.apps.watching import counted
from narrows.atomic import check_target, writing
from narrows.errors import InputError, at_least

if TYPE_CHECKING:
    from narrows.coding.container import Reader
    from narrows.compression.archive import Packed
    from narrows.data.frames import Frames
    from narrows.data.schema import Schema

SUFFIX = ".nrw"


@dataclass(frozen=True)
class Compressed:
    """A file of compressed data, which was decoded again before it was written.

    Parameters
    ----------
    file : str
        Its name.
    examples : int
        Examples in it.
    raw_bytes, file_bytes, model_bytes : int
        Bytes of the cells at one each, of the file, and of the codec file that a decoder needs.
    bound_bits_per_cell : float
        Minus the bound on log2 p(x) of the model in whole numbers.
    net_bits_per_cell : float
        What the coder made of it.
    file_bits_per_cell, with_model_bits_per_cell : float
        The whole file, and the codec file counted too.
    stored_chunks : int
        Chunks that the model would only have made longer, and which are kept as they are.
    notes : list of str
        What was left out, and why.
    compared : list of str
        What other formats make of the same images, where that was asked for.
    """

    file: str
    examples: int
    raw_bytes: int
    file_bytes: int
    model_bytes: int
    bound_bits_per_cell: float | None
    net_bits_per_cell: float | None
    file_bits_per_cell: float | None
    with_model_bits_per_cell: float | None
    stored_chunks: int
    notes: list[str]
    compared: list[str]


@dataclass(frozen=True)
class Decompressed:
    """Data that were decoded.

    Parameters
    ----------
    file : str
        The file or folder written.
    examples : int
        Examples in it.
    lost : list of str
        Examples that could not be salvaged, as ranges.
    notes : list of str
        What is not as it was.
    """

    file: str
    examples: int
    lost: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Inspected:
    """What a ``.nrw`` file holds, and the bytes of each part.

    Parameters
    ----------
    file, holds, codec : str
        Its name; data or a codec, and of what kind; the name of the codec.
    data : str or None
        What the data are.
    examples, chunks, stored_chunks : int
        Examples, chunks, and those of them that no model was needed for.
    raw_bytes : int
        What it unpacks to.
    header_bytes, payload_bytes, names_bytes, framing_bytes, footer_bytes, file_bytes : int
        What each part takes.
    """

    file: str
    holds: str
    codec: str
    data: str | None
    examples: int
    chunks: int
    stored_chunks: int
    raw_bytes: int
    header_bytes: int
    payload_bytes: int
    names_bytes: int
    framing_bytes: int
    footer_bytes: int
    file_bytes: int


@dataclass(frozen=True)
class Exported:
    """A codec file.

    Parameters
    ----------
    file : str
        Its name.
    kind : str
        Of the codec.
    codec : str
        Its name, by which the files that it wrote call it.
    file_bytes : int
        Its length.
    """

    file: str
    kind: str
    codec: str
    file_bytes: int


def compress(
    model: Path,
    data: str,
    output: Path,
    compare: bool = False,
    plain: bool = False,
    batch: int = 1024,
    device: str = "cpu",
    reading: Reading = Reading(),  # noqa: B008  frozen
) -> Compressed:
    """Compress data without loss into one file, which is decoded and compared before it is there.

    Parameters
    ----------
    model : Path
        A model file, such as one of preset compressor, or its codec file (see narrows export).
    data : str
        A file, a folder of images, or a named data set.
    output : Path
        The file to write, by custom with the suffix .nrw.
    compare : bool
        Say what PNG, WebP, JPEG XL and xz make of the same images.
    plain : bool
        Code with NumPy even where numba is installed; the file is the same.
    batch : int
        Examples that a network sees at once; the file is the same.
    device : str
        Where networks run, such as cpu or cuda; the file is the same.
    reading : Reading
        How to read the data.
    """
    at_least("batch", batch, 1)
    check_target(output, inputs=[model, data])

    from narrows.compression.archive import CHUNK_CELLS, written
    from narrows.compression.compressor import Work
    from narrows.compression.files import codec_bytes, open_compressor

    compressor = open_compressor(model)
    frames = reading.frames(data, compressor.schema, CHUNK_CELLS)
    work = Work(batch, False if plain else None, device)
    tally = _Tally()
    with writing(output) as beside:
        with beside.open("wb") as file:
            made = written(file, compressor, frames, work)
            tally.take(counted("compressing", made, len(frames), lambda chunk: len(chunk.block.values)))
        file_bytes = beside.stat().st_size
    compared = _compared(frames) if compare else []
    return tally.result(output, file_bytes, len(codec_bytes(compressor)), list(frames.notes), compared)


def decompress(
    model: Path,
    file: Path,
    output: Path,
    example: int | None = None,
    salvage: bool = False,
    plain: bool = False,
    batch: int = 1024,
    device: str = "cpu",
) -> Decompressed:
    """Give compressed data back in the form that they had.

    Parameters
    ----------
    model : Path
        The model file or codec file that the data were compressed with.
    file : Path
        What narrows compress wrote.
    output : Path
        .npy for an array; a folder (no suffix) or .zip for images; .csv or .parquet for a table.
    example : int, optional
        Only this example, counted from 0; no more than its chunk is decoded.
    salvage : bool
        Take what is intact of a damaged file, and say what is lost.
    plain : bool
        Decode with NumPy even where numba is installed.
    batch : int
        Examples that a network sees at once.
    device : str
        Where networks run, such as cpu or cuda.
    """
    at_least("batch", batch, 1)
    check_target(output, inputs=[model, file])

    from narrows.compression.archive import Archive
    from narrows.compression.compressor import Work
    from narrows.compression.files import open_compressor
    from narrows.data.sinks import sink

    compressor = open_compressor(model)
    work = Work(batch, False if plain else None, device)
    with _readable(file).open("rb") as opened:
        archive = Archive.of(_reader(opened, file, salvage))
        reader = archive.reader
        chosen, within = None, None
        if example is not None:
            place = reader.holding(example)
            chosen, within = [place], example - reader.entries[place].first
        total = 0
        with sink(output, archive.form, archive.schema) as target:
            blocks = archive.blocks(compressor, work, chosen)
            whole = sum(entry.examples for entry in reader.entries)
            for block in counted("decompressing", blocks, whole, lambda block: len(block.values)):
                rows = slice(None) if within is None else slice(within, within + 1)
                values, names = block.values[rows], block.names and block.names[rows]
                target.add(values, names)
                total += len(values)
        lost = [f"{gap.start} to {gap.stop - 1}" for gap in reader.lost]
        if salvage and reader.total is None:
            lost.append("any after the last one found, for the end of the file is lost")
        return Decompressed(str(output), total, lost, target.notes)


def inspect(file: Path) -> Inspected:
    """Say what a compressed file or a codec file holds, and what each part of it takes.

    Parameters
    ----------
    file : Path
        What narrows compress or narrows export wrote.
    """
    from narrows.coding.container import STORED

    with _readable(file).open("rb") as opened:
        reader = _reader(opened, file, salvage=False)
        header, bits = reader.header, reader.bits()
        frames = [reader.read(i).frame for i in range(len(reader.entries))]
        parts = {name: getattr(bits, name) // 8 for name in ("header", "payload", "notes", "framing", "footer")}
        return Inspected(
            file=str(file),
            holds=f"{header.get('what')}, {header.get('kind')}",
            codec=str(header.get("codec") or header.get("fingerprint")),
            data=_schema_of(header, str(file)).describe(),
            examples=sum(frame.examples for frame in frames) if header.get("what") == "data" else 0,
            chunks=len(frames),
            stored_chunks=sum(frame.method == STORED for frame in frames),
            raw_bytes=sum(frame.size for frame in frames),
            header_bytes=parts["header"],
            payload_bytes=parts["payload"],
            names_bytes=parts["notes"],
            framing_bytes=parts["framing"],
            footer_bytes=parts["footer"],
            file_bytes=reader.source.size,
        )


def export(model: Path, output: Path, codec: bool = False) -> Exported:
    """Write the small file that is all that decompress needs of a model.

    Parameters
    ----------
    model : Path
        A model file of a preset that compresses, such as compressor.
    output : Path
        The file to write, by custom with the suffix .codec.
    codec : bool
        Write the codec; it is what there is to export.
    """
    if not codec:
        raise InputError("export was not told what to write; add --codec for the codec of a model that compresses")
    check_target(output, inputs=[model])

    from narrows.compression.files import fingerprint, open_compressor, save_codec

    compressor = open_compressor(model)
    size = save_codec(compressor, output)
    return Exported(str(output), compressor.kind, fingerprint(compressor), size)


class _Tally:
    """Sums over the chunks written."""

    def __init__(self) -> None:
        self.examples = self.cells = self.payload = self.stored = 0
        self.bits = 0.0

    def take(self, chunks: Iterable[Packed]) -> None:
        """Add all of them."""
        from narrows.coding.container import STORED

        for chunk in chunks:
            self.examples += len(chunk.block.values)
            self.cells += chunk.block.values.size
            self.payload += len(chunk.payload)
            self.stored += chunk.method == STORED
            self.bits += chunk.bits

    def result(self, output: Path, file: int, model: int, notes: list[str], compared: list[str]) -> Compressed:
        """Make the record that is shown."""
        each = [self.bits, 8.0 * self.payload, 8.0 * file, 8.0 * (file + model)]
        bound, net, whole, both = [bits / self.cells if self.cells else None for bits in each]
        return Compressed(
            str(output), self.examples, self.cells, file, model, bound, net, whole, both, self.stored, notes, compared
        )


def _compared(frames: Frames) -> list[str]:
    """Other formats on the same images, or on an even sample of many."""
    from narrows.apps.comparing import Sample, compared

    sample = Sample(len(frames))
    for block in frames:
        sample.add(block.values)
    said = [
        f"{row.format}, {row.layout}: " + (row.note or f"{row.bytes:,} bytes, {row.bits_per_cell:.3f} bits a cell")
        for row in compared(sample.blocks)
    ]
    return [*said, sample.note] if sample.note else said


def _readable(file: Path) -> Path:
    if not file.is_file():
        found = f"{file} is a folder" if file.is_dir() else f"there is no file {file}"
        raise InputError(f"{found}; give a file that narrows compress wrote")
    return file


def _reader(opened: Any, file: Path, salvage: bool) -> Reader:
    from narrows.coding.container import Reader
    from narrows.coding.salvage import salvage as salvaged

    return salvaged(opened, str(file)) if salvage else Reader.open(opened, str(file))


def _schema_of(header: dict[str, Any], name: str) -> Schema:
    from narrows.data.schema import Schema

    try:
        return Schema.from_json(header["schema"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{name} does not say what its data are ({error}); fetch it again") from None
