"""CPU seconds to fit and rows a second to score, 100,000 x 30, against PyOD's AutoEncoder and IsolationForest.

Rows are made: x = tanh(z) W + 0.3 e with 8 standard normal z, all numbers from one seed. Anomalies, 5 % of the 100,000
rows that are scored, are of two kinds in equal numbers: rows of which three columns are those of another row, and rows
with noise of 1.0 in place of 0.3. All fit on the same 100,000 normal rows; everyone but narrows gets them
standardised. Scoring takes turns in one process, in an order of chance, and is given as the median over the rounds.

    python benchmarks/detection_speed.py

needs ``pip install pyod`` beside narrows.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from narrows import AnomalyDetector
from record import record

ROWS, FEATURES, LATENT = 100_000, 30, 8
ROUNDS = 7

REMARKS = (
    "Ratios hang on the machine: AutoEncoder, whose time is that of a Python loop over batches of 32, scored 43,000 and"
    " 59,000 rows a second in two runs an hour apart, and 31,000 on an earlier machine. Tried for the default: fewer "
    "references and units, weights folded for inference, nearest rows by maxima and a heap, one thread a block, "
    "float32, asinh and silu by vectorised functions, results in place, blocks of 1,024. For detector-fast: float32, "
    "one product for mean and variance, scaling in one pass, 48 units for 64, blocks of 2,048 to 8,192, fewer passes "
    "over the input. What is left is the products themselves, at some 70 GFLOP/s a core, and the search in the tail; "
    "two processes side by side are no faster than two threads."
)

Score = Callable[[np.ndarray], np.ndarray]


def made(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training rows, rows to score, and 1 for each of these that is an anomaly."""
    numbers = np.random.default_rng(0)
    mixing = numbers.normal(size=(LATENT, FEATURES))

    def drawn(n: int, noise: float) -> np.ndarray:
        return np.tanh(numbers.normal(size=(n, LATENT))) @ mixing + noise * numbers.normal(size=(n, FEATURES))

    few = rows // 40
    train, test, noisy = drawn(rows, 0.3), drawn(rows - 2 * few, 0.3), drawn(few, 1.0)
    swapped = drawn(few, 0.3)
    columns = np.argsort(numbers.random((few, FEATURES)), axis=1)[:, :3]
    np.put_along_axis(swapped, columns, np.take_along_axis(drawn(few, 0.3), columns, 1), 1)
    labels = np.repeat([0, 1], [len(test), 2 * few])
    return train.astype(np.float32), np.concatenate([test, noisy, swapped]).astype(np.float32), labels


def narrows(preset: str) -> Callable[[np.ndarray], Score]:
    def fit(train: np.ndarray) -> Score:
        detector = AnomalyDetector(preset).fit(train)
        return lambda rows: -detector.score_samples(rows)

    return fit


def standardised(fit: Callable[[np.ndarray], Score]) -> Callable[[np.ndarray], Score]:
    def scaled(train: np.ndarray) -> Score:
        mean, spread = train.mean(0), train.std(0)
        score = fit((train - mean) / spread)
        return lambda rows: score((rows - mean) / spread)

    return scaled


def pyod_autoencoder(train: np.ndarray) -> Score:
    from pyod.models.auto_encoder import AutoEncoder

    detector: Score = AutoEncoder(random_state=0, verbose=0).fit(train).decision_function
    return detector


def isolation_forest(train: np.ndarray) -> Score:
    forest = IsolationForest(random_state=0).fit(train)
    return lambda rows: -forest.score_samples(rows)


CONTENDERS = {
    "narrows detector": narrows("detector"),
    "narrows detector-fast": narrows("detector-fast"),
    "PyOD AutoEncoder": standardised(pyod_autoencoder),
    "IsolationForest": standardised(isolation_forest),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args()
    began = time.perf_counter()
    train, test, labels = made(options.rows)
    figures: dict[str, dict[str, Any]] = {}
    scores: dict[str, Score] = {}
    for name, fit in CONTENDERS.items():
        wall, worked = time.perf_counter(), time.process_time()
        scores[name] = fit(train)
        figures[name] = {
            "fit_cpu_seconds": round(time.process_time() - worked, 3),
            "fit_seconds": round(time.perf_counter() - wall, 3),
            "auroc": round(float(roc_auc_score(labels, scores[name](test))), 4),
        }
    seconds: dict[str, list[float]] = {name: [] for name in scores}
    order = random.Random(0)
    for _ in range(ROUNDS):
        for name in order.sample(list(scores), len(scores)):
            wall = time.perf_counter()
            scores[name](test)
            seconds[name].append(time.perf_counter() - wall)
    for name, taken in seconds.items():
        figures[name]["rows_a_second"] = round(len(test) / statistics.median(taken))
    autoencoder, forest = figures["PyOD AutoEncoder"], figures["IsolationForest"]
    ratios = {
        name: {
            "fit_cpu_of_autoencoder": round(figures[name]["fit_cpu_seconds"] / autoencoder["fit_cpu_seconds"], 4),
            "rows_a_second_of_autoencoder": round(figures[name]["rows_a_second"] / autoencoder["rows_a_second"], 2),
            "rows_a_second_of_forest": round(figures[name]["rows_a_second"] / forest["rows_a_second"], 2),
        }
        for name in ("narrows detector", "narrows detector-fast")
    }
    protocol = f"{options.rows} x {FEATURES}, {torch.get_num_threads()} threads, median of {ROUNDS} rounds"
    record(
        "detection_speed",
        {"contenders": figures, "ratios": ratios, "remarks": REMARKS},
        seconds=time.perf_counter() - began,
        protocol=protocol,
    )
    print(json.dumps({"contenders": figures, "ratios": ratios}, indent=1))


if __name__ == "__main__":
    main()
