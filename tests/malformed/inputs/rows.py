"""Rows that a model was trained on, and others like them with something wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from inputs.case import file

Columns = dict[str, list[str]]
SOUND = 60


def flows(rows: int, seed: int) -> Columns:
    """Numbers with gaps, categories, counts, two values, and a column that never changes."""
    random = np.random.default_rng(seed)
    service = random.choice(["http", "dns", "smtp"], rows)
    sent = np.exp(random.normal(size=rows) + (service == "http"))
    return {
        "sent": ["" if random.random() < 0.1 else f"{number:.5g}" for number in sent],
        "service": service.tolist(),
        "version": ["4"] * rows,
        "hops": [str(hops) for hops in random.integers(0, 9, rows)],
        "flag": random.choice(["yes", "no"], rows).tolist(),
    }


def as_csv(columns: Columns, separator: str = ",", header: bool = True) -> str:
    """Lines of a table."""
    stream = io.StringIO()
    lines = csv.writer(stream, delimiter=separator, lineterminator="\n")
    lines.writerows(([list(columns)] if header else []) + list(zip(*columns.values(), strict=True)))
    return stream.getvalue()


def new() -> Columns:
    """Rows that the models have not seen, and in which nothing is wrong."""
    return flows(SOUND, 1)


def without(name: str) -> Columns:
    return {other: cells for other, cells in new().items() if other != name}


def with_cells(name: str, *cells: str) -> Columns:
    """The sound rows, with the first cells of a column replaced."""
    return {**new(), name: [*cells, *new()[name][len(cells) :]]}


def renamed(name: str, other: str) -> Columns:
    return {other if one == name else one: cells for one, cells in new().items()}


def parquet_of(columns: Columns) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        parquet.write_table(pa.table(columns), folder / "t.parquet")
        return folder / "t.parquet"

    return make


def table(columns: Columns, separator: str = ",") -> Callable[[Path], Path]:
    return file(as_csv(columns, separator))
