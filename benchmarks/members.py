"""Eight models trained at once, by ``--members``, beside the same eight one after the other.

A VAE of an MLP as the preset has it, on a table of 30 correlated columns, 10,000 rows, and on binary images of 28 x 28
pixels; and on the table one of 64 units in a layer, whose steps are mostly not arithmetic. Batches of 128, two threads.
Both train the same seeds for the same epochs through the package's own front door, in turn, in one process; a round's
ratio is that of their times, the first round is not counted.

    python benchmarks/members.py [--only table table-64 images] [--rounds 5]

records ``results/members.json``: seconds of both, the median of the ratios, and the largest difference of held-out nats
between a member and its seed alone, as a share.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch

from binary_images import images
from narrows.allocation import keep_freed_memory
from narrows.data.schema import Schema, infer_schema
from narrows.fit import fit
from narrows.members import fit_members
from narrows.persist import Fitted
from narrows.plan import Plan
from record import record

MEMBERS = 8
ROUNDS = 5
PLAN = Plan(epochs=2, batch_size=128, precision="float32")


def table(rows: int = 10_000, columns: int = 30, factors: int = 5) -> np.ndarray:
    """Rows of correlated columns."""
    random = np.random.default_rng(0)
    hidden = random.normal(size=(rows, factors)) @ random.normal(size=(factors, columns))
    return (hidden + random.normal(size=(rows, columns))).astype("float32")


def of_images() -> tuple[np.ndarray, Schema]:
    """Ten thousand of them as rows, with their schema."""
    data = images(10_000)
    schema = infer_schema(data)
    return schema.from_user(data), schema


def of_table() -> tuple[np.ndarray, Schema]:
    rows = table()
    return rows, infer_schema(rows)


Data = Callable[[], tuple[np.ndarray, Schema]]
CASES: dict[str, tuple[Data, tuple[str, ...]]] = {
    "table": (of_table, ()),
    "table-64": (of_table, ("network.width=64",)),
    "images": (of_images, ("network=mlp",)),
}


def held_out(trained: list[Fitted]) -> np.ndarray:
    """Held-out nats of each at the end."""
    return np.array([fitted.record["history"][-1]["validation"]["nats"] for fitted in trained])


def timed(work: Callable[[], list[Fitted]]) -> tuple[float, np.ndarray]:
    began = time.perf_counter()
    trained = work()
    return time.perf_counter() - began, held_out(trained)


def compare(rows: np.ndarray, schema: Schema, settings: tuple[str, ...], rounds: int) -> dict[str, Any]:
    """Seconds of both in each round, and how far their figures are apart."""
    plans = [dataclasses.replace(PLAN, seed=seed) for seed in range(MEMBERS)]
    seen: dict[str, list[float]] = {"at_once": [], "one_by_one": []}
    apart = 0.0
    for _ in range(rounds + 1):
        at_once, ours = timed(lambda: fit_members(rows, schema, "variational", settings, PLAN, MEMBERS))
        one_by_one, theirs = timed(lambda: [fit(rows, schema, "variational", settings, plan) for plan in plans])
        seen["at_once"].append(at_once)
        seen["one_by_one"].append(one_by_one)
        apart = max(apart, float((np.abs(ours - theirs) / np.abs(theirs)).max()))
    ratios = np.divide(seen["one_by_one"], seen["at_once"])[1:].tolist()
    return {
        "seconds_at_once": round(median(seen["at_once"][1:]), 3),
        "seconds_one_by_one": round(median(seen["one_by_one"][1:]), 3),
        "times_as_fast": round(median(ratios), 3),
        "times_as_fast_by_round": [round(ratio, 3) for ratio in ratios],
        "largest_difference_of_held_out_nats": float(f"{apart:.2g}"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fewer than the usual ones are not recorded")
    options = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    keep_freed_memory()
    began, figures = time.perf_counter(), dict[str, Any]()
    for case in options.only:
        data, settings = CASES[case]
        figures[case] = compare(*data(), settings, options.rounds)
        print(case, figures[case], flush=True)
    if options.only == list(CASES) and options.rounds >= ROUNDS:
        record("members", figures, seconds=time.perf_counter() - began)


if __name__ == "__main__":
    main()
