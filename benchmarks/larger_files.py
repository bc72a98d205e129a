"""Tables and images too large for memory, trained on and embedded: the memory taken at one size and at four times it.

- a Parquet file of 60 float32 columns, three of text and one that numbers the rows, in row groups of 250,000 rows
- a folder of colour photographs, 96 x 96, as PNG files: smooth random ones

of each so much that it is not read whole, are made here. Each is trained on for one epoch by a small MLP, and the
Parquet file is embedded, in a process of its own, whose largest resident memory the system tells.

    python benchmarks/larger_files.py --rows 3000000 --images 24000
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

COLUMNS, FACTORS, GROUP = 60, 8, 250_000
SIDE, COARSE = 96, 8
TIMES = 4
LIMIT_MIB = 1536
SMALL = ["--set", "network=mlp", "network.width=32", "network.depth=1", "latent.size=8"]


def write_table(path: Path, rows: int) -> None:
    """Rows of eight hidden factors, mixed, with noise; three words; and their number."""
    import pyarrow as pa
    from pyarrow import parquet

    mixing = np.random.default_rng(0).normal(size=(COLUMNS, FACTORS)).astype(np.float32)
    words = np.array(["tcp", "udp", "icmp", "other"])
    writer = None
    for number, start in enumerate(range(0, rows, GROUP)):
        random = np.random.default_rng((0, number))
        n = min(GROUP, rows - start)
        cells = mixing @ random.standard_normal((FACTORS, n), dtype=np.float32)
        cells += random.random((COLUMNS, n), dtype=np.float32)
        columns = {f"c{place}": row for place, row in enumerate(cells)}
        columns |= {f"w{place}": words[random.integers(0, 2 + place, n)] for place in range(3)}
        table = pa.table({**columns, "row": np.arange(start, start + n)})
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def write_images(folder: Path, count: int) -> None:
    """Smooth random colour photographs."""
    from PIL import Image

    folder.mkdir()
    for place in range(count):
        coarse = np.random.default_rng((1, place)).integers(0, 256, (COARSE, COARSE, 3)).astype(np.uint8)
        Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{place:07d}.png")


def run(*words: str) -> dict[str, Any]:
    """A verb in a process of its own: what it says, its seconds, and its largest resident memory."""
    began = time.perf_counter()
    line = [sys.executable, "-m", "narrows", *words, "--json"]
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(line, stdout=out)
        _, status, used = os.wait4(process.pid, 0)
        out.seek(0)
        if os.waitstatus_to_exitcode(status):
            raise SystemExit(f"narrows {' '.join(words)}: status {os.waitstatus_to_exitcode(status)}")
        told = json.loads(out.read())
    return {"rows": told["rows"], "seconds": round(time.perf_counter() - began, 1), "mib": used.ru_maxrss // 1024}


def at(folder: Path, rows: int, images: int) -> dict[str, Any]:
    """All figures at one size."""
    table, pictures = folder / "x.parquet", folder / "images"
    write_table(table, rows)
    write_images(pictures, images)
    model, few = str(folder / "m.safetensors"), ["--epochs", "1"]
    found = {
        "train a table": run("train", str(table), "-o", model, *few, "--batch-size", "4096", *SMALL),
        "embed a table": run("embed", model, str(table), "-o", str(folder / "codes.parquet")),
        "train images": run("train", str(pictures), "-o", model, *few, "--batch-size", "128", *SMALL),
    }
    return {**found, "table_gb": table.stat().st_size / 1e9, "images_gb_decoded": images * SIDE * SIDE * 3 / 1e9}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--images", type=int, default=24_000)
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    began, figures = time.perf_counter(), dict[str, Any]()
    for times in (1, TIMES):
        with tempfile.TemporaryDirectory() as folder:
            figures[f"{times}x"] = at(Path(folder), times * options.rows, times * options.images)
        print(times, json.dumps(figures[f"{times}x"], indent=2), flush=True)
    verbs = [name for name, found in figures["1x"].items() if isinstance(found, dict)]
    figures["mib_at_four_times_by_once"] = {
        name: figures[f"{TIMES}x"][name]["mib"] / figures["1x"][name]["mib"] for name in verbs
    }
    protocol = (
        f"a Parquet file of {COLUMNS} float32 columns, three of text and a number of the row, row groups of {GROUP}, "
        f"and PNG files {SIDE} x {SIDE} x 3; one epoch, {' '.join(SMALL)}; each verb in a fresh process, ru_maxrss"
    )
    if not options.no_record:
        record("larger_files", figures, seconds=time.perf_counter() - began, protocol=protocol)
    if max(figures[f"{TIMES}x"][name]["mib"] for name in verbs) >= LIMIT_MIB:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
