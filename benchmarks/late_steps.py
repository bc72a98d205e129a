"""Steps late in a training beside early ones: what numbers below float32's normal range would cost, and do not.

A processor takes many times as long for numbers below 2^-126. Means that Adam keeps of units at rest come there after
some 800 steps, and slopes where a logistic's tail ends. So these means are put to 0 (`narrows.descent`), and the tail
is cut (`narrows.likelihoods.pixels`). Two trainings from one seed go on in turn, 50 steps each, as it is and without
both, on the embedded images, batches of 128, two threads, float32.

    python benchmarks/late_steps.py

records ``results/late_steps.json``: milliseconds a step around step 300 and around step 1,300, medians of blocks, the
ratio of the late ones, and the largest difference of the weights, as a share of the largest weight.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch

from narrows import descent
from narrows.allocation import keep_freed_memory
from narrows.apps.reading import Reading
from narrows.fit import begin
from narrows.likelihoods import pixels
from narrows.plan import Plan
from record import record

CASES = {
    "autoencoder, mlp": ("autoencoder", ("network=mlp",)),
    "variational, mlp": ("variational", ("network=mlp",)),
    "sparse, convolutional": ("sparse", ()),
    "variational, convolutional": ("variational", ("network=conv",)),
}
BLOCK, STEPS = 50, 1500
EARLY, LATE = range(200, 400), range(1200, STEPS)


@contextmanager
def without() -> Iterator[None]:
    """Within the block nothing is put to 0, and no tail is cut."""
    negligible, certain = descent.NEGLIGIBLE, pixels.CERTAIN
    descent.NEGLIGIBLE, pixels.CERTAIN = 0.0, math.inf
    try:
        yield
    finally:
        descent.NEGLIGIBLE, pixels.CERTAIN = negligible, certain


class Contender:
    """A training, and the milliseconds of its blocks of steps."""

    def __init__(self, preset: str, settings: tuple[str, ...]) -> None:
        data = Reading().read("fashion-sample")
        plan = Plan(epochs=100, validation=0.0, precision="float32")
        self.run = begin(data.values, data.schema, preset, settings, plan).run
        self.batches = iter(self.run.batches)
        self.blocks: list[tuple[int, float]] = []

    def go_on(self) -> None:
        """Take a block of steps."""
        began, step = time.perf_counter(), self.run.step
        for _ in range(BLOCK):
            self.run.update(next(self.batches))
        self.blocks.append((step, 1e3 * (time.perf_counter() - began) / BLOCK))

    def around(self, steps: range) -> list[float]:
        return [spent for step, spent in self.blocks if step in steps]


def compare(preset: str, settings: tuple[str, ...]) -> dict[str, Any]:
    """Both, block by block."""
    ours = Contender(preset, settings)
    with without():
        bare = Contender(preset, settings)
    while ours.run.step < STEPS:
        ours.go_on()
        with without():
            bare.go_on()
    weights, others = (torch.cat([w.detach().flatten() for w in one.run.model.parameters()]) for one in (ours, bare))
    late = list(zip(ours.around(LATE), bare.around(LATE), strict=True))
    return {
        "early_ms": round(median(ours.around(EARLY)), 2),
        "late_ms": round(median(own for own, _ in late), 2),
        "late_ms_without": round(median(other for _, other in late), 2),
        "times_as_fast": round(median(other / own for own, other in late), 2),
        "largest_difference_of_weights": float((weights - others).abs().max() / others.abs().max()),
    }


def main() -> None:
    torch.set_num_threads(2)
    keep_freed_memory()
    began, figures = time.perf_counter(), {}
    for name, case in CASES.items():
        figures[name] = compare(*case)
        print(name, figures[name], flush=True)
    protocol = (
        f"the embedded images, batch 128, two threads, float32; {STEPS} steps from one seed each, in turn by blocks of "
        f"{BLOCK}; medians of the blocks from steps {EARLY.start} to {EARLY.stop} and {LATE.start} to {LATE.stop}"
    )
    record("late_steps", figures, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
