"""Write golden codec files and what they compressed; later versions decode them, and write the same while they can.

    python tests/golden/make_codecs.py KIND ...

Run it for new kinds and new formats only, these under a new number: the files of old ones stay as they are.
"""

import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np

from narrows.coding.framing import VERSION
from narrows.compression.archive import written
from narrows.compression.compressor import Compressor, Work
from narrows.compression.files import compressor_for, save_codec
from narrows.data.frames import Block, Form, Frames
from narrows.data.schema import Schema
from narrows.fit import fit
from narrows.plan import Plan

FOLDER = Path(__file__).parent
SCHEMA = Schema((1, 8, 8), 0.0, 255.0, 1.0, "hw")
SMALL = {"likelihood.width": 8, "likelihood.depth": 2, "likelihood.components": 2}
MODELS = {
    "local": ("compressor", SMALL),
    "quantised": ("lossy", SMALL),
    "bits-back": ("variational", {"network": "mlp", "network.width": 8, "latent.size": 3}),
    "local-bits-back": (
        "variational",
        {"network": "mlp", "network.width": 8, "latent.size": 2, "likelihood": "local", "likelihood.told": 2, **SMALL},
    ),
}


def images(n: int, height: int = 8, width: int = 8) -> np.ndarray:
    """Stripes that begin anew every 8 pixels, of whole numbers alone, (n, 1, height, width)."""
    i, row, column = np.ogrid[:n, :height, :width]
    row, column = row % 8, column % 8
    stripes = (i % 13 + 3) * row + (i % 11 + 5) * column + (i * row * column) % 7
    return np.abs(stripes % 510 - 255).astype(np.uint8)[:, None]


def noise(n: int) -> np.ndarray:
    """Levels without an order, which are kept as they are."""
    return (np.arange(n * 64) ** 3 * 2654435761 >> 13 & 255).astype(np.uint8).reshape(n, 1, 8, 8)


BLOCKS = (
    Block(images(20), tuple(f"stripes/{i:02d}.png" for i in range(20))),
    Block(images(4, 24, 21), ("Größe.png", "a", "b", "c")),
    Block(noise(2), ("noise.png", "another\nname.png")),
)


def write(file: BinaryIO, compressor: Compressor, work: Work) -> None:
    frames = Frames(SCHEMA, Form("folder"), 26, (), lambda: iter(BLOCKS))
    for _ in written(file, compressor, frames, work):
        pass


def main() -> None:
    for kind in sys.argv[1:]:
        preset, settings = MODELS[kind]
        model = fit(images(200), SCHEMA, preset, settings, Plan(epochs=100, batch_size=16)).model
        compressor = compressor_for(model.eval())
        save_codec(compressor, FOLDER / f"{kind}-v{VERSION}.codec")
        with (FOLDER / f"{kind}-v{VERSION}.nrw").open("wb") as file:
            write(file, compressor, Work())


if __name__ == "__main__":
    main()
