"""Training steps captured and replayed beside the same steps computed anew (``--eager``), on the processor.

Each pair trains the same model from the same start on the same batches, in turn, in one process; at the end all that
training keeps must be equal to the last bit. Images are those of ``train_speed.py``, an MLP VAE and one of
convolutions; tables have 30 columns, under an autoencoder of one hidden layer.

    python benchmarks/captured_steps.py [--rounds 25]

records ``results/captured_steps.json``: examples a second of both, the ratio of captured to eager, and the
microseconds that a step is shorter.
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median
from typing import Any

import numpy as np
import torch

from binary_images import images
from contenders import epoch_of, narrows_run, raced
from narrows.allocation import keep_freed_memory
from narrows.train import Run
from record import record

ROUNDS = 25
IMAGES, ROWS, COLUMNS = 5_000, 10_000, 30
PAIRS = {
    "table_16_width_32": ("table", 16, "autoencoder", ("network=mlp", "network.width=32")),
    "table_128_width_64": ("table", 128, "autoencoder", ("network=mlp", "network.width=64")),
    "table_128_width_512": ("table", 128, "autoencoder", ("network=mlp",)),
    "images_100": ("images", 100, "variational", ("network=mlp",)),
    "images_512": ("images", 512, "variational", ("network=mlp",)),
    "convolutions_100": ("images", 100, "variational", ("network=conv", "network.hidden=0")),
    "convolutions_512": ("images", 512, "variational", ("network=conv", "network.hidden=0")),
}


def data_of(kind: str) -> np.ndarray:
    """Binary images, or rows of a table whose columns hang together."""
    if kind == "images":
        return images(IMAGES)
    numbers = np.random.default_rng(0)
    return (numbers.normal(size=(ROWS, 5)) @ numbers.normal(size=(5, COLUMNS))).astype(np.float32)


def check_equal(one: Run, other: Run) -> None:
    """Stop unless weights, moments and the stream of draws of both are the same bits."""
    for name, tensor in one.state()[0].items():
        if not torch.equal(tensor, other.state()[0][name]):
            raise SystemExit(f"{name} of the captured training is not that of the eager one")


def compare(kind: str, batch: int, preset: str, settings: tuple[str, ...], rounds: int) -> dict[str, float]:
    """Examples a second of both."""
    data = data_of(kind)
    runs = {
        name: narrows_run(data, batch, preset=preset, settings=settings, eager=name == "eager")
        for name in ("captured", "eager")
    }
    speed = raced({name: epoch_of(run) for name, run in runs.items()}, rounds)
    check_equal(*runs.values())
    shorter = [batch / slow - batch / fast for slow, fast in zip(speed["eager"], speed["captured"], strict=True)]
    return {
        **{f"{name}_per_second": round(median(seen)) for name, seen in speed.items()},
        "ratio": round(median(np.divide(speed["captured"], speed["eager"]).tolist()), 3),
        "microseconds_saved_a_step": round(1e6 * median(shorter)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PAIRS), default=list(PAIRS))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fewer than the usual ones are not recorded")
    options = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    keep_freed_memory()
    began, figures = time.perf_counter(), dict[str, Any]()
    for name in options.only:
        figures[name] = compare(*PAIRS[name], options.rounds)
        print(name, figures[name], flush=True)
    if options.only == list(PAIRS) and options.rounds >= ROUNDS:
        record("captured_steps", figures, seconds=time.perf_counter() - began)


if __name__ == "__main__":
    main()
