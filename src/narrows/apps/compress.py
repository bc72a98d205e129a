"""Data into small files and back, without loss."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from narrows.apps.reading import Reading
from narrows.apps.sharding import Sharded, Sharding, each_shard, of_one_shard
from narrows.apps.watching import counted
from narrows.atomic import check_target, writing
from narrows.errors import InputError, at_least

if TYPE_CHECKING:
    import numpy as np

    from narrows.compression.archive import Packed
    from narrows.compression.compressor import Compressor, Work
    from narrows.data.frames import Frames

JUDGED = 1000  # images by which the quality is chosen that takes so many bits


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
    psnr_db, ssim : float or None
        Of images that lost something: peak signal-to-noise ratio of the mean squared error, and mean structural
        similarity.
    stored_chunks : int
        Chunks that the model would only have made longer, and which are kept as they are.
    notes : list of str
        What was left out, of the data or of the model, and why.
    compared : list of str
        What other formats make of the same data, where that was asked for.
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
    psnr_db: float | None
    ssim: float | None
    stored_chunks: int
    notes: list[str]
    compared: list[str]


@dataclass(frozen=True)
class CompressedShards(Sharded):
    """Files of compressed shards, each of which was decoded again before it was written.

    Parameters
    ----------
    raw_bytes, file_bytes : int
        Bytes of the cells at one each, and of the files of this run.
    """

    raw_bytes: int
    file_bytes: int


def compress(
    model: Path,
    data: str,
    output: Path,
    lossy: bool = False,
    quality: int | None = None,
    bits: float | None = None,
    compare: bool = False,
    plain: bool = False,
    batch: int = 1024,
    device: str = "cpu",
    reading: Reading = Reading(),  # noqa: B008  frozen
    sharding: Sharding = Sharding(),  # noqa: B008  frozen
) -> Compressed | CompressedShards:
    """Compress data into one file, which is decoded and compared before it is there.

    Parameters
    ----------
    model : Path
        A model file, such as one of preset compressor, or its codec file (see narrows export).
    data : str
        A file, a folder of images or of shards, or a named data set.
    output : Path
        The file to write, by custom with the suffix .nrw; or, for a folder of shards, a folder (no suffix), with such a
        file for each of them.
    lossy : bool
        Let images lose something, as a model of preset lossy does.
    quality : int, optional
        How little they lose, from 1 to 100; 50 unless given.
    bits : float, optional
        How many bits a cell they may take at most, instead of a quality, as judged by the first of them.
    compare : bool
        Say what PNG, WebP, JPEG XL and xz make of the same images, or gzip, xz and Parquet of the same table.
    plain : bool
        Code with NumPy even where numba is installed; the file is the same.
    batch : int
        Examples that a network sees at once; the file is the same.
    device : str
        Where networks run, such as cpu or cuda; the file is the same.
    reading : Reading
        How to read the data.
    sharding : Sharding
        Who works on the shards of a folder.
    """
    at_least("batch", batch, 1)
    work = Compressing(model, lossy, quality, bits, plain, batch, device, reading)
    if sharding.wanted(data, output):
        return _compress_shards(work, data, output, compare, sharding)
    check_target(output, inputs=[model, data])
    return work.open().compress(data, output, compare)


def _compress_shards(work: Compressing, data: str, output: Path, compare: bool, sharding: Sharding) -> CompressedShards:
    if compare:
        raise InputError("--compare is for all examples together; leave it out of shards")
    skip, work = work.reading.skip_bad_shards, dataclasses.replace(work, reading=of_one_shard(work.reading))
    found, sums = each_shard(work, work.open(), data, output, lambda _: ".nrw", sharding, skip=skip)
    return CompressedShards(**vars(found), raw_bytes=sums["raw_bytes"], file_bytes=sums["file_bytes"])


@dataclass(frozen=True)
class Compressing:
    """What is to be compressed, and by which model; the parameters are those of `compress`."""

    model: Path
    lossy: bool
    quality: int | None
    bits: float | None
    plain: bool
    batch: int
    device: str
    reading: Reading
    verb: ClassVar[str] = "compress"

    def open(self) -> _AtWork:
        """Load the model; raises `InputError` if it is none, or was asked for what it cannot do."""
        from narrows.compression.compressor import Work
        from narrows.compression.files import open_compressor

        compressor = _chosen(open_compressor(self.model), self.lossy, self.quality, self.bits)
        return _AtWork(self, compressor, Work(self.batch, False if self.plain else None, self.device))


@dataclass(frozen=True)
class _AtWork:
    """A codec in memory."""

    asked: Compressing
    compressor: Compressor
    work: Work

    def __call__(self, data: str, output: Path) -> dict[str, int]:
        """Compress one source; its figures."""
        made = self.compress(data, output, compare=False)
        return {"rows": made.examples, "raw_bytes": made.raw_bytes, "file_bytes": made.file_bytes}

    def compress(self, data: str, output: Path, compare: bool) -> Compressed:
        """Compress one source, and say what it came to."""
        from narrows.apps.comparison import in_other_formats
        from narrows.compression.archive import chunk_cells, written
        from narrows.compression.files import codec_bytes

        compressor, schema = self.compressor, self.compressor.schema
        frames = self.asked.reading.frames(data, schema, chunk_cells(schema))
        if self.asked.bits is not None:
            compressor = compressor.at_bits(self.asked.bits, _first(frames, compressor), self.work)
        tally = _Tally(compressor.lossy)
        with writing(output) as beside:
            with beside.open("wb") as file:
                made = written(file, compressor, frames, self.work)
                tally.take(counted("compressing", made, len(frames), lambda chunk: len(chunk.block.values)))
            file_bytes = beside.stat().st_size
        compared = in_other_formats(frames, compressor) if compare else []
        return tally.result(output, file_bytes, len(codec_bytes(compressor)), list(frames.notes), compared)


def _chosen(compressor: Compressor, lossy: bool, quality: int | None, bits: float | None) -> Compressor:
    """The codec at the quality asked for; what loses something does so only when that was said."""
    if compressor.lossy and not lossy:
        raise InputError(
            "this model loses something of the images; add --lossy to let it, or take preset compressor, which does not"
        )
    if lossy and not compressor.lossy:
        raise InputError(f"--lossy is for models of preset lossy, and this one is {compressor.kind}; leave it out")
    if not lossy and (quality is not None or bits is not None):
        raise InputError("--quality and --bits are for --lossy; add it, or leave them out")
    if quality is not None and bits is not None:
        raise InputError("both --quality and --bits were given; give one of them")
    return compressor if quality is None else compressor.at_quality(quality)


def _first(frames: Frames, compressor: Compressor) -> np.ndarray:
    """Pieces of the first images, by which a quality is chosen."""
    from narrows.compression.pieces import in_pieces

    block = next(iter(frames), None)
    if block is None:
        raise InputError("there is no image to judge --bits by; give --quality")
    return in_pieces(block.values[:JUDGED], compressor.schema.shape)


class _Tally:
    """Sums over the chunks written."""

    def __init__(self, lossy: bool) -> None:
        self.lossy = lossy
        self.errors: list[np.ndarray] = []
        self.likeness: list[np.ndarray] = []
        self.examples = self.cells = self.payload = self.stored = 0
        self.bits = 0.0
        self.said: Counter[str] = Counter()
        self.chunks = 0

    def take(self, chunks: Iterable[Packed]) -> None:
        """Add all of them."""
        from narrows.coding.container import STORED
        from narrows.compression.quality import squared_errors, ssim

        for chunk in chunks:
            self.examples += len(chunk.block.values)
            self.cells += chunk.block.values.size
            self.payload += len(chunk.payload)
            self.stored += chunk.method == STORED
            self.bits += chunk.bits
            self.chunks += 1
            self.said.update([chunk.note] if chunk.note else [])
            if self.lossy:
                self.errors.append(squared_errors(chunk.block.values, chunk.kept))
                self.likeness.append(ssim(chunk.block.values, chunk.kept))

    def result(self, output: Path, file: int, model: int, notes: list[str], compared: list[str]) -> Compressed:
        """Make the record that is shown."""
        import numpy as np

        from narrows.compression.quality import psnr

        each = [self.bits, 8.0 * self.payload, 8.0 * file, 8.0 * (file + model)]
        bound, net, whole, both = [bits / self.cells if self.cells else None for bits in each]
        measured = bool(self.errors)
        return Compressed(
            file=str(output),
            examples=self.examples,
            raw_bytes=self.cells,
            file_bytes=file,
            model_bytes=model,
            bound_bits_per_cell=bound,
            net_bits_per_cell=net,
            file_bits_per_cell=whole,
            with_model_bits_per_cell=both,
            psnr_db=float(psnr(np.concatenate(self.errors).mean())) if measured else None,
            ssim=float(np.concatenate(self.likeness).mean()) if measured else None,
            stored_chunks=self.stored,
            notes=[*notes, *(f"{note} ({times} of {self.chunks} chunks)" for note, times in self.said.items())],
            compared=compared,
        )
