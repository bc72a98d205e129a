"""What several benchmarks do: run the command line, time codecs, and start a server."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
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


@dataclass
class Served:
    """``narrows serve`` in a process of its own.

    Parameters
    ----------
    process : Popen
        The process.
    port : int
        Where it listens, on this machine alone.
    """

    process: subprocess.Popen[str]
    port: int

    def ask(self, path: str, body: bytes = b"", media: str = "application/json", accept: str = "*/*") -> bytes:
        """POST, and read the answer."""
        headers = {"Content-Type": media, "Accept": accept}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers, method="POST")
        with urllib.request.urlopen(request) as answer:
            found: bytes = answer.read()
        return found

    def resident(self) -> float:
        """MiB of memory that it holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def served(model: Path, *words: str) -> Iterator[Served]:
    """Start a server, and end it."""
    line = [sys.executable, "-m", "narrows", "serve", str(model), "--port", "0", *words]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.readline()
    found = re.search(r"http://[\d.]+:(\d+)", said)
    if found is None:
        raise SystemExit(said + process.stderr.read())
    try:
        yield Served(process, int(found[1]))
    finally:
        process.terminate()
        process.wait()
