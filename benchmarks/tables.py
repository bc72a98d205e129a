"""Tables compressed without loss, beside xz, gzip and Parquet: bytes of the same rows, with and without the model.

For each case rows are parted at random; preset compressor-table is trained on some through ``narrows train``, its codec
file exported, and ``narrows compress`` codes the others, which come back byte for byte. Recorded are the bytes of the
file and of the codec file, those of the same rows as CSV, by gzip and xz at their best, and as Parquet with zstd at its
best, and from how many rows on the model has paid for itself against xz.

    NARROWS_DATA=... python benchmarks/tables.py [--only nsl-kdd ...] [--minutes 4]

The cases want a quiet machine, for training is by the clock; with other ``--minutes`` nothing is recorded.
"""

from __future__ import annotations

import argparse
import gzip
import math
import os
import tempfile
import time
from collections.abc import Callable
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from narrows.apps.comparing_tables import compared_tables
from narrows.data.arff import read_arff
from narrows.data.table_sinks import csv_lines
from record import record
from running import narrows

MINUTES = 4.0
RATE = 0.003
SEED = 0
TEST = 0.2  # of the rows
Lines = list[bytes]


def folder() -> Path:
    return Path(os.environ["NARROWS_DATA"])


def nsl_kdd() -> Lines:
    """Network connections, 43 columns, drawn so that none is there twice."""
    return gzip.decompress((folder() / "nsl_kdd" / "KDDTrain+_20Percent.txt.gz").read_bytes()).splitlines(keepends=True)


def kdd_99() -> Lines:
    """Network connections, 42 columns, most of them floods of equal rows, in the order of their time."""
    return gzip.decompress((folder() / "kdd" / "kddcup.data_10_percent.gz").read_bytes()).splitlines(keepends=True)


def bank() -> Lines:
    """Customers of a bank, words and numbers."""
    table = read_arff(folder() / "adrepo" / "bank-additional-ful-nominal.arff")
    texts = [column.cast(pa.string()) for column in table.columns]
    return csv_lines(pa.table(texts, table.column_names)).splitlines(keepends=True)


CASES = {"nsl-kdd": nsl_kdd, "bank": bank, "kdd-99": kdd_99}


def parted(lines: Lines) -> tuple[bytes, bytes, int]:
    """Rows to train on, others to compress, in their order, and how many these are."""
    count = int(TEST * len(lines))
    test = np.zeros(len(lines), dtype=bool)
    test[np.random.default_rng(SEED).permutation(len(lines))[:count]] = True
    return b"".join(compress(lines, ~test)), b"".join(compress(lines, test)), count


def measure(rows: Callable[[], Lines], minutes: float, scratch: Path) -> dict[str, Any]:
    """Train, compress the other rows, give them back, and set other formats beside the file."""
    training, test, model, codec, file, back = (
        scratch / name for name in ("a.csv", "b.csv", "m.safetensors", "m.codec", "b.nrw", "c.csv")
    )
    lines = rows()
    learnt, kept, count = parted(lines)
    training.write_bytes(learnt)
    test.write_bytes(kept)
    plan = ["--minutes", str(minutes), "--batch-size", "256", "--rate", str(RATE)]
    trained = narrows("train", str(training), "--no-header", "-o", str(model), "--preset", "compressor-table", *plan)
    narrows("export", str(model), "-o", str(codec), "--codec")
    made = narrows("compress", str(codec), str(test), "--no-header", "-o", str(file))
    narrows("decompress", str(codec), str(file), "-o", str(back))
    if back.read_bytes() != kept:
        raise SystemExit("the rows did not come back byte for byte")
    others = {row.format: row.bytes for row in compared_tables(kept, False, made["raw_bytes"])}
    saved = (others["CSV, xz"] - made["file_bytes"]) / count
    return {
        "training_rows": len(lines) - count,
        "training_seconds": trained["seconds"],
        "rows": count,
        "file_bytes": made["file_bytes"],
        "model_bytes": made["model_bytes"],
        "bits_a_row": 8 * made["file_bytes"] / count,
        "others_bytes": others,
        "rows_that_pay_for_the_model_against_xz": math.ceil(made["model_bytes"] / saved) if saved > 0 else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--minutes", type=float, default=MINUTES)
    options = parser.parse_args()
    began = time.perf_counter()
    figures = {}
    for name in options.only:
        with tempfile.TemporaryDirectory() as scratch:
            figures[name] = measure(CASES[name], options.minutes, Path(scratch))
        print(name, figures[name], flush=True)
    if options.only == list(CASES) and options.minutes == MINUTES:
        protocol = (
            f"preset compressor-table, {MINUTES:g} minutes, batches of 256, rate {RATE:g}; {TEST:.0%} of the rows, "
            "drawn at random, are compressed, the others are trained on, a tenth held out for the best weights; "
            "settings were chosen on training rows of nsl-kdd held out"
        )
        record("tables", figures, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
