"""The same bytes from any work: threads, batches, NumPy or numba, instructions of the processor, an accelerator.

Images of two sizes, so that there are several chunks, are compressed by ``narrows compress`` in processes of their own,
each under other settings, and every file is decompressed under the settings of the next. All files must have the same
SHA-256, and all ways give back the same images: where nothing is lost, those that were given. A model file is converted
to whole numbers under each of the settings, too: the codec files must be the same. For comparison stands a digest of
products of float matrices, which does change.

    python benchmarks/codec_identity.py [MODEL ...] [--images 200] [--file CODEC FILE]

takes model files or codec files; a file and its codec, brought from another machine, are decompressed and compressed
again as usual and on the accelerator, where there is one. Without any model it trains small ones on the embedded
images. The record in
``results/codec_identity.json`` has the settings that were in force; it fails if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from narrows.compression.files import open_compressor
from narrows.data.named import load
from record import record

DATA = "fashion-sample"
IMAGES = 200
MODELS = {
    "local": ["--preset", "compressor-fast"],
    "bits-back": ["--preset", "variational", "--set", "network=mlp", "network.width=64", "latent.size=8"],
    "quantised": ["--preset", "lossy"],
    "local-bits-back": [
        *("--preset", "variational", "--set", "likelihood=local", "likelihood.reach=2", "likelihood.width=32"),
        *("likelihood.depth=2", "network=mlp", "network.width=64", "latent.size=8"),
    ],
}
PLAIN = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Prescott",
    "NUMBA_CPU_NAME": "generic",
}
MIDDLE = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
# What is in force, as far as libraries tell, and what float products are like under it.
PROBE = """
import hashlib, json, torch
from threadpoolctl import threadpool_info
a = torch.randn(257, 511, generator=torch.manual_seed(0))
pools = {pool["internal_api"]: pool.get("architecture") for pool in threadpool_info()}
print(json.dumps({
    "torch": torch.backends.cpu.get_cpu_capability(),
    "threads": torch.get_num_threads(),
    "openblas": pools.get("openblas"),
    "float_products": hashlib.sha256((a @ a.T).numpy().tobytes()).hexdigest()[:16],
}))
"""


@dataclass(frozen=True)
class Way:
    """Settings of a process: its environment, and options of the verbs."""

    environment: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    threads: int = 2

    def python(self, *words: object) -> str:
        """Run Python so; return what it prints."""
        threads = {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        line = [sys.executable, *map(str, words)]
        environment = {**os.environ, **threads, **self.environment}
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise SystemExit(f"{' '.join(line)}\n{done.stderr}")
        return done.stdout

    def export(self, model: Path, codec: Path) -> str:
        """Convert a model; return the digest of the codec file."""
        self.python("-m", "narrows", "export", model, "-o", codec, "--codec")
        return digest(codec)

    def compress(self, model: Path, data: Path, file: Path) -> str:
        """Compress; return the digest of the file."""
        lossy = ["--lossy"] if open_compressor(model).lossy else []
        self.python("-m", "narrows", "compress", model, data, "-o", file, *lossy, *self.options)
        return digest(file)

    def decompress(self, model: Path, file: Path, output: Path) -> dict[str, str]:
        """Decompress a folder; return the digest of each image."""
        self.python("-m", "narrows", "decompress", model, file, "-o", output, *self.options)
        return pixels(output)

    def in_force(self) -> dict[str, Any]:
        """What the libraries say, beside what was asked for."""
        said: dict[str, Any] = json.loads(self.python("-c", PROBE))
        return {"environment": dict(self.environment), "options": " ".join(self.options), **said}


WAYS = {
    "usual": Way(),
    "one thread, batch 1, NumPy": Way({}, ("--batch", "1", "--plain"), 1),
    "instructions up to AVX2": Way(MIDDLE, ("--batch", "37")),
    "plain instructions": Way(PLAIN),
    "plain instructions, one thread, batch 1, NumPy": Way(PLAIN, ("--batch", "1", "--plain"), 1),
}
if torch.cuda.is_available():
    WAYS["accelerator"] = Way({}, ("--device", "cuda"))


BIG = ("usual", "accelerator")  # ways that a file of many images goes


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pixels(folder: Path) -> dict[str, str]:
    """Digest of each image in a folder."""
    return {path.name: hashlib.sha256(np.asarray(Image.open(path)).tobytes()).hexdigest() for path in folder.iterdir()}


def save_images(images: np.ndarray, folder: Path) -> None:
    """Write half of the images one by one and half in pairs, which are of another size."""
    half = len(images) // 2
    pairs = [np.concatenate(images[i : i + 2], axis=1) for i in range(half, len(images) - 1, 2)]
    folder.mkdir()
    for place, image in enumerate([*images[:half], *pairs]):
        Image.fromarray(image).save(folder / f"{place:05d}.png")


def compare(model: Path, images: np.ndarray, ways: Mapping[str, Way], folder: Path) -> dict[str, Any]:
    """Convert, compress and decompress under each of the ways."""
    folder.mkdir()
    save_images(images, folder / "data")

    def written(place: int, way: Way) -> tuple[str, str]:
        codec = way.export(model, folder / f"{place}.codec")
        file = way.compress(model, folder / "data", folder / f"{place}.nrw")
        print(model.name, place, file, file=sys.stderr, flush=True)
        return codec, file

    def read(place: int, way: Way) -> dict[str, str]:
        # By the codec file of another way again, so that all that was written is read by someone else.
        before, other = (place - 1) % len(ways), (place - 2) % len(ways)
        return way.decompress(folder / f"{other}.codec", folder / f"{before}.nrw", folder / f"{place}")

    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2)) as side_by_side:
        codecs, files = zip(*side_by_side.map(written, range(len(ways)), ways.values()), strict=True)
        back = list(side_by_side.map(read, range(len(ways)), ways.values()))
    lossless = not open_compressor(folder / "0.codec").lossy
    return {
        "codec_sha256": sorted(set(codecs)),
        "file_sha256": sorted(set(files)),
        "file_bytes": (folder / "0.nrw").stat().st_size,
        "images": len(images),
        "ways": len(ways),
        "identical": len(set(codecs)) == len(set(files)) == 1,
        "lossless": lossless,
        "all_come_back": all(images == (pixels(folder / "data") if lossless else back[0]) for images in back),
    }


def over_again(codec: Path, file: Path, ways: Mapping[str, Way], folder: Path) -> dict[str, Any]:
    """Decompress a file that another machine wrote, and compress it again."""
    images, files = {}, {}
    for place, (name, way) in enumerate(ways.items()):
        array = folder / f"{place}.npy"
        way.python("-m", "narrows", "decompress", codec, file, "-o", array, *way.options)
        images[name] = digest(array)
        files[name] = way.compress(codec, array, folder / f"{place}.nrw")
    return {
        "file_sha256": digest(file),
        "file_bytes": file.stat().st_size,
        "npy_sha256": sorted(set(images.values())),
        "ways": list(ways),
        "identical": set(files.values()) == {digest(file)} and len(set(images.values())) == 1,
    }


def trained(folder: Path) -> list[Path]:
    """Small models of the embedded images."""
    for name, options in MODELS.items():
        words = ["train", DATA, "-o", folder / f"{name}.safetensors", "--epochs", "2", *options]
        Way().python("-m", "narrows", *words)
    return [folder / f"{name}.safetensors" for name in MODELS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--file", nargs=2, type=Path, metavar=("CODEC", "FILE"))
    options = parser.parse_args()
    began = time.perf_counter()
    images = load(DATA, "test").examples.values[: options.images]
    with tempfile.TemporaryDirectory() as path:
        models = options.models or trained(Path(path))
        found = {model.stem: compare(model, images, WAYS, Path(path, model.stem)) for model in models}
        if options.file:
            found[options.file[1].name] = over_again(*options.file, {n: WAYS[n] for n in BIG if n in WAYS}, Path(path))
    in_force = {name: way.in_force() for name, way in WAYS.items()}
    sound = all(result["identical"] and result.get("all_come_back", True) for result in found.values())
    products = {said["float_products"] for said in in_force.values()}
    figures = {"sound": sound, "models": found, "ways": in_force, "float_products_of_the_ways": len(products)}
    if options.images == IMAGES:
        protocol = (
            f"{IMAGES} images of {DATA}:test, half of them in pairs side by side; each way decodes the file of another"
        )
        record("codec_identity", figures, seconds=time.perf_counter() - began, protocol=protocol)
    print(json.dumps(figures, indent=2))
    if not sound:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
