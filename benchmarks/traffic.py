"""Network traffic from its raw text columns: NSL-KDD and KDD Cup 99, without a line of preparation.

NSL-KDD (train 20 %, headerless, three text columns): half of the normal rows train, the other half and all attacks are
scored, three seeds. The label, and the last column (difficulty), never reach the model. The baselines get the same rows
with text columns one-hot and everything standardised with training statistics. KDD Cup 99, 10 % (494,021 rows): read,
fitted on half of the normal rows, all other rows scored, in a process of its own, for its seconds and peak memory.

    NARROWS_DATA=... python benchmarks/traffic.py

needs ``pip install pyod`` beside narrows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from anomaly import CONTENDERS
from narrows import AnomalyDetector, Dataset, read
from record import record

SEEDS = (0, 1, 2)
NSL = "nsl_kdd/KDDTrain+_20Percent.txt.gz"
KDD = "kdd/kddcup.data_10_percent.gz"
BASELINES = [name for name in CONTENDERS if not name.startswith("narrows")]


def traffic(file: str, label: str, ignore: tuple[str, ...]) -> tuple[Dataset, np.ndarray]:
    """Rows, and 1 for each that is an attack."""
    data = read(Path(os.environ["NARROWS_DATA"]) / file, header=False, label=label, ignore=ignore)
    assert data.labels is not None
    names = np.char.rstrip(data.labels.astype(str), ".")
    return data, (names != "normal").astype(int)


def split(attack: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of training rows, half of the normal ones, and of all others."""
    random = np.random.default_rng(seed)
    normal = random.permutation(np.flatnonzero(attack == 0))
    half = len(normal) // 2
    return normal[:half], np.concatenate([normal[half:], np.flatnonzero(attack == 1)])


def part(data: Dataset, places: np.ndarray) -> Dataset:
    """Some rows of a data set."""
    return Dataset(data.values[places], data.schema, None, data.source)


def one_hot(data: Dataset) -> np.ndarray:
    """Numbers as they are, categories as one column each."""
    columns = []
    for place, column in enumerate(data.schema.columns or ()):
        cells = data.values[:, place]
        columns += [cells == value for value in range(len(column.categories))] if column.categories else [cells]
    return np.stack(columns, 1).astype(np.float64)


def nsl(contenders: list[str]) -> dict[str, Any]:
    """Mean AUROC and average precision over three seeds, of narrows and of baselines."""
    data, attack = traffic(NSL, "c41", ("c42",))
    dense = one_hot(data)
    every: dict[str, list[tuple[float, float, float]]] = {}
    for seed in SEEDS:
        train, test = split(attack, seed)
        for name in ["narrows", *contenders]:
            began = time.perf_counter()
            if name == "narrows":
                detector = AnomalyDetector(random_state=seed).fit(part(data, train))
                scores = -detector.score_samples(part(data, test))
            else:
                scores = np.nan_to_num(CONTENDERS[name](dense[train], dense[test], seed))
            seconds = time.perf_counter() - began
            figures = roc_auc_score(attack[test], scores), average_precision_score(attack[test], scores)
            every.setdefault(name, []).append((*figures, seconds))
            print(name, seed, [round(float(figure), 4) for figure in figures], round(seconds, 1), flush=True)
    names = ("auroc", "average_precision", "seconds")
    return {
        name: {figure: round(float(mean), 4) for figure, mean in zip(names, np.mean(runs, 0), strict=True)}
        for name, runs in every.items()
    }


def kdd() -> None:
    """Read, fit and score KDD Cup 99 10 %, and print the figures."""
    began = time.perf_counter()
    data, attack = traffic(KDD, "c41", ())
    read_in = time.perf_counter() - began
    train, test = split(attack, 0)
    detector = AnomalyDetector(random_state=0).fit(part(data, train))
    fitted_in = time.perf_counter() - began - read_in
    scores = -detector.score_samples(part(data, test))
    seconds = time.perf_counter() - began
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(len(data), read_in, fitted_in, seconds, int(peak.split()[1]) / 2**20, roc_auc_score(attack[test], scores))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", nargs="*", default=BASELINES)
    parser.add_argument("--kdd", action="store_true", help="only KDD Cup 99, in this process")
    options = parser.parse_args()
    if options.kdd:
        kdd()
        return
    began = time.perf_counter()
    done = subprocess.run([sys.executable, __file__, "--kdd"], capture_output=True, text=True, check=True)
    names = ("rows", "seconds_to_read", "seconds_to_fit", "seconds", "peak_memory_gib", "auroc")
    large = dict(zip(names, map(float, done.stdout.split()), strict=True))
    figures = {"nsl_kdd": nsl(options.contenders), "kdd99_10_percent": large}
    protocol = "half of the normal rows train; see the head of benchmarks/traffic.py"
    print(record("traffic", figures, seconds=time.perf_counter() - began, protocol=protocol).read_text())


if __name__ == "__main__":
    main()
