"""Anomaly detection on the ADBench tables, against neighbours, Mahalanobis distance and PyOD, on the same arrays.

Protocols (all: seeded shuffle, three seeds, one default configuration for every set, no labels in training):
``clean``: train on a random half of the normal rows, test on the other half and all anomalies; nothing dropped, no
bootstrap. ``dte``: as published for DTE: sets under 1,000 rows are bootstrapped to 1,000 before the split, larger ones
train on the first half of the normal rows. ``contaminated``: train on all rows, anomalies included, and score them.
Everyone but narrows, which scales by itself, gets columns standardised with the training statistics.

    NARROWS_DATA=... python benchmarks/anomaly.py --protocol clean

needs ``pip install pyod`` beside narrows. Each figure is kept in ``results/anomaly_<protocol>.jsonl`` as soon as it is
there, so a run that was stopped goes on; the summary is recorded in ``results/anomaly_<protocol>.json``, and mean
ranks are drawn in ``docs/pictures/anomaly_<protocol>.png``. With ``--cap 10000``, training rows at most and five times
as many test rows, the names end in ``_capped``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata, wilcoxon
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from narrows import AnomalyDetector
from rank_plot import draw
from record import RESULTS, ROOT, record

SEEDS = (0, 1, 2)
MOST_CPU_SECONDS = 200  # for one contender on one split
DTE_ROWS = 1000

# Training rows, test rows, and labels of the test rows.
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]
# Scores of test rows, from training rows and test rows.
Contender = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def ours(preset: str, **options: Any) -> Contender:
    """narrows, on raw columns."""

    def score(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        detector = AnomalyDetector(preset, random_state=seed, **options).fit(train.astype(np.float32))
        return -detector.score_samples(test.astype(np.float32))

    return score


def standardised(score: Contender) -> Contender:
    """Give a contender columns of mean 0 and deviation 1 on the training rows."""

    def scaled(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        mean, spread = train.mean(0), train.std(0)
        spread[spread == 0] = 1
        scaled_train = (train - mean) / spread
        return score(scaled_train, scaled_train if test is train else (test - mean) / spread, seed)

    return scaled


def neighbours(k: int) -> Contender:
    """Mean distance to the k nearest training rows, other than the row itself where training rows are scored."""

    def score(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        return NearestNeighbors(n_neighbors=k).fit(train).kneighbors(None if test is train else test)[0].mean(1)

    return standardised(score)


def mahalanobis(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Distance from the training mean in units of the training covariance."""
    return EmpiricalCovariance().fit(train).mahalanobis(test)


def pyod(name: str) -> Contender:
    """A PyOD detector at its defaults; where training rows are scored, by the scores that it gives them itself."""

    def score(train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
        module = __import__(f"pyod.models.{PYOD[name]}", fromlist=[name])
        made = getattr(module, name)
        seeded = {"random_state": seed} if "random_state" in made.__init__.__code__.co_varnames else {}
        if name == "DeepSVDD":
            seeded["n_features"] = train.shape[1]
        fitted = made(**seeded).fit(train)
        return fitted.decision_scores_ if test is train else fitted.decision_function(test)

    return standardised(score)


PYOD = {
    "KNN": "knn",
    "LOF": "lof",
    "IForest": "iforest",
    "ECOD": "ecod",
    "MCD": "mcd",
    "AutoEncoder": "auto_encoder",
    "VAE": "vae",
    "DeepSVDD": "deep_svdd",
}
CONTENDERS: dict[str, Contender] = {
    "narrows": ours("detector"),
    "narrows without its network": ours("detector-without-network"),
    "narrows, networks alone": ours("detector-fast"),
    "1-NN": neighbours(1),
    "5-NN": neighbours(5),
    "Mahalanobis": standardised(mahalanobis),
    **{f"PyOD {name}": pyod(name) for name in PYOD},
}


def sets() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, rows and labels (1 = anomaly) of every set, the smallest files first."""
    folder = Path(os.environ["NARROWS_DATA"]) / "adbench"
    for path in sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_size):
        with np.load(path) as kept:
            yield path.stem, kept["X"].astype(np.float64), kept["y"].ravel().astype(int)


def split(x: np.ndarray, y: np.ndarray, protocol: str, seed: int, cap: int) -> Arrays:
    """Training rows, test rows, and labels of the test rows."""
    random = np.random.default_rng(seed)
    if protocol == "dte" and len(x) < DTE_ROWS:
        chosen = random.choice(len(x), DTE_ROWS)
        x, y = x[chosen], y[chosen]
    if protocol != "dte":
        order = random.permutation(len(x))
        x, y = x[order], y[order]
    if protocol == "contaminated":
        kept = slice(0, cap or len(x))
        rows = x[kept]
        return rows, rows, y[kept]
    normal = np.flatnonzero(y == 0)
    half = len(normal) // 2
    train, rest = normal[:half], np.concatenate([normal[half:], np.flatnonzero(y == 1)])
    if cap:
        train = random.choice(train, min(cap, len(train)), replace=False)
        rest = random.choice(rest, min(5 * cap, len(rest)), replace=False)
    return x[train], x[rest], y[rest]


def measure(protocol: str, names: list[str], cap: int, store: Path) -> list[dict[str, Any]]:
    """Every figure, taken from the store where it is there already."""
    known = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    done = {(row["set"], row["seed"], row["contender"]) for row in known if row["cap"] == cap}
    for name, x, y in sets():
        for seed in SEEDS:
            arrays = split(x, y, protocol, seed, cap)
            for contender in names:
                if (name, seed, contender) in done:
                    continue
                late = next((row for row in known if too_late(row, name, contender, cap)), None)
                found = {**late, "seed": seed} if late else one(contender, arrays, seed)
                row = {**found, "set": name, "seed": seed, "contender": contender, "cap": cap}
                known.append(row)
                with store.open("a") as lines:
                    lines.write(json.dumps(row) + "\n")
                print(row, flush=True)
    return [row for row in known if row["cap"] == cap and row["contender"] in names]


def one(contender: str, arrays: Arrays, seed: int) -> dict[str, Any]:
    """AUROC and average precision of one contender on one split, in points.

    One that fails, or is not done in so many seconds, scores as chance does.
    """
    train, test, labels = arrays
    began, worked = time.perf_counter(), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, MOST_CPU_SECONDS)
    try:
        scores, failed = CONTENDERS[contender](train, test, seed), None
    except Exception as error:  # a contender that cannot take a set is part of the result
        scores, failed = np.zeros(len(test)), " ".join(f"{type(error).__name__}: {error}".split())[:200]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    scores = np.nan_to_num(np.asarray(scores, dtype=np.float64))
    return {
        "auroc": round(100 * roc_auc_score(labels, scores), 3),
        "average_precision": round(100 * average_precision_score(labels, scores), 3),
        "seconds": round(time.perf_counter() - began, 3),
        "cpu_seconds": round(time.process_time() - worked, 3),
        **({"failed": failed} if failed else {}),
    }


def too_late(row: dict[str, Any], name: str, contender: str, cap: int) -> bool:
    """Whether a row says that this contender was not done in time on this set: then other seeds are not tried."""
    of_this = (row["set"], row["contender"], row["cap"]) == (name, contender, cap)
    return of_this and str(row.get("failed", "")).startswith(TimeoutError.__name__)


def give_up(signum: int, frame: object) -> None:
    """End a contender that takes too long."""
    raise TimeoutError(f"not done in {MOST_CPU_SECONDS} CPU seconds")


def summary(rows: list[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """Means over sets (of means over seeds), ranks, and paired tests of narrows against each other contender.

    Where a contender failed on a set, the set is left out of its comparison with narrows, and named; means are also
    given over the sets on which none failed.
    """
    failed = {(row["set"], row["contender"]) for row in rows if "failed" in row}
    places = sorted({row["set"] for row in rows})
    whole = np.array([not any((held, name) in failed for name in names) for held in places])
    tables = {figure: by_set(rows, names, figure) for figure in ("auroc", "average_precision", "seconds")}
    found: dict[str, Any] = {"sets": len(places), "sets_done_by_all": int(whole.sum())}
    found |= {"means": {}, "narrows_against": {}}
    for figure in ("auroc", "average_precision"):
        table = tables[figure]
        ranks = np.mean([rankdata(-line) for line in table], axis=0)
        for place, name in enumerate(names):
            entry = found["means"].setdefault(name, {})
            entry[figure] = round(float(table[:, place].mean()), 2)
            entry[f"{figure}_where_all_are_done"] = round(float(table[whole, place].mean()), 2)
            entry[f"{figure}_mean_rank"] = round(float(ranks[place]), 2)
            entry["median_seconds"] = round(float(np.median(tables["seconds"][:, place])), 2)
            if name != names[0]:
                there = np.array([(held, name) not in failed for held in places])
                gain = (table[:, 0] - table[:, place])[there]
                test = wilcoxon(gain).pvalue if gain.any() else 1.0
                without = np.delete(gain, gain.argmax())
                found["narrows_against"].setdefault(name, {})[figure] = {
                    "gain": round(float(gain.mean()), 2),
                    "gain_without_the_set_that_gains_most": round(float(without.mean()), 2),
                    "sets_better": int((gain > 0).sum()),
                    "wilcoxon_p": round(float(test), 5),
                    "failed_on": sorted(held for held, other in failed if other == name),
                }
    return found


def by_set(rows: list[dict[str, Any]], names: list[str], figure: str) -> np.ndarray:
    """Means over seeds, shape (sets, contenders)."""
    places = sorted({row["set"] for row in rows})
    cells: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        cells.setdefault((row["set"], row["contender"]), []).append(row[figure])
    return np.array([[np.mean(cells[place, name]) for name in names] for place in places])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=("clean", "dte", "contaminated"), default="clean")
    parser.add_argument("--cap", type=int, default=0, help="training rows at most, and five times as many test rows")
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS))
    parser.add_argument("--store", type=Path)
    options = parser.parse_args()
    began = time.perf_counter()
    signal.signal(signal.SIGPROF, give_up)
    if options.protocol == "contaminated":
        CONTENDERS["narrows"] = ours("detector", contaminated=True)
        CONTENDERS["narrows without its network"] = ours("detector-without-network", contaminated=True)
    store = options.store or RESULTS / f"anomaly_{options.protocol}.jsonl"
    rows = measure(options.protocol, options.contenders, options.cap, store)
    figures = {**summary(rows, options.contenders), "cap": options.cap, "every": rows}
    ranks = {name: entry["auroc_mean_rank"] for name, entry in figures["means"].items()}
    title = f"Mean rank by AUROC, protocol {options.protocol}, {figures['sets']} sets"
    name = f"anomaly_{options.protocol}" + "_capped" * bool(options.cap)
    draw(ranks, figures["sets"], title, ROOT / "docs" / "pictures" / f"{name}.png")
    protocol = f"{options.protocol}, seeds {SEEDS}, cap {options.cap or 'none'}; see the head of benchmarks/anomaly.py"
    record(name, figures, seconds=time.perf_counter() - began, protocol=protocol)
    print(json.dumps({key: value for key, value in figures.items() if key != "every"}, indent=1))


if __name__ == "__main__":
    main()
