"""Pairs of compression, in memory: images and tables coded and decoded by models in whole numbers."""

from __future__ import annotations

import io
import lzma
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from narrows.compression.compressor import Compressor
from narrows.compression.compressor import Work as Coding
from narrows.compression.files import compressor_for
from narrows.data.schema import Schema
from narrows.model import Model
from narrows.presets import choose
from pairs import Pair, mlp, taking

IMAGES = 64
AGAIN = 10  # times that what is much faster does the same
WORK = Coding()


def compressed(preset: str, count: int) -> tuple[Compressor, np.ndarray]:
    """A codec of grey images, and some of them, whose neighbours are alike."""
    steps = np.random.default_rng(0).integers(-9, 10, (count, 1, 28, 28))
    schema = Schema((1, 28, 28), 0.0, 255.0, 1.0, "hw")
    compressor = compressor_for(Model(choose(preset, schema), schema).eval())
    return compressor, (128 + np.cumsum(steps, axis=3)).clip(0, 255).astype(np.uint8)


def compress() -> Pair:
    """Images coded by preset compressor-fast, beside zlib at its best, both in memory."""
    compressor, data = compressed("compressor-fast", IMAGES)

    def reference() -> None:
        for _ in range(AGAIN):
            zlib.compress(data.tobytes(), 9)

    return Pair(taking(IMAGES, lambda: compressor.encode(data, WORK)), taking(AGAIN * IMAGES, reference))


def decompress() -> Pair:
    """Images given back by preset compressor-fast, beside xz on what it wrote of them, both in memory."""
    compressor, data = compressed("compressor-fast", IMAGES)
    payload, squeezed = compressor.encode(data, WORK), lzma.compress(data.tobytes())

    def reference() -> None:
        for _ in range(AGAIN):
            lzma.decompress(squeezed)

    ours = taking(IMAGES, lambda: compressor.decode(payload, IMAGES, WORK))
    return Pair(ours, taking(AGAIN * IMAGES, reference))


def compress_lossy() -> Pair:
    """Images coded by preset lossy, beside Pillow's JPEG, both in memory."""
    from PIL import Image

    compressor, data = compressed("lossy", 16)
    pictures = [Image.fromarray(image) for image in data[:, 0]] * 100

    def reference() -> None:
        for picture in pictures:
            picture.save(io.BytesIO(), "JPEG", optimize=True)

    return Pair(taking(len(data), lambda: compressor.encode(data, WORK)), taking(len(pictures), reference))


def bits_back() -> Pair:
    """Images coded by preset bits-back, beside float networks of the sizes of both of its own."""
    compressor, data = compressed("bits-back", 200)
    layers, rows = mlp(784, 512, 100, 512, 3 * 784), torch.rand(200, 784)
    alone = torch.inference_mode()(lambda: [layers(rows) for _ in range(AGAIN)])
    return Pair(taking(200, lambda: compressor.encode(data, WORK)), taking(200 * AGAIN, alone))


def compress_table() -> Pair:
    """A table of words and numbers coded into a file in memory, decoded and compared, beside zlib at its best."""
    from narrows import read
    from narrows.compression.archive import written
    from narrows.data.frames import open_frames
    from narrows.data.request import Request

    rows = 3_000
    numbers = np.random.default_rng(0)
    words = numbers.choice(["tcp", "udp", "icmp"], (rows, 3))
    ports, seconds = numbers.integers(0, 200, rows), numbers.exponential(2, rows).round(2)
    lines = (",".join([*map(str, some)]) for some in zip(*words.T, ports, seconds, strict=True))
    text = "\n".join(["a,b,c,port,seconds", *lines]) + "\n"
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "rows.csv"
    path.write_text(text)
    schema = read(path, symbols=True).schema
    compressor = compressor_for(Model(choose("compressor-table", schema), schema).eval())

    def ours() -> None:
        frames = open_frames(str(path), Request(schema=compressor.schema))
        for _ in written(io.BytesIO(), compressor, frames, WORK):
            pass

    return Pair(taking(rows, ours), taking(rows, lambda: zlib.compress(text.encode(), 9)), keeps=folder)


PAIRS: dict[str, Callable[[], Pair]] = {
    "compress": compress,
    "decompress": decompress,
    "compress-lossy": compress_lossy,
    "compress-bits-back": bits_back,
    "compress-table": compress_table,
}
