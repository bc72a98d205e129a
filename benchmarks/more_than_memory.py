"""More rows than any memory holds, generated as they are read: trained on and scored, with the memory of each process.

Rows of 64 float32 columns are written as an Arrow stream by a process of their own, from a seed, into standard input of

- narrows train - -o MODEL: one pass, a small MLP
- the same rows again through Autoencoder.load(MODEL).score_samples, part by part, in a process that reads the pipe

of which nothing is kept: neither rows nor scores. The resident memory of the reading process is looked at once a
second; its slope is that of a line through the second half of the looks, in MiB a GB of rows.

    python benchmarks/more_than_memory.py --gigabytes 100
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from record import record

COLUMNS, FACTORS = 64, 8
ROW_BYTES = 4 * COLUMNS
AT_ONCE = 2**16  # rows of a batch of the stream
LEARNT = ["--preset", "autoencoder", "--batch-size", "4096"]
SMALL = ["--set", "network=mlp", "network.width=64", "network.depth=1", "latent.size=8", "likelihood=gaussian"]
LIMIT_MIB = 1536


def generate(rows: int, seed: int) -> None:
    """Write rows of eight hidden factors, mixed, with noise, as an Arrow stream on standard output."""
    import pyarrow as pa

    mixing = np.random.default_rng(seed).normal(size=(COLUMNS, FACTORS)).astype(np.float32)
    schema = pa.schema([(f"c{place}", pa.float32()) for place in range(COLUMNS)])
    with pa.ipc.new_stream(sys.stdout.buffer, schema) as stream:
        for number, start in enumerate(range(0, rows, AT_ONCE)):
            random = np.random.default_rng((seed, number))
            n = min(AT_ONCE, rows - start)
            cells = mixing @ random.standard_normal((FACTORS, n), dtype=np.float32)
            cells += random.random((COLUMNS, n), dtype=np.float32)
            stream.write_batch(pa.record_batch(list(cells), schema=schema))


def score(model: str) -> None:
    """Score an Arrow stream on standard input, and print what it came to."""
    import pyarrow as pa

    from narrows import Autoencoder

    scorer = Autoencoder.load(model)
    rows, total, began = 0, 0.0, time.perf_counter()
    for batch in pa.ipc.open_stream(sys.stdin.buffer):
        scores = scorer.score_samples(pa.Table.from_batches([batch]))
        rows += len(scores)
        total += float(scores.sum())
    print(json.dumps({"rows": rows, "mean_nats": total / rows, "seconds": time.perf_counter() - began}))


def watched(rows: int, words: list[str], seed: int) -> dict[str, Any]:
    """Feed a process that many rows, look at its memory once a second, and read what it prints."""
    source = [sys.executable, __file__, "--generate", str(rows), "--seed", str(seed)]
    began, looks = time.perf_counter(), []
    generator = subprocess.Popen(source, stdout=subprocess.PIPE)
    process = subprocess.Popen(words, stdin=generator.stdout, stdout=subprocess.PIPE, text=True)
    assert generator.stdout is not None
    generator.stdout.close()  # the reader alone holds the pipe
    while process.poll() is None:
        looks.append((time.perf_counter() - began, resident(process.pid)))
        time.sleep(1.0)
    told = process.communicate()[0]
    generator.wait()
    if process.returncode or generator.returncode:
        raise SystemExit(f"{' '.join(words)}: status {process.returncode}; the generator's {generator.returncode}")
    seconds, found = time.perf_counter() - began, json.loads(told)
    return {"told": found, **memory(looks, seconds - found["seconds"], seconds, rows), "seconds": round(seconds, 1)}


def resident(process: int) -> float:
    """MiB of memory that a process holds; 0 of one that has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory(looks: list[tuple[float, float]], start: float, end: float, rows: int) -> dict[str, Any]:
    """Peak, slope over the second half of the time in which rows came, and rows a second in it."""
    at, mib = np.array([look for look in looks if look[1] > 0]).T
    late = (at > (start + end) / 2) & (at <= end)
    slope = float(np.polyfit(at[late], mib[late], 1)[0]) if late.sum() > 2 else 0.0  # MiB a second
    rate = rows / (end - start)
    return {
        "mib_largest": round(float(mib.max()), 1),
        "mib_a_gb_over_the_second_half": round(slope / (rate * ROW_BYTES / 1e9), 4),
        "mib_spread_over_the_second_half": round(float(np.ptp(mib[late])), 1) if late.any() else 0.0,
        "looks": len(mib),
        "rows_a_second": round(rate),
        "minutes_for_100_gb": round(100e9 / ROW_BYTES / rate / 60, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=100.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-record", action="store_true")
    parser.add_argument("--generate", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--score", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.generate is not None:
        generate(options.generate, options.seed)
        return
    if options.score is not None:
        score(options.score)
        return
    rows, began = int(options.gigabytes * 1e9 / ROW_BYTES), time.perf_counter()
    with tempfile.TemporaryDirectory() as path:
        model = str(Path(path) / "m.safetensors")
        training = [sys.executable, "-m", "narrows", "train", "-", "-o", model, *LEARNT, "--json", *SMALL]
        figures: dict[str, Any] = {"gigabytes": rows * ROW_BYTES / 1e9, "rows": rows}
        for name, words in (("train", training), ("score", [sys.executable, __file__, "--score", model])):
            figures[name] = watched(rows, words, options.seed)
            figures[name]["told"].pop("model", None)
            print(name, json.dumps(figures[name], indent=2), flush=True)
    protocol = (
        f"{rows} rows of {COLUMNS} float32 columns, generated by another process as they are read through a pipe; "
        f"train - {' '.join([*LEARNT, *SMALL])}, then Autoencoder.score_samples; resident memory of the reading "
        f"process once a second, slope over the second half"
    )
    if not options.no_record:
        record("more_than_memory", figures, seconds=time.perf_counter() - began, protocol=protocol)
    good = [
        figures[name]["told"]["rows"] == rows and figures[name]["mib_largest"] < LIMIT_MIB
        for name in ("train", "score")
    ]
    if not all(good):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
