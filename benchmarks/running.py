"""What several benchmarks do: run the command line, and time codecs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from narrows.coding.products import full_precision
from narrows.compression.archive import chunk_cells
from narrows.compression.compressor import Compressor, Work
from narrows.threads import side_by_side

ROUNDS = 3


def narrows(*words: str) -> dict[str, Any]:
    """Run the command line and read its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "narrows", *words, "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"narrows {' '.join(words)}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def coding_speed(compressor: Compressor, values: np.ndarray) -> dict[str, float]:
    """Megabytes (10^6 cells) of examples (n, *shape) a second each way, without loading, reading or verification.

    Chunks go side by side as ``narrows compress`` has them; the best of some rounds, after one in which numba compiles.
    """
    work, rows = Work(), max(1, chunk_cells(compressor.schema) // compressor.schema.size)
    chunks = [np.ascontiguousarray(values[start : start + rows]) for start in range(0, len(values), rows)]
    compressor.decode(compressor.encode(chunks[0][:9], work), len(chunks[0][:9]), work)

    def best(job: Callable[[int], Any]) -> tuple[float, list[Any]]:
        seconds, results = math.inf, []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            with full_precision():
                results = side_by_side(job, range(len(chunks)))
            seconds = min(seconds, time.perf_counter() - began)
        return values.size / 1e6 / seconds, results

    encoding, payloads = best(lambda place: compressor.encode(chunks[place], work))
    decoding, decoded = best(lambda place: compressor.decode(payloads[place], len(chunks[place]), work))
    assert all(np.array_equal(one, other) for one, other in zip(decoded, chunks, strict=True))
    return {
        "megabytes_a_second_coding": encoding,
        "megabytes_a_second_decoding": decoding,
        "threads": torch.get_num_threads(),
    }
