"""What a million examples cost by model, what memory takes by size, and how both grow; alone and by two workers.

Each training is ``narrows train`` in a process of its own, on images of 28 x 28 levels, or rows of real numbers, of
chance: their values do not change what a step costs. The cost is that of the steps alone (``seconds``), the memory the
peak of the process, the largest of the workers' where there are several; both cover one epoch without validation.
Beside them what one thread draws and hashes, for the arithmetic of ``docs/scale.md``.

    python benchmarks/scale.py

records it; ``python benchmarks/readme.py`` puts it into ``docs/scale.md``. It wants a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from record import record

EPOCH = ["--epochs", "1", "--validation", "0", "--precision", "float32", "--batch-size", "512", "--json"]
MODELS = {
    "autoencoder, mlp": ["--preset", "autoencoder", "--set", "network=mlp"],
    "variational, mlp": ["--preset", "variational", "--set", "network=mlp"],
    "variational, convolutional": ["--preset", "variational", "--set", "network=conv"],
    "denoiser (u-net)": ["--preset", "denoiser"],
    "compressor-fast": ["--preset", "compressor-fast"],
}
IMAGES = {"autoencoder, mlp": 60_000, "variational, mlp": 60_000, "compressor-fast": 20_000}
WIDTHS = (128, 512, 2048)
ROWS = (100_000, 400_000, 1_600_000)
COLUMNS = 30
LARGE_COLUMNS = 400  # rows of a file that stays on the disk


def measured(line: list[str]) -> dict[str, Any]:
    """Train once; return what it said, and the peak memory of the largest process, in MiB."""
    program = "import sys, resource, subprocess as s; d = s.run(sys.argv[1:]); "
    program += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024); sys.exit(d.returncode)"
    done = subprocess.run([sys.executable, "-c", program, *line], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    told, _, peak = done.stdout.rstrip().rpartition("\n")
    found = json.loads(told)
    return {
        "seconds_per_million": 1e6 * found["seconds"] / found["rows"],
        "parameters": found["parameters"],
        "peak_mib": float(peak),
    }


def train(data: Path, *options: str, workers: int = 1) -> list[str]:
    words = ["-m", "narrows", "train", str(data), "-o", str(data.with_suffix(".safetensors")), *EPOCH, *options]
    if workers == 1:
        return [sys.executable, *words]
    engine = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
    return [sys.executable, *engine, *words]


def stored(folder: Path, name: str, values: np.ndarray) -> Path:
    path = folder / f"{name}.npy"
    np.save(path, values)
    return path


def by_model(folder: Path, share: float) -> list[dict[str, Any]]:
    random, found = np.random.default_rng(0), []
    for name, options in MODELS.items():
        count = int(IMAGES.get(name, 5_000) * share)
        images = stored(folder, "images", random.integers(0, 256, (count, 28, 28), np.uint8))
        for workers in (1, 2):
            found.append({"model": name, "workers": workers, **measured(train(images, *options, workers=workers))})
            print(found[-1], file=sys.stderr, flush=True)
    return found


def by_width(folder: Path, share: float) -> list[dict[str, Any]]:
    images = np.random.default_rng(0).integers(0, 256, (int(20_000 * share), 28, 28), np.uint8)
    path, options = stored(folder, "wide", images), ["--preset", "variational", "--set", "network=mlp"]
    return [{"width": width, **measured(train(path, *options, f"network.width={width}"))} for width in WIDTHS]


def by_rows(folder: Path, share: float) -> list[dict[str, Any]]:
    found = []
    for count in ROWS:
        rows = np.random.default_rng(0).normal(size=(int(count * share), COLUMNS)).astype(np.float32)
        found.append({"rows": len(rows), "columns": COLUMNS, **measured(train(stored(folder, "rows", rows)))})
    rows = np.random.default_rng(0).normal(size=(int(400_000 * share), LARGE_COLUMNS)).astype(np.float32)
    found.append({"rows": len(rows), "columns": LARGE_COLUMNS, **measured(train(stored(folder, "filed", rows)))})
    return found


def rates(share: float) -> dict[str, float]:
    """Normal numbers that torch draws, and bytes that SHA-256 takes, a second, on one thread; medians of five."""
    import torch

    torch.set_num_threads(1)
    count, held = int(10**7 * share), bytes(10**8)
    return {
        "normals_a_second": count / median_seconds(lambda: torch.randn(count)),
        "sha256_bytes_a_second": len(held) / median_seconds(lambda: hashlib.sha256(held)),
    }


def median_seconds(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def table(rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = [" | ".join(name.replace("_", " ") for name in names), "|".join("---" for _ in names)]
    lines += [
        " | ".join(f"{value:,.1f}" if isinstance(value, float) else f"{value}" for value in row.values())
        for row in rows
    ]
    return "\n".join(f"| {line} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the examples; other than 1 is not recorded")
    options = parser.parse_args()
    began, figures = time.perf_counter(), dict[str, Any]()
    with tempfile.TemporaryDirectory() as path:
        for part in (by_model, by_width, by_rows):
            figures[part.__name__] = part(Path(path), options.share)
            print(f"\n{table(figures[part.__name__])}", flush=True)
        figures["rates"] = rates(options.share)
    if options.share == 1.0:
        protocol = "one epoch without validation, batch 512, float32; seconds of the steps alone, peak of one process"
        record("scale", figures, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
