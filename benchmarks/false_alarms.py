"""Whether a stated false-alarm rate is kept: realised rates on fresh normal rows, pooled over random splits.

For each set and each of 20 seeds the normal rows are shuffled; half train the detector, which calibrates itself on m of
them, and the other half, t rows, are fresh. The number of their p-values at or below r is then beta-binomial with
a = floor(r (m + 1)): Binomial(t, q), q from Beta(a, m + 1 - a). Pooled over the splits, taken for independent, the
share of false alarms has a 99 % interval, corrected for the number of comparisons (Bonferroni). It holds from above
where scores tie, as those of doubled rows do; from below it then need not.

    NARROWS_DATA=... python benchmarks/false_alarms.py
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from narrows import AnomalyDetector, read
from record import record

RATES = (0.01, 0.05, 0.10)
SPLITS = 20
ROWS = 4000  # of larger sets, drawn anew for each split
SETS = (
    "2_annthyroid",
    "6_cardio",
    "11_donors",
    "16_http",
    "19_landsat",
    "23_mammography",
    "28_pendigits",
    "30_satellite",
    "32_shuttle",
    "38_thyroid",
)
IMAGES = "fashion-sample"
LEVEL = 0.99
DRAWS = 20_000


def normal_rows(name: str) -> np.ndarray:
    """Normal rows of a set; of the images one class, so that there is something to be abnormal about."""
    if name == IMAGES:
        data = read(name)
        return np.asarray(data.schema.to_user(data.values))
    with np.load(Path(os.environ["NARROWS_DATA"]) / "adbench" / f"{name}.npz") as kept:
        return np.asarray(kept["X"][kept["y"].ravel() == 0], dtype=np.float32)


def one_split(rows: np.ndarray, seed: int) -> tuple[np.ndarray, int, int]:
    """False alarms at each rate, calibration rows, fresh rows."""
    order = np.random.default_rng(seed).permutation(len(rows))[:ROWS]
    half = len(order) // 2
    detector = AnomalyDetector(random_state=seed).fit(rows[order[:half]])
    p = detector.p_values(rows[order[half:]])
    return np.array([(p <= rate).sum() for rate in RATES]), len(detector.fitted_.detector.calibration), len(p)


def interval(m: list[int], t: list[int], rate: float, comparisons: int) -> tuple[float, float]:
    """Corrected 99 % interval of the pooled share of false alarms that split-conformal promises."""
    random = np.random.default_rng(0)
    total = np.zeros(DRAWS)
    for calibration, fresh in zip(m, t, strict=True):
        at_most = math.floor(rate * (calibration + 1) + 1e-9)
        if at_most:
            total += random.binomial(fresh, random.beta(at_most, calibration + 1 - at_most, DRAWS))
    outside = (1 - LEVEL) / comparisons / 2
    low, high = np.quantile(total / sum(t), [outside, 1 - outside])
    return float(low), float(high)


def measure(name: str, comparisons: int) -> list[dict[str, Any]]:
    """One record a rate."""
    rows = normal_rows(name)
    alarms, m, t = zip(*(one_split(rows, seed) for seed in range(SPLITS)), strict=True)
    found = []
    for place, rate in enumerate(RATES):
        realised = float(sum(count[place] for count in alarms) / sum(t))
        low, high = interval(list(m), list(t), rate, comparisons)
        found.append(
            {
                "set": name,
                "rate": rate,
                "realised": round(realised, 5),
                "interval": [round(low, 5), round(high, 5)],
                "within": low <= realised <= high,
                "calibration_rows": int(np.mean(m)),
                "fresh_rows": sum(t),
            }
        )
        print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=[*SETS, IMAGES])
    options = parser.parse_args()
    began = time.perf_counter()
    comparisons = len(options.sets) * len(RATES)
    every = [line for name in options.sets for line in measure(name, comparisons)]
    figures = {"within": sum(line["within"] for line in every), "comparisons": comparisons, "every": every}
    protocol = f"{SPLITS} splits, half of at most {ROWS} normal rows for training; 99 % corrected for {comparisons}"
    print(record("false_alarms", figures, seconds=time.perf_counter() - began, protocol=protocol).read_text()[:400])


if __name__ == "__main__":
    main()
