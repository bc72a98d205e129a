"""Load on `narrows serve`: requests a second, their delays, what request batching is worth; memory over ten minutes.

The default detector is fitted to 10,000 rows of 30 numbers. The server runs in a process of its own, the client
(`load.py`) in another, on the loopback of the same machine: 64 connections, each with one request of one row of JSON
at a time, kept alive. The same is measured with ``--no-batching``, in which every request has a forward pass of its
own, of as many rows: the last bits of a score must not depend on what came beside it.

    python benchmarks/serve.py

records the figures; with other ``--seconds`` or ``--minutes`` it prints and does not record.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from narrows.data.schema import infer_schema
from narrows.detection.files import save_detector
from narrows.detection.fit import fit_detector
from record import record
from running import Served, served
from stream import NAMES, rows

CONNECTIONS = 64
TRAINING_ROWS = 10_000
POOL = 4096
SECONDS = 30.0
MINUTES = 10.0
SAMPLES = 60  # of the memory
LOAD = Path(__file__).with_name("load.py")


def detector(path: Path) -> None:
    """Fit and write the detector."""
    values = rows(TRAINING_ROWS, 1)
    save_detector(fit_detector(values, infer_schema(values, names=tuple(NAMES))), path)


def bodies() -> bytes:
    """Rows as JSON, one a line."""
    return "".join(json.dumps([round(cell, 5) for cell in row]) + "\n" for row in rows(POOL, 2).tolist()).encode()


def client(one: Served, seconds: float) -> subprocess.Popen[bytes]:
    """Start the client, and give it its rows."""
    line = [sys.executable, str(LOAD), "127.0.0.1", str(one.port), str(CONNECTIONS), str(seconds)]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(bodies())
    process.stdin.close()
    return process


def figures_of(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What the client saw, at its end."""
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.read())
    process.wait()
    return found


def load(model: Path, seconds: float, *words: str) -> dict[str, Any]:
    """Figures of a server that is loaded for so long, after as long a while to warm up as a tenth."""
    with served(model, *words) as one:
        figures_of(client(one, seconds / 10))
        return figures_of(client(one, seconds))


def memory(model: Path, minutes: float) -> dict[str, Any]:
    """MiB held under load, at evenly spaced moments."""
    with served(model) as one:
        process = client(one, 60 * minutes)
        found = []
        for _ in range(SAMPLES):
            time.sleep(60 * minutes / SAMPLES)
            found.append(one.resident())
        seen = figures_of(process)
    tenth = len(found) // 10
    return {
        "minutes": minutes,
        **seen,
        "mib": [round(value, 1) for value in found],
        "mib_grown_after_the_first_tenth": round(found[-1] - found[tenth], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement of speed")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="over which memory is watched")
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "detector.safetensors"
        detector(model)
        figures: dict[str, Any] = {"batching": load(model, options.seconds)}
        figures["no_batching"] = load(model, options.seconds, "--no-batching")
        speeds = [figures[name]["requests_a_second"] for name in ("batching", "no_batching")]
        figures["ratio"] = round(speeds[0] / speeds[1], 2)
        print(json.dumps(figures), file=sys.stderr, flush=True)
        figures["memory"] = memory(model, options.minutes)
    if (options.seconds, options.minutes) == (SECONDS, MINUTES):
        protocol = (
            f"default detector, {TRAINING_ROWS} x {len(NAMES)}; one row of JSON a request, {CONNECTIONS} connections "
            f"from a second process on loopback, each with one request at a time; the first tenth is left out"
        )
        record("serve", figures, seconds=time.perf_counter() - began, protocol=protocol)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
