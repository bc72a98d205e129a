"""Gaps filled: 20 % of the cells of five tables removed at random, and told from those that remain.

Every imputer sees the remaining cells alone, the whole table of them, with no label. Three seeds choose the cells, and
seed the imputers. Tables: four ADBench sets (labels left out), and 10,000 rows, drawn by a fixed seed, of NSL-KDD
(train 20 %) from its raw text columns without label and difficulty. They were chosen before any figure was measured on
them; what the preset is was decided on others (docs/imputation.md).

    NARROWS_DATA=... python benchmarks/imputation.py

Figures: for each numeric column, the root mean squared error of the removed cells in units of the column's standard
deviation; the mean and median over columns. Share of the removed categories (columns of two values too) that are
named right. Coverage: share of removed numbers between the 5 % and 95 % quantiles of 100 draws. "linear alone" is the
same model before the first step of its training: factor analysis. Others get categories one-hot (a missing one is
missing in all its columns), and name the largest; KNNImputer, to which scale matters, gets standardised columns.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  it makes the next import possible
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from narrows import Dataset, Plan
from narrows.data.dataset import from_array
from narrows.fit import fit
from narrows.inference import imputations, imputed
from record import record
from traffic import NSL, traffic

SEEDS = (0, 1, 2)
SETS = ("45_wine", "43_WDBC", "6_cardio", "28_pendigits", "nsl-kdd")
NSL_ROWS = 10_000
REMOVED = 0.2
DRAWS = 100
LOW, HIGH = 0.05, 0.95
UNTRAINED = Plan(epochs=1, rate=1e-12)

# Filled cells as a matrix of the schema, and lower and upper end of an interval where the imputer gives one.
Filled = tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]


def whole_table(name: str) -> Dataset:
    """All cells of a table, its constant columns left out."""
    if name == "nsl-kdd":
        data, _ = traffic(NSL, "c41", ("c42",))
        rows = np.sort(np.random.default_rng(0).permutation(len(data))[:NSL_ROWS])
        moving = np.ptp(data.values[rows], axis=0) > 0
        columns = [(j, column) for j, column in enumerate(data.schema.columns or ()) if moving[j]]
        frame = {column.name: _cells(column.categories, data.values[rows, j]) for j, column in columns}
        return from_array(pa.table(frame), source=name)
    with np.load(Path(os.environ["NARROWS_DATA"]) / "adbench" / f"{name}.npz") as kept:
        values = kept["X"].astype(np.float32)
    moving = values[:, np.ptp(values, axis=0) > 0]
    # A gap in a first row of nothing makes it a mixed table, whose kinds of columns are found from its cells.
    frame = {f"c{j}": pa.array([None, *column.tolist()], pa.float32()) for j, column in enumerate(moving.T)}
    data = from_array(pa.table(frame), source=name)
    return Dataset(data.values[1:], data.schema, None, name)


def _cells(categories: tuple[str, ...], cells: np.ndarray) -> pa.Array:
    return pa.array([categories[int(cell)] for cell in cells]) if categories else pa.array(cells)


def spread_out(data: Dataset, values: np.ndarray) -> np.ndarray:
    """Numbers as they are, categories as one column each, NaN in all of them where one is missing."""
    columns = []
    for place, column in enumerate(data.schema.columns or ()):
        cells = values[:, place]
        wide = cells[:, None] == np.arange(len(column.categories)) if column.categories else cells[:, None]
        columns.append(np.where(np.isnan(cells)[:, None], np.nan, wide))
    return np.concatenate(columns, 1).astype(np.float64)


def drawn_in(data: Dataset, wide: np.ndarray) -> np.ndarray:
    """The inverse of `spread_out`: of a category the largest of its columns."""
    columns, start = [], 0
    for column in data.schema.columns or ():
        width = max(1, len(column.categories))
        part = wide[:, start : start + width]
        columns.append(part.argmax(1) if column.categories else part[:, 0])
        start += width
    return np.stack(columns, 1).astype(np.float64)


def by(imputer: Callable[[int], Any], standardised: bool = False) -> Callable[[Dataset, np.ndarray, int], Filled]:
    """Fill with an imputer of scikit-learn's, at its defaults."""

    def filled(data: Dataset, gappy: np.ndarray, seed: int) -> Filled:
        wide = spread_out(data, gappy)
        seen = ~np.isnan(wide).all(0)  # scikit-learn drops a column without a cell
        mean, scale = np.nanmean(wide[:, seen], 0), np.nanstd(wide[:, seen], 0)
        scale = np.where(scale > 0, scale, 1.0) if standardised else np.ones_like(scale)
        out = np.zeros_like(wide)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            out[:, seen] = imputer(seed).fit_transform((wide[:, seen] - mean) / scale) * scale + mean
        return drawn_in(data, out), None

    return filled


def narrows(plan: Plan | None = None) -> Callable[[Dataset, np.ndarray, int], Filled]:
    """Fill with preset imputing, at its defaults."""

    def filled(data: Dataset, gappy: np.ndarray, seed: int) -> Filled:
        fitted = fit(gappy, data.schema, "imputing", plan=plan or Plan(seed=seed))
        rows = torch.from_numpy(gappy)
        cells = imputed(fitted.model, rows)[0].double().numpy()
        chunks = (imputations(fitted.model, part, DRAWS).numpy() for part in rows.split(500))
        low, high = np.concatenate([np.quantile(draws, (LOW, HIGH), 1) for draws in chunks], 1)
        return cells, (low, high)

    return filled


IMPUTERS: dict[str, Callable[[Dataset, np.ndarray, int], Filled]] = {
    "narrows": narrows(),
    "narrows, linear alone": narrows(UNTRAINED),
    "mean and mode": by(lambda seed: SimpleImputer()),
    "IterativeImputer": by(lambda seed: IterativeImputer(random_state=seed)),
    "KNNImputer": by(lambda seed: KNNImputer(), standardised=True),
}


def figures_of(data: Dataset, removed: np.ndarray, filled: Filled) -> dict[str, Any]:
    """What the removed cells say of what they were filled with."""
    cells, interval = filled
    errors, right, inside = [], [], []
    for place, column in enumerate(data.schema.columns or ()):
        rows = removed[:, place]
        truth, guess = data.values[rows, place].astype(np.float64), cells[rows, place]
        if column.categories:
            right.append(truth == guess)
            continue
        deviation = data.values[:, place].astype(np.float64).std()
        errors.append(float(np.sqrt(np.mean(((truth - guess) / deviation) ** 2))))
        if interval is not None:
            inside.append((interval[0][rows, place] <= truth) & (truth <= interval[1][rows, place]))
    return {
        "rmse_mean": round(float(np.mean(errors)), 4),
        "rmse_median": round(float(np.median(errors)), 4),
        "rmse_by_column": [round(error, 4) for error in errors],
        "accuracy": round(float(np.concatenate(right).mean()), 4) if right else None,
        "coverage_90": round(float(np.concatenate(inside).mean()), 4) if inside else None,
    }


def measure(name: str, seed: int, imputers: list[str]) -> list[dict[str, Any]]:
    """Figures of every imputer on one table with one choice of cells."""
    data = whole_table(name)
    removed = np.random.default_rng(seed).random(data.values.shape) < REMOVED
    gappy = np.where(removed, np.float32(np.nan), data.values)
    kinds = [bool(column.categories) for column in data.schema.columns or ()]
    shape = {"rows": len(data), "numeric": kinds.count(False), "categorical": kinds.count(True)}
    runs = []
    for imputer in imputers:
        began = time.perf_counter(), time.process_time()
        filled = IMPUTERS[imputer](data, gappy, seed)
        seconds = {
            "seconds": round(time.perf_counter() - began[0], 2),
            "cpu_seconds": round(time.process_time() - began[1], 2),
        }
        run = {"set": name, **shape, "seed": seed, "imputer": imputer, **figures_of(data, removed, filled), **seconds}
        shown = {key: value for key, value in run.items() if key != "rmse_by_column"}
        print(shown, flush=True)
        runs.append(run)
    return runs


def summary(runs: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Means over seeds by table and imputer."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for run in runs:
        alike = [other for other in runs if (other["set"], other["imputer"]) == (run["set"], run["imputer"])]
        names = ("rmse_mean", "rmse_median", "accuracy", "coverage_90", "cpu_seconds")
        known = [figure for figure in names if run[figure] is not None]
        means = {figure: round(float(np.mean([other[figure] for other in alike])), 4) for figure in known}
        found.setdefault(run["set"], {})[run["imputer"]] = means
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--imputers", nargs="+", default=list(IMPUTERS), choices=IMPUTERS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    options = parser.parse_args()
    began = time.perf_counter()
    runs = [run for seed in options.seeds for name in options.sets for run in measure(name, seed, options.imputers)]
    protocol = "20 % of the cells removed at random, three seeds, means over seeds; see the head of the script"
    figures = {"summary": summary(runs), "every": runs}
    print(record("imputation", figures, seconds=time.perf_counter() - began, protocol=protocol).read_text()[:300])


if __name__ == "__main__":
    main()
