"""Pairs of files: tables, images and rows read, rows too many for memory, and what training writes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pairs import Pair, taking

ROWS = 50_000
COLUMNS = 8


def mixed_rows() -> tuple[np.ndarray, np.ndarray]:
    """Numbers (n, columns), and a word beside each row of them."""
    numbers = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).round(4)
    return numbers, np.where(numbers[:, 0] > 0, "tcp", "udp")


def read_table() -> Pair:
    """A table of numbers and words read from CSV, beside Arrow's own reader."""
    from pyarrow import csv

    from narrows import read

    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "rows.csv"
    lines = (",".join([*map(str, row), word]) for row, word in zip(*mixed_rows(), strict=True))
    path.write_text("\n".join([",".join(f"c{i}" for i in range(COLUMNS + 1)), *lines]))
    return Pair(taking(ROWS, lambda: read(path)), taking(ROWS, lambda: csv.read_csv(path)), keeps=folder)


PAIRS: dict[str, Callable[[], Pair]] = {
    "read-table": read_table,
}
