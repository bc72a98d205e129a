"""The same 1,000 rows through Python, command line, HTTP and ONNX: scores, codes, denoised images; how far apart.

Scores are those of the default detector on scikit-learn's digits, fitted to 797 of them; codes those of preset
variational, and images those of preset denoiser, both trained on the embedded Fashion-MNIST sample, on 1,000 of its
test images. Over HTTP each row is sent in a list of all (JSON), as Arrow, and by itself, some at a time so that
requests share passes. Of images, numbers between 0 and 255 that are not rounded are compared.

Two numbers are equal if they differ by at most 1e-5 (of pixels: of their range) + 1e-5 of the size of Python's.

    python benchmarks/same_figures.py

records the figures; with other ``--rows`` it prints and does not record.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import torch
from sklearn.datasets import load_digits

from narrows import AnomalyDetector, Autoencoder, load
from narrows import read as read_data
from narrows.restore import restored
from record import record
from running import Served, narrows, served

ROWS = 1000
ABSOLUTE = RELATIVE = 1e-5
AT_ONCE = 16
RATE = ("--false-alarm-rate", "0.05")  # what 79 calibration rows can hold
DETECT = "/detect?false_alarm_rate=0.05"
ARROW = "application/vnd.apache.arrow.stream"
Found = dict[str, np.ndarray]


def told(values: np.ndarray) -> bytes:
    return json.dumps(values.tolist()).encode()


def alone(one: Served, path: str, given: np.ndarray) -> list[Any]:
    """Answers to rows that are sent by themselves, some at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [json.loads(body) for body in pool.map(lambda row: one.ask(path, told(row)), given)]


def arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue()


def in_lists(images: np.ndarray) -> pa.Table:
    """Images as a column of lists."""
    cells = pa.array(np.ascontiguousarray(images).reshape(-1))
    return pa.table({"image": pa.FixedSizeListArray.from_arrays(cells, int(np.prod(images.shape[1:])))})


def matrix(rows: list[dict[str, float]]) -> np.ndarray:
    return np.array([list(row.values()) for row in rows])


def graph(folder: Path, model: Path, name: str, given: np.ndarray) -> np.ndarray:
    """What an exported graph gives, some rows at once."""
    target = folder / f"{model.stem}-graphs"
    narrows("export", str(model), "-o", str(target), *RATE)
    said = json.loads((target / "model.json").read_text())["graphs"][name]
    session = onnxruntime.InferenceSession(target / said["file"])
    chunks = np.array_split(given.astype(said["input"]["dtype"]), max(1, len(given) // 100))
    found = [session.run(None, {said["input"]["name"]: chunk})[0] for chunk in chunks]
    return np.concatenate(found)


def scores(folder: Path, rows: int) -> Found:
    """Anomaly scores."""
    digits = load_digits().data.astype(np.float32)
    digits = digits[np.random.default_rng(0).permutation(len(digits))]
    given = digits[:rows]
    np.save(folder / "train.npy", digits[ROWS:])
    np.save(folder / "rows.npy", given)
    model = folder / "detector.safetensors"
    narrows("train", str(folder / "train.npy"), "--preset", "detector", "-o", str(model))
    narrows("detect", str(model), str(folder / "rows.npy"), "-o", str(folder / "scores.csv"), *RATE)
    with (folder / "scores.csv").open() as lines:
        by_line = np.array([float(row["score"]) for row in csv.DictReader(lines)])
    table = pa.table({f"c{place}": column for place, column in enumerate(given.T.copy())})
    with served(model) as one:
        body = one.ask(DETECT, arrow(table), ARROW)
        return {
            "Python": -AnomalyDetector.load(model).score_samples(given),
            "command line": by_line,
            "HTTP, JSON": np.array([row["score"] for row in json.loads(one.ask(DETECT, told(given)))]),
            "HTTP, Arrow": pa.ipc.open_stream(body).read_all()["score"].to_numpy(),
            "HTTP, alone": np.array([row["score"] for row in alone(one, DETECT, given)]),
            "ONNX": graph(folder, model, "score", given),
        }


def codes(folder: Path, rows: int) -> Found:
    """Codes of images."""
    given = _test_images(rows)
    np.save(folder / "images.npy", given)
    model = folder / "variational.safetensors"
    narrows("train", "fashion-sample", "--preset", "variational", "--minutes", "0.5", "-o", str(model))
    narrows("embed", str(model), str(folder / "images.npy"), "-o", str(folder / "codes.npy"))
    with served(model) as one:
        body = one.ask("/embed", arrow(in_lists(given)), ARROW)
        return {
            "Python": Autoencoder.load(model).transform(given),
            "command line": np.load(folder / "codes.npy"),
            "HTTP, JSON": matrix(json.loads(one.ask("/embed", told(given)))),
            "HTTP, Arrow": matrix(pa.ipc.open_stream(body).read_all().to_pylist()),
            "HTTP, alone": matrix(alone(one, "/embed", given)),
            "ONNX": graph(folder, model, "encoder", given),
        }


def denoised(folder: Path, rows: int) -> Found:
    """Images without their noise."""
    clean = _test_images(rows)
    given = (clean + np.random.default_rng(0).normal(scale=25, size=clean.shape)).astype(np.float32)
    np.save(folder / "noisy.npy", given)
    model = folder / "denoiser.safetensors"
    narrows("train", "fashion-sample", "--preset", "denoiser", "--minutes", "0.5", "-o", str(model))
    narrows("denoise", str(model), str(folder / "noisy.npy"), "-o", str(folder / "clean.npy"))
    with served(model, "--max-body", str(2**26)) as one:
        body = one.ask("/denoise", arrow(in_lists(given)), ARROW)
        cells = pa.ipc.open_stream(body).read_all()["example"].combine_chunks().flatten().to_numpy()
        return {
            "Python": restored(load(model).model, torch.from_numpy(given)[:, None])[:, 0].numpy(),
            "command line": np.load(folder / "clean.npy"),
            "HTTP, JSON": np.array(json.loads(one.ask("/denoise", told(given)))),
            "HTTP, Arrow": cells.reshape(given.shape),
            "HTTP, alone": np.array(alone(one, "/denoise", given)),
            "ONNX": graph(folder, model, "denoise", given),
        }


def _test_images(rows: int) -> np.ndarray:
    images = read_data("fashion-sample:test").values[:rows, 0]
    assert len(images) == rows
    return images


def apart(found: Found, unit: float) -> dict[str, dict[str, float]]:
    """How far each is from Python's: the largest difference, and the largest share of what is allowed."""
    own = found["Python"].astype(np.float64)
    figures = {}
    for name, given in found.items():
        error = np.abs(given.astype(np.float64) - own)
        shares = error / (ABSOLUTE * unit + RELATIVE * np.abs(own))
        figures[name] = {
            "largest_difference": float(error.max()),
            "largest_share_of_the_tolerance": float(shares.max()),
            "rows_apart": int((shares.reshape(len(own), -1) > 1).any(1).sum()),
        }
    del figures["Python"]
    return figures


WHAT: dict[str, tuple[Callable[[Path, int], Found], float]] = {
    "detector scores": (scores, 1.0),
    "codes": (codes, 1.0),
    "denoised images": (denoised, 255.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS, help="that are compared")
    options = parser.parse_args()
    began = time.perf_counter()
    figures: dict[str, Any] = {"rows": options.rows}
    with tempfile.TemporaryDirectory() as name:
        for what, (measure, unit) in WHAT.items():
            figures[what] = apart(measure(Path(name), options.rows), unit)
            print(f"{what}: {json.dumps(figures[what], indent=2)}", flush=True)
    if options.rows == ROWS:
        protocol = (
            "default detector, preset variational and preset denoiser; every face beside Python's; equal: within 1e-5 "
            "(of pixels: of their range) + 1e-5 of the number"
        )
        record("same_figures", figures, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
