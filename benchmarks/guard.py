"""A guard against lost speed: what narrows does, in a short form, as ratios to plain loops in the same process.

Each pair is a piece of work of ours and a reference that does the like by a loop of a few lines or by another library's
call; they take turns in an order of chance, and what counts is the median over the rounds of ours to the reference, in
examples a second. What slows one of the two slows the other, so that a ratio hangs less on the machine than a speed
does; still it is of use on the kind of machine that it was recorded on. The process keeps what memory it frees, as
narrows' command line does, or its return and renewal would move ratios by a fifth.

    python benchmarks/guard.py               # about three minutes; exit 1 where a ratio has fallen by more than a fifth
    python benchmarks/guard.py --record      # these ratios from now on, in results/guard.json
    python benchmarks/guard.py --only train-100 score

The claims have their scripts, their data and their time; this one sees in a short time whether a change has made
something slower.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable

import torch

import pairs_coding
import pairs_files
import pairs_scoring
import pairs_serving
import pairs_training
from narrows.allocation import keep_freed_memory
from pairs import Pair
from record import RESULTS, record

ROUNDS = 9
ALLOWED = 0.8  # of the recorded ratio: noise of a busy machine moves medians by less
MODULES = (pairs_training, pairs_scoring, pairs_coding, pairs_files, pairs_serving)
PAIRS: dict[str, Callable[[], Pair]] = {name: pair for module in MODULES for name, pair in module.PAIRS.items()}


def ratio(pair: Pair, rounds: int) -> float:
    """Median over the rounds of our examples a second to those of the reference."""
    order, ratios = random.Random(0), []
    for turn in range(rounds + 1):
        speed = {}
        for name, work in order.sample([("ours", pair.ours), ("reference", pair.reference)], 2):
            began = time.perf_counter()
            examples = work()
            speed[name] = examples / (time.perf_counter() - began)
        if turn:  # the first round warms up
            ratios.append(speed["ours"] / speed["reference"])
    return statistics.median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PAIRS), default=list(PAIRS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--record", action="store_true", help="take these ratios as those to keep")
    options = parser.parse_args()
    keep_freed_memory()
    path, began = RESULTS / "guard.json", time.perf_counter()
    kept: dict[str, float] = json.loads(path.read_text())["figures"]["ratios"] if path.exists() else {}
    found, slower = {}, []
    for name in options.only:
        torch.manual_seed(0)
        found[name] = ratio(PAIRS[name](), options.rounds)
        share = found[name] / kept[name] if name in kept else None
        if share is not None and share < ALLOWED:
            slower.append(name)
        told = "not recorded" if share is None else f"{share:.2f} of the recorded {kept[name]:.3g}"
        print(f"{name:20} {found[name]:8.3g}  {told}", flush=True)
    if options.record:
        figures = {"ratios": {**kept, **found}, "rounds": options.rounds}
        record(
            "guard", figures, seconds=time.perf_counter() - began, protocol="ours to the reference, median of rounds"
        )
    elif slower:
        sys.exit(f"slower than recorded by more than {1 - ALLOWED:.0%}: {', '.join(slower)}")


if __name__ == "__main__":
    main()
