"""Bits-back coding without neighbours: files beside minus the elbo, and speed.

MNIST, dynamically binarised: preset bits-back is trained on bits drawn anew each time, and codes the 10,000 test
images, made binary by one seeded draw; the file is compared with minus the elbo of the float model. Fashion-MNIST, 8
bits: the same preset codes the 10,000 test images in bits per pixel, and how fast, each way, model
loading and verification not counted. Settings were chosen on images held out of the training set.

    NARROWS_DATA=... python benchmarks/bits_back.py

prints both and records them in ``results/bits_back.json``. It wants a quiet machine: training is by the clock.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from narrows.compression.files import open_compressor
from record import record
from running import coding_speed, narrows

MINUTES = {"mnist": 4.0, "fashion-mnist": 12.0}
BINARIZE = {"mnist": ["--binarize", "draw"], "fashion-mnist": []}
DRAWS = 20  # of a code, for the elbo


def test_images(data: str) -> np.ndarray:
    """The test images as the codec takes them; those of digits made binary by one draw of each pixel."""
    from narrows.data.named import load

    images: np.ndarray = load(data, "test").examples.values
    if not BINARIZE[data]:
        return images
    return (np.random.default_rng(0).random(images.shape) < images / 255).astype(np.uint8)


def minus_elbo_bits(path: Path, images: np.ndarray) -> float:
    """Bits an image of the float model, a mean over codes drawn."""
    from narrows.noise import Noise
    from narrows.persist import load
    from narrows.values import Batch

    model = load(path).model
    nats = 0.0
    with torch.no_grad():
        for start in range(0, len(images), 500):
            x = torch.from_numpy(images[start : start + 500, None]).float()
            seen = torch.addcmul(model.transform.offset, x, model.transform.gain)
            terms = model.terms(Batch(x, seen), DRAWS, Noise(start, model.device))
            nats += float((terms.kl - terms.log_px).mean(0).sum())
    return nats / len(images) / math.log(2)


def measure(data: str, minutes: float, folder: Path) -> dict[str, Any]:
    """Train, compress the test images, and set the file beside minus the elbo."""
    model, bits, file = folder / f"{data}.safetensors", folder / f"{data}.npy", folder / f"{data}.nrw"
    training = ["--preset", "bits-back", "--minutes", str(minutes), "--batch-size", "256", *BINARIZE[data]]
    trained = narrows("train", data, "-o", str(model), *training)
    images = test_images(data)
    np.save(bits, images)
    written = narrows("compress", str(model), str(bits), "-o", str(file))
    floats, compressor = minus_elbo_bits(model, images), open_compressor(model)
    cells = images[0].size
    return {
        "training_seconds": trained["seconds"],
        "float_minus_elbo_bits_per_image": floats,
        "float_minus_elbo_nats_per_image": floats * math.log(2),
        "whole_minus_elbo_bits_per_image": written["bound_bits_per_cell"] * cells,
        "net_bits_per_image": written["net_bits_per_cell"] * cells,
        "file_bits_per_image": written["file_bits_per_cell"] * cells,
        "file_bits_per_pixel": written["file_bits_per_cell"],
        "file_and_model_bits_per_pixel": written["with_model_bits_per_cell"],
        "file_bytes": written["file_bytes"],
        "model_bytes": written["model_bytes"],
        "file_above_float_minus_elbo_percent": 100 * (written["file_bits_per_cell"] * cells / floats - 1),
        **coding_speed(compressor, compressor.schema.from_user(images)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(MINUTES), choices=list(MINUTES))
    parser.add_argument(
        "--minutes", type=float, help="of training, in place of 4 and 12; such figures are not recorded"
    )
    options = parser.parse_args()
    began = time.perf_counter()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for data in options.data:
            figures[data] = measure(data, options.minutes or MINUTES[data], Path(folder))
            for name, figure in figures[data].items():
                print(f"{data:14} {name:40} {figure:14,.4f}")
    if options.data == list(MINUTES) and options.minutes is None:
        protocol = (
            "preset bits-back, batches of 256; training images alone, a tenth of them held "
            "out for the best weights; 10,000 test images; elbo from 20 codes an image; speed on all cores"
        )
        record("bits_back", figures, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
