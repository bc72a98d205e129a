"""Pairs of compression, in memory: images and tables coded and decoded by models in whole numbers."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from narrows.compression.compressor import Compressor
from narrows.compression.compressor import Work as Coding
from narrows.compression.files import compressor_for
from narrows.data.schema import Schema
from narrows.model import Model
from narrows.presets import choose
from pairs import Pair, taking

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


PAIRS: dict[str, Callable[[], Pair]] = {
    "compress": compress,
}
