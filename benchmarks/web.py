"""The page of ``narrows export --web``, in chromium without a network, beside Python: scores, p-values, errors.

A detector of a mixed table (numbers, a category, gaps; drawn, 2,000 rows to fit), and preset variational trained for an
epoch on the embedded Fashion-MNIST sample. The page is opened from its file, gets rows as a person gives them (a CSV;
an array of images), and what its table shows is compared with what Python says of the same rows. Two numbers are equal
if they differ by at most 1e-5 + 1e-5 of the size of Python's. Counted are also console messages and requests.

    npm pack onnxruntime-web
    python benchmarks/web.py onnxruntime-web-1.30.0.tgz

records the figures; with other ``--rows`` it prints and does not record. ``--preset`` is that of the detector.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from browsing import Opened, offline
from narrows import Autoencoder
from narrows import read as read_data
from record import record
from running import narrows

ROWS = 100
ABSOLUTE = RELATIVE = 1e-5
RATE = 0.05
TOWNS = ("Rome", "Oslo", "Lima")
SHOWN = """() => [...document.querySelectorAll('#answer table tbody tr')].map((line) =>
    [...line.querySelectorAll('data')].map((one) => Number(one.value)))"""


def apart(found: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    """How far the page is from Python."""
    error = np.abs(found - own)
    shares = error / (ABSOLUTE + RELATIVE * np.abs(own))
    return {
        "rows": len(own),
        "largest_difference": float(error.max()),
        "largest_share_of_the_tolerance": float(shares.max()),
        "rows_apart": int((shares > 1).sum()),
    }


def shown(context: Any, folder: Path, given: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Figures that a page shows of a file's rows; what it cost, and what it complained of."""
    began = time.perf_counter()
    one = Opened(context, folder / "index.html")
    one.page.locator("#state", has_text="Ready.").wait_for()
    ready = time.perf_counter()
    one.page.set_input_files("#file", given)
    one.page.locator("#answer:not([aria-busy]) > *, #fault:not(:empty)").first.wait_for()
    answered = time.perf_counter()
    if fault := one.page.text_content("#fault"):
        raise SystemExit(fault)
    figures = np.array(one.page.evaluate(SHOWN))
    facts = {
        "bytes_of_the_page": (folder / "index.html").stat().st_size,
        "console_messages": one.said,
        "requests_besides_the_page": one.beyond(),
        "seconds_to_open": ready - began,
        "seconds_to_answer": answered - ready,
    }
    return figures, facts


def table(path: Path, rows: int, seed: int) -> Path:
    """Draw numbers, a category and gaps."""
    random = np.random.default_rng(seed)
    towns = random.integers(3, size=rows)
    amounts = random.lognormal(towns / 2, 0.4)
    lines = [
        [f"{amount:.4f}", random.poisson(3 * amount), TOWNS[town], f"{random.normal(amount):.3f}"]
        for amount, town in zip(amounts, towns, strict=True)
    ]
    for row in range(rows):
        if random.random() < 0.2:
            lines[row][random.integers(4)] = ""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("amount", "visits", "town", "balance"), *lines])
    return path


def detector(context: Any, folder: Path, runtime: str, rows: int, preset: str) -> dict[str, Any]:
    """Scores of a table."""
    training, given = table(folder / "training.csv", 2000, 0), table(folder / "rows.csv", rows, 1)
    model, made, scored = folder / "detector.safetensors", folder / "detector", folder / "scores.csv"
    narrows("train", str(training), "--preset", preset, "-o", str(model))
    rate = ("--false-alarm-rate", str(RATE))
    narrows("export", str(model), str(given), "-o", str(made), "--web", runtime, *rate)
    narrows("detect", str(model), str(given), "-o", str(scored), *rate)
    with scored.open() as lines:
        own = np.array([[float(row["score"]), float(row["p_value"])] for row in csv.DictReader(lines)])
    found, facts = shown(context, made, given)
    return {"score": apart(found[:, 0], own[:, 0]), "p-value": apart(found[:, 1], own[:, 1]), **facts}


def images(context: Any, folder: Path, runtime: str, rows: int) -> dict[str, Any]:
    """Bounds and errors of images."""
    given, model, made = folder / "images.npy", folder / "variational.safetensors", folder / "variational"
    values = read_data("fashion-sample:test").values[:rows, 0]
    np.save(given, values)
    narrows("train", "fashion-sample", "--preset", "variational", "--epochs", "1", "-o", str(model))
    narrows("export", str(model), str(given), "-o", str(made), "--web", runtime)
    found, facts = shown(context, made, given)
    own = Autoencoder.load(model)
    wrong = own.inverse_transform(own.transform(values)).astype(np.float64) - values
    errors = np.sqrt(np.square(wrong).mean((1, 2)))
    return {"score": apart(found[:, 0], own.score_samples(values)), "error": apart(found[:, 1], errors), **facts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runtime", help="the npm package onnxruntime-web")
    parser.add_argument("--rows", type=int, default=ROWS, help="that are compared, at most 200")
    parser.add_argument("--preset", default="detector", help="of the detector")
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, offline() as context:
        given = (context, Path(name), options.runtime, options.rows)
        figures = {"detector of a table": detector(*given, options.preset), "model of images": images(*given)}
        version = context.browser.version
    print(figures, flush=True)
    if options.rows == ROWS:
        protocol = (
            f"chromium {version} without a network, {Path(options.runtime).name}, one thread; equal: within 1e-5 + "
            f"1e-5 of the number"
        )
        record("web", figures, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
