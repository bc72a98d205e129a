"""Whether an alarm names its cause: one column of normal rows is made extreme, and should bring most of the score.

For each column in turn, 200 fresh normal rows get in it a value outside the range seen in training, by 1 to 10 times
its width on either side; a category gets one that training rows hardly or never hold. Counted is how often that column
is ranked first among the contributions, and the largest gap between their sum and the score.

    NARROWS_DATA=... python benchmarks/contributions.py
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from narrows import AnomalyDetector, Dataset
from narrows.data.dataset import from_array
from record import record
from traffic import NSL, traffic

SETS = ("nsl-kdd", "32_shuttle", "6_cardio", "30_satellite", "11_donors")
ROWS = 200


def normal_rows(name: str) -> Dataset:
    """Normal rows of a set."""
    if name == "nsl-kdd":
        data, attack = traffic(NSL, "c41", ("c42",))
        return Dataset(data.values[attack == 0], data.schema, None, name)
    with np.load(Path(os.environ["NARROWS_DATA"]) / "adbench" / f"{name}.npz") as kept:
        return from_array(kept["X"][kept["y"].ravel() == 0].astype(np.float32))


def made_extreme(rows: np.ndarray, training: np.ndarray, place: int, categories: int, random: Any) -> np.ndarray:
    """Rows with one cell each that training rows do not hold."""
    changed = rows.copy()
    if categories:
        counts = np.bincount(training[:, place].astype(int), minlength=categories + 1)
        changed[:, place] = random.choice(np.flatnonzero(counts == counts.min()), len(rows))
        return changed
    low, high = np.nanmin(training[:, place]), np.nanmax(training[:, place])
    width = max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-6)
    beyond = width * random.uniform(1, 10, len(rows))
    changed[:, place] = np.where(random.random(len(rows)) < 0.5, low - beyond, high + beyond)
    return changed


def measure(name: str) -> dict[str, Any]:
    """Share of rows in which the column that was changed comes first."""
    data, random = normal_rows(name), np.random.default_rng(0)
    order = random.permutation(len(data))
    training = data.values[order[: len(data) // 2]]
    fresh = data.values[order[len(data) // 2 :][:ROWS]]
    detector = AnomalyDetector().fit(Dataset(training, data.schema, None, name)).fitted_.detector
    first, gap = [], 0.0
    for place in range(data.schema.size):
        categories = len(data.schema.columns[place].categories) if data.schema.columns else 0
        rows = torch.from_numpy(made_extreme(fresh, training, place, categories, random))
        shares, scores = detector.contributions(rows), detector.scores(rows)
        first.append(float((shares.argmax(1) == place).double().mean()))
        gap = max(gap, float(((shares.sum(1) - scores) / scores).abs().max()))
    found = {"set": name, "columns": len(first), "ranked_first": round(float(np.mean(first)), 4)}
    found |= {"worst_column": round(min(first), 4), "largest_relative_gap": gap}
    print(found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=SETS)
    options = parser.parse_args()
    began = time.perf_counter()
    figures = {"every": [measure(name) for name in options.sets]}
    protocol = f"{ROWS} fresh normal rows a column, half of the normal rows train; see the head of the script"
    print(record("contributions", figures, seconds=time.perf_counter() - began, protocol=protocol).read_text()[:300])


if __name__ == "__main__":
    main()
