"""How fast a dictionary trains from a file, beside the limit by its products of matrices, and in how much memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from narrows.train import precision_for
from running import narrows

CELLS, CODES, BATCH = 128, 1024, 4096
SPEED_ROWS = 1_200_000  # above half a GiB, from where a file is not held in memory
MEMORY_ROWS = 2**21  # of 512 bytes: a GiB
BLOCK = 2**16
ROUNDS = 20
PEAK = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "narrows", *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""

Writer = Callable[[Path, tuple[int, int], Iterable[np.ndarray]], None]


def _blocks(rows: int) -> Iterable[np.ndarray]:
    """Rows of noise: speed and memory depend on shapes alone."""
    draws = np.random.default_rng(0)
    return (draws.standard_normal((min(BLOCK, rows - at), CELLS), np.float32) for at in range(0, rows, BLOCK))


def _line(data: Path, folder: str) -> tuple[str, ...]:
    training = ("--epochs", "1", "--batch-size", str(BATCH), "--validation", "0.01")
    return ("train", str(data), "-o", str(Path(folder) / "m.safetensors"), "--preset", "sparse-features", *training)


def speed(write: Writer) -> dict[str, Any]:
    """Examples a second, and the limit; the limit is measured before and after."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.npy"
        write(data, (SPEED_ROWS, CELLS), _blocks(SPEED_ROWS))
        before = products()
        trained = narrows(*_line(data, folder))
        after = products()
    examples = trained["epochs"] * (trained["rows"] - trained["held_out"])
    limit = BATCH / min(before, after)
    rate = examples / trained["seconds"]
    return {
        "examples_a_second": rate,
        "limit_by_products": limit,
        "share_of_limit": rate / limit,
        "products_ms": {"before": before * 1e3, "after": after * 1e3},
        "threads": torch.get_num_threads(),
    }


def products(rounds: int = ROUNDS) -> float:
    """Seconds for the five products of a step: two forward, and those for the codes and both matrices backward."""
    dtype = precision_for("auto", torch.device("cpu")) or torch.float32
    x, z = torch.randn(BATCH, CELLS).to(dtype), torch.randn(BATCH, CODES).to(dtype)
    weight, atoms = torch.randn(CODES, CELLS).to(dtype), torch.randn(CODES, CELLS).to(dtype)

    def step() -> None:
        x @ weight.T, z @ atoms, x @ atoms.T, z.T @ x, z.T @ x

    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def memory(write: Writer) -> dict[str, Any]:
    """Most memory held while training on a file of a GiB, and the size of the file."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "rows.npy"
        write(data, (MEMORY_ROWS, CELLS), _blocks(MEMORY_ROWS))
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *_line(data, folder)], capture_output=True, text=True, check=True
        )
        return {"peak_mib": int(done.stdout.split()[-1]) / 1024, "file_mib": data.stat().st_size / 2**20}
