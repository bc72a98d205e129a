"""Lossless compression against PNG, WebP, JPEG XL and xz: bits a cell, with and without the model, and speed.

For each case: the preset is trained on the training images through ``narrows train``'s own front door, exported as a
codec file, and the test images are compressed by it. Recorded are the bound of the model in whole numbers, the net
rate, the whole file, the file with the codec file counted, other formats one by one and as sheets, and from how many
images on the model has paid for itself. Speed is that of coding and of decoding alone, two chunks side by side.

    NARROWS_DATA=... python benchmarks/compression.py [--only fashion mnist ...] [--models FOLDER]

The cases take the minutes of training that they say, one after the other, and want a quiet machine. A folder given as
--models keeps the models, and those that are in it are not trained again. JPEG XL needs narrows[compare].
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from narrows import load, read
from narrows.apps.comparing import compared
from narrows.apps.compress import compress
from narrows.apps.train import train
from narrows.compression.compressor import Compressor
from narrows.compression.files import compressor_for, save_codec
from narrows.compression.pieces import in_pieces
from narrows.data.frames import open_frames
from narrows.plan import Plan
from record import record
from running import coding_speed

TILE = 64
Pair = tuple[np.ndarray | str, np.ndarray | str]


def folder() -> Path:
    return Path(os.environ["NARROWS_DATA"])


def named(name: str) -> Callable[[], Pair]:
    return lambda: (name, f"{name}:test")


def frey_faces() -> Pair:
    faces = np.load(folder() / "freyfaces" / "freyfaces.npz")["x"]
    order = np.random.default_rng(0).permutation(len(faces))
    return faces[order[:1565]], faces[order[1565:]]


def face_patches() -> Pair:
    faces = np.load(folder() / "small_bundles" / "lfw_subset.npy")
    levels = np.rint(faces * 255).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(levels))
    return levels[order[:150]], levels[order[150:]]


def photographs() -> Pair:
    """Tiles of 24 photographs to learn from, every half tile; 68 others as a folder."""
    tiles = [tile for path in sorted((folder() / "natural" / "kodak").glob("*.png")) for tile in _tiles(path)]
    return np.stack(tiles), str(folder() / "natural" / "CBSD68")


def _tiles(path: Path) -> Iterator[np.ndarray]:
    photograph = np.asarray(Image.open(path).convert("RGB"))
    for row in range(0, photograph.shape[0] - TILE + 1, TILE // 2):
        for column in range(0, photograph.shape[1] - TILE + 1, TILE // 2):
            yield photograph[row : row + TILE, column : column + TILE]


@dataclass(frozen=True)
class Case:
    """Data, and how the preset is trained on them."""

    data: Callable[[], Pair]
    minutes: float
    preset: str = "compressor"
    settings: tuple[str, ...] = ()
    others: bool = True
    memory: bool = False
    plan: dict[str, Any] = field(default_factory=dict)


CASES = {
    "fashion": Case(named("fashion-mnist"), 15),
    "fashion_fast": Case(named("fashion-mnist"), 2, "compressor-fast", others=False, memory=True),
    "mnist": Case(named("mnist"), 4),
    "frey_faces": Case(frey_faces, 2, settings=("likelihood.width=64",)),
    "face_patches": Case(face_patches, 1, settings=("likelihood.width=32", "likelihood.reach=3")),
    "photographs": Case(photographs, 4, settings=("likelihood.width=96", "likelihood.reach=3")),
}


def run(name: str, case: Case, models: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        given, tested = (_as_source(part, Path(scratch) / stem) for part, stem in zip(case.data(), "ab", strict=True))
        model = models / f"{name}.safetensors"
        if not model.exists():
            plan = Plan(minutes=case.minutes, **case.plan)
            train(given, model, preset=case.preset, settings=case.settings, plan=plan)
        fitted = load(model)
        compressor = compressor_for(fitted.model)
        codec = models / f"{name}.codec"
        save_codec(compressor, codec)
        made = compress(codec, tested, Path(scratch) / "made.nrw")
        figures: dict[str, Any] = {
            "training_minutes": fitted.record["seconds"] / 60,
            "training_rows": fitted.record["data"]["rows"],
            "parameters": sum(parameter.numel() for parameter in fitted.model.parameters()),
            **{key: value for key, value in vars(made).items() if key not in ("file", "notes", "compared")},
            "coder_overhead": made.net_bits_per_cell / made.bound_bits_per_cell - 1,
            "file_overhead_bytes": made.file_bytes - made.net_bits_per_cell * made.raw_bytes / 8,
            **coding_speed(compressor, pieces(compressor, tested)),
        }
        if case.memory:
            figures["peak_mebibytes_by_images"] = {n: memory(codec, Path(scratch), n) for n in (10_000, 100_000)}
        if case.others:
            figures["others"] = others(tested, compressor, made)
        return figures


def _as_source(data: np.ndarray | str, path: Path) -> str:
    if isinstance(data, str):
        return data
    np.save(path.with_suffix(".npy"), data)
    return str(path.with_suffix(".npy"))


def pieces(compressor: Compressor, tested: str) -> np.ndarray:
    """The test images as the codec takes them."""
    return np.concatenate([in_pieces(block.values, compressor.schema.shape) for block in open_frames(tested)])


def others(tested: str, compressor: Compressor, made: Any) -> list[dict[str, Any]]:
    """Each other format, and the number of images from which on the model has paid for itself against it."""
    blocks = [np.moveaxis(block.values, 1, 3) for block in open_frames(tested)]
    rows = []
    for row in compared(blocks):
        entry: dict[str, Any] = {"format": row.format, "layout": row.layout, "bits_per_cell": row.bits_per_cell}
        if row.bits_per_cell is None:
            entry["note"] = row.note
        elif row.bits_per_cell > made.file_bits_per_cell:
            saved = (row.bits_per_cell - made.file_bits_per_cell) * made.raw_bytes / made.examples / 8
            entry["images_that_pay_for_the_model"] = int(np.ceil(made.model_bytes / saved))
        rows.append(entry)
    return rows


PEAK = (
    "from pathlib import Path; print([w for w in Path('/proc/self/status').read_text().split('\\n') if 'VmHWM' in w])"
)


def memory(codec: Path, scratch: Path, n: int) -> int:
    """Peak memory of a process that compresses n images of 28 x 28 pixels, the test images over again, in MiB."""
    images = read("fashion-mnist:test").values[:, 0]
    np.save(scratch / "many.npy", np.resize(images, (n, *images.shape[1:])))
    words = ["compress", str(codec), str(scratch / "many.npy"), "-o", str(scratch / "many.nrw"), "--json"]
    program = f"import sys; from narrows.cli import run; run({words!r}); {PEAK}"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    return int(re.findall(r"VmHWM:\D*(\d+) kB", said)[0]) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--models", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        models = options.models or Path(scratch)
        for name in options.only:
            began = time.perf_counter()
            case = CASES[name]
            figures = run(name, case, models)
            record(
                f"compression_{name}",
                figures,
                seconds=time.perf_counter() - began,
                protocol=f"preset {case.preset} {' '.join(case.settings)}, trained on training images alone for "
                f"{case.minutes} minutes, or until held-out ones stop gaining; bits per cell of 8-bit levels; the "
                "steps of the weights were chosen on held-out training images, after coarser ones had cost 1.2 % on "
                "test images",
            )
            print(name, {key: value for key, value in figures.items() if key != "others"}, flush=True)
            for row in figures.get("others", []):
                print("  ", row, flush=True)


if __name__ == "__main__":
    main()
