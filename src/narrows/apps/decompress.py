"""Compressed files: what they hold, and their data given back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.apps.watching import counted
from narrows.atomic import check_target
from narrows.errors import InputError, at_least

if TYPE_CHECKING:
    from narrows.coding.container import Reader


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
    check_target(output, inputs=[model, file], makes="a file or a new folder")

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
        blocks = archive.blocks(compressor, work, chosen)  # which checks the file before an output is begun
        with sink(output, archive.form, archive.known_to(compressor)) as target:
            whole = sum(entry.examples for entry in reader.entries)
            for block in counted("decompressing", blocks, whole, lambda block: len(block.values)):
                kept = block if within is None else archive.one(compressor, block, within)
                target.add(kept.values, kept.names, kept.rest)
                total += len(kept.values)
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
    from narrows.compression.archive import schema_in

    with _readable(file).open("rb") as opened:
        reader = _reader(opened, file, salvage=False)
        header, bits = reader.header, reader.bits()
        frames = [reader.read(i).frame for i in range(len(reader.entries))]
        parts = {name: getattr(bits, name) // 8 for name in ("header", "payload", "notes", "framing", "footer")}
        return Inspected(
            file=str(file),
            holds=f"{header.get('what')}, {header.get('kind')}",
            codec=str(header.get("codec") or header.get("fingerprint")),
            data=schema_in(header, str(file)).describe(),
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


def _readable(file: Path) -> Path:
    if not file.is_file():
        found = f"{file} is a folder" if file.is_dir() else f"there is no file {file}"
        raise InputError(f"{found}; give a file that narrows compress wrote")
    return file


def _reader(opened: Any, file: Path, salvage: bool) -> Reader:
    from narrows.coding.container import Reader
    from narrows.coding.salvage import salvage as salvaged

    return salvaged(opened, str(file)) if salvage else Reader.open(opened, str(file))
