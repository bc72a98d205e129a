"""A stream that is learnt from on one core: rows a second, the delay of each row, and memory over millions of rows.

A detector of networks alone is fitted to 100,000 rows of 30 numbers. ``narrows stream --learn`` then runs in a process
of its own, bound to one core, its input and output pipes; rows are drawn and written as CSV beforehand, a pool of them,
which is sent over and over.

The delay of a row is the time from before it is written into the pipe to when its line has been read from the other
one. At a given pace rows are sent every two milliseconds, as many as are due; at full speed, as many as the pipe takes.

    python benchmarks/stream.py

records the figures; with other ``--rows`` or ``--seconds`` it prints and does not record.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from narrows.data.schema import infer_schema
from narrows.detection.files import save_detector
from narrows.detection.fit import fit_detector
from record import record

COLUMNS = 30
FACTORS = 6
TRAINING_ROWS = 100_000
POOL = 20_000
ROWS = 5_000_000
SECONDS = 60.0
PACES = (1_000, 5_000, 10_000)
TICK = 0.002
WARM_UP = 2_000
SAMPLES = 50  # of the memory
NAMES = [f"f{place}" for place in range(COLUMNS)]


def rows(n: int, seed: int) -> np.ndarray:
    """Rows of a few factors with noise; the factors' loadings are the same for every seed."""
    loadings = np.random.default_rng(0).normal(size=(FACTORS, COLUMNS))
    random = np.random.default_rng(seed)
    return (random.normal(size=(n, FACTORS)) @ loadings + 0.3 * random.normal(size=(n, COLUMNS))).astype(np.float32)


def pool() -> list[bytes]:
    """Lines of CSV."""
    return [",".join(f"{cell:.6g}" for cell in row).encode() + b"\n" for row in rows(POOL, 2).tolist()]


def detector(path: Path) -> float:
    """Fit and write the detector; return the seconds that it took."""
    values = rows(TRAINING_ROWS, 1)
    fitted = fit_detector(values, infer_schema(values, names=tuple(NAMES)), "detector-fast")
    save_detector(fitted, path)
    return float(fitted.record["seconds"])


@dataclass
class Running:
    """A stream in a process of its own.

    Parameters
    ----------
    process : Popen
        Of ``narrows stream``.
    lines : list of bytes
        What is sent, over and over.
    sent, received : list of float
        When each row was sent, and when its line had come back.
    """

    process: subprocess.Popen[bytes]
    lines: Sequence[bytes]
    sent: list[float] = field(default_factory=list)
    received: list[float] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    timed: bool = True
    count: int = 0
    _rest: bytes = b""

    def send(self, n: int, pace: float | None = None) -> None:
        """Send so many rows, at so many a second, or as fast as they are taken."""
        began, start = time.perf_counter(), len(self.sent) if self.timed else self.count
        assert self.process.stdin is not None
        target, place = self.process.stdin.fileno(), 0
        while place < n:
            due = min(n, place + 64) if pace is None else min(n, int((time.perf_counter() - began) * pace) + 1)
            if due == place:
                time.sleep(TICK)
                continue
            chosen = b"".join(self.lines[(start + at) % len(self.lines)] for at in range(place, due))
            if self.timed:
                self.sent += [time.perf_counter()] * (due - place)
            while chosen:
                chosen = chosen[os.write(target, chosen) :]
            place = due

    def receive(self, n: int) -> None:
        """Read until so many rows have come back in all."""
        assert self.process.stdout is not None
        while self.count < n:
            chunk = os.read(self.process.stdout.fileno(), 2**18)
            now = time.perf_counter()
            if not chunk:
                raise SystemExit("the stream ended before its time")
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            scored = sum(b'"score"' in line for line in whole)  # a change of the world is told in a line of its own
            self.count += scored
            if self.timed:
                self.received += [now] * scored

    def exchange(self, n: int, pace: float | None = None, meanwhile: Callable[[], Any] | None = None) -> float:
        """Send rows and read their lines; return the seconds until the last has come."""
        began, before = time.perf_counter(), self.count
        sender = threading.Thread(target=self.send, args=(n, pace))
        sender.start()
        steps = SAMPLES if meanwhile else 1
        for step in range(1, steps + 1):
            self.receive(before + n * step // steps)
            if meanwhile:
                meanwhile()
        sender.join()
        return time.perf_counter() - began

    def resident(self) -> float:
        """MiB of memory that the process holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def running(model: Path, lines: Sequence[bytes], *words: str, timed: bool = True) -> Iterator[Running]:
    """Start a stream on the last core, and let it score its first rows."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "narrows", "stream", str(model), *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0)
    os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(",".join(NAMES).encode() + b"\n")
    one = Running(process, lines, timed=timed)
    one.exchange(WARM_UP)
    try:
        yield one
    finally:
        process.stdin.close()
        process.stdout.read()
        process.wait()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")


def delays(model: Path, lines: Sequence[bytes], pace: int, seconds: float, *words: str) -> dict[str, Any]:
    """The delays of rows at a pace, in milliseconds."""
    with running(model, lines, *words) as one:
        one.exchange(int(pace * seconds), pace)
        found = 1e3 * (np.array(one.received) - np.array(one.sent))[WARM_UP:]
    figures = {f"delay_ms_{share:g}": float(np.percentile(found, share)) for share in (50, 99, 99.9)}
    rounded = {name: round(value, 2) for name, value in figures.items()}
    return {"rows_per_second": pace, "rows": len(found), **rounded, "delay_ms_largest": round(float(found.max()), 2)}


def speed(model: Path, lines: Sequence[bytes], n: int, *words: str) -> float:
    """Rows a second, as fast as they are taken."""
    with running(model, lines, *words, timed=False) as one:
        return round(n / one.exchange(n))


def memory(model: Path, lines: Sequence[bytes], n: int, *words: str) -> dict[str, Any]:
    """MiB held while so many rows go through, at evenly spaced moments."""
    with running(model, lines, *words, timed=False) as one:
        found = [one.resident()]
        seconds = one.exchange(n, meanwhile=lambda: found.append(one.resident()))
    tenth = len(found) // 10
    return {
        "rows": n,
        "rows_per_second": round(n / seconds),
        "mib": [round(value, 1) for value in found],
        "mib_largest": round(max(found), 1),
        "mib_grown_after_the_first_tenth": round(found[-1] - found[tenth], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS, help="over which memory is watched")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement of delays")
    options = parser.parse_args()
    began = time.perf_counter()
    torch.set_num_threads(1)
    lines = pool()
    many = max(options.rows // 20, 2_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "detector.safetensors"
        figures: dict[str, Any] = {"fit_seconds": round(detector(model), 2)}
        kept = ("--state", str(folder / "state.safetensors"))
        steps: dict[str, Callable[[], Any]] = {
            "learning": lambda: [delays(model, lines, pace, options.seconds, "--learn") for pace in PACES],
            "learning_with_state": lambda: delays(model, lines, PACES[1], options.seconds, "--learn", *kept),
            "rows_per_second_learning": lambda: speed(model, lines, many, "--learn"),
            "rows_per_second_learning_by_1024": lambda: speed(model, lines, many, "--learn", "--batch", "1024"),
            "rows_per_second_scoring": lambda: speed(model, lines, many),
            "one_row_updates": lambda: {
                "rows_per_second": speed(model, lines, many // 50, "--learn", "--batch", "1"),
                **{"at_a_pace": delays(model, lines, 100, options.seconds, "--learn", "--batch", "1")},
            },
            "memory": lambda: memory(model, lines, options.rows, "--learn"),
        }
        for step, measure in steps.items():
            figures[step] = measure()
            print(f"{step}: {json.dumps(figures[step])}", file=sys.stderr, flush=True)
    if (options.rows, options.seconds) == (ROWS, SECONDS):
        protocol = (
            f"detector-fast on {TRAINING_ROWS} x {COLUMNS}; narrows stream --learn, one core, one thread, CSV through "
            f"pipes; delay from before a row's write to its line's read, every row after the first {WARM_UP}"
        )
        record("stream", figures, seconds=time.perf_counter() - began, protocol=protocol)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
