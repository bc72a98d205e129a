"""Pairs of files: tables, images and rows read, rows too many for memory, and what training writes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from binary_images import images
from contenders import narrows_run
from pairs import Pair, fitted_detector, taking

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


def unpack_table() -> Pair:
    """A Parquet file gone through twice, and its rows written into a file, beside Arrow, which reads and writes it."""
    import pyarrow as pa
    from pyarrow import parquet

    from narrows.data.request import Request
    from narrows.data.unpacking import unpack

    folder = tempfile.TemporaryDirectory()
    path, copy = Path(folder.name) / "rows.parquet", Path(folder.name) / "rows.arrow"
    numbers, words = mixed_rows()
    parquet.write_table(pa.table([*numbers.T, words], [f"c{i}" for i in range(COLUMNS + 1)]), path)

    def reference() -> None:
        parquet.read_table(path)
        table = parquet.read_table(path)
        with pa.ipc.new_file(copy, table.schema) as writer:
            writer.write_table(table)

    return Pair(taking(ROWS, lambda: unpack(str(path), Request())), taking(ROWS, reference), keeps=folder)


def detect_table() -> Pair:
    """Findings in a Parquet file written as CSV, beside Arrow, which reads the one and writes as much of the other."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    from narrows.apps.detect import detect
    from narrows.detection.files import save_detector
    from stream import NAMES, rows

    folder = tempfile.TemporaryDirectory()
    model, given, found = (Path(folder.name) / name for name in ("detector.safetensors", "rows.parquet", "found.csv"))
    save_detector(fitted_detector("detector-fast", rows(2_000, 1)), model)
    columns = rows(ROWS, 2).T
    parquet.write_table(pa.table([*columns], NAMES), given)
    told = pa.table([*columns[:4].astype(float)], NAMES[:4])

    def reference() -> None:
        parquet.read_table(given)
        csv.write_csv(told, found)

    return Pair(taking(ROWS, lambda: detect(model, str(given), found)), taking(ROWS, reference), keeps=folder)


def read_images() -> Pair:
    """A folder of images read, beside Pillow, which opens one after the other."""
    from PIL import Image

    from narrows import read

    folder, count = tempfile.TemporaryDirectory(), 300
    paths = [Path(folder.name) / f"{place:03}.png" for place in range(count)]
    for path, image in zip(paths, 255 * images(count), strict=True):
        Image.fromarray(image).save(path)
    ours = taking(count, lambda: read(folder.name))
    return Pair(ours, taking(count, lambda: np.stack([np.asarray(Image.open(path)) for path in paths])), keeps=folder)


def read_batches() -> Pair:
    """An epoch of rows that stay in their file, beside NumPy, which takes as many batches from a mapped file."""
    from narrows.data.filed import Filed, Piece
    from narrows.data.pools import FiledBatches, FiledRows

    folder, count, cells, batch = tempfile.TemporaryDirectory(), 300_000, 32, 512
    path = Path(folder.name) / "rows"
    np.random.default_rng(0).standard_normal((count, cells), np.float32).tofile(path)
    filed = Filed((Piece(path, 0, count),), (cells,), np.dtype(np.float32))
    batches = FiledBatches(FiledRows(filed, torch.device("cpu")), batch, seed=0, chosen=torch.arange(count))
    order, mapped = iter(batches), np.memmap(path, np.float32, "r", shape=(count, cells))

    def ours() -> None:
        for _ in range(batches.per_epoch):
            next(order)

    def reference() -> None:
        for places in torch.randperm(count).split(batch):
            torch.from_numpy(mapped[places.numpy()])

    return Pair(taking(count, ours), taking(count, reference), keeps=folder)


def checkpoint() -> Pair:
    """The state of a training written and read again, beside its tensors alone as safetensors."""
    from safetensors.torch import load_file, save

    from narrows.checkpoint import Best, load_checkpoint, save_checkpoint

    folder = tempfile.TemporaryDirectory()
    path, run, best = Path(folder.name), narrows_run(images(100), 100), Best()
    run.interval(iter(run.batches))
    tensors = {name: tensor.clone() for name, tensor in run.state()[0].items()}

    def ours() -> None:
        save_checkpoint(path, run, best, [], {})
        load_checkpoint(path, run, best, [], {})

    def reference() -> None:
        with (path / "plain.safetensors").open("wb") as file:
            file.write(save(tensors))
            os.fsync(file.fileno())
        load_file(path / "plain.safetensors")

    return Pair(taking(1, ours), taking(1, reference), keeps=folder)


PAIRS: dict[str, Callable[[], Pair]] = {
    "read-table": read_table,
    "unpack-table": unpack_table,
    "detect-table": detect_table,
    "read-images": read_images,
    "read-batches": read_batches,
    "checkpoint": checkpoint,
}
