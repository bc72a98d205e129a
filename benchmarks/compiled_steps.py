"""Training steps compiled by torch.compile beside ours computed anew (``--eager``): whether compiling repays.

The VAEs of ``train_speed.py``, of an MLP and of convolutions, in batches of 100 and 512. Compiled is the loss with its
gradient, which is all of a step but the optimizer's one call; what stands in the way of one graph goes: draws come from
torch's own generator, and the cross-entropy and the convolutions of few channels are torch's, which the compiler fuses
with what is around them. Both train an epoch of 5,000 images each in turn, in one process.

    python benchmarks/compiled_steps.py [--only mlp conv] [--rounds 15]

records ``results/compiled_steps.json``: images a second, the ratio of compiled to ours, and the seconds to compile. It
needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from binary_images import images
from contenders import epoch_of, narrows_epoch, narrows_run, raced
from narrows.allocation import keep_freed_memory
from narrows.likelihoods import pixels
from narrows.networks import halving
from narrows.noise import Noise
from record import record

NETWORKS = {"mlp": ("network=mlp",), "conv": ("network=conv", "network.hidden=0")}
SIZES = (100, 512)
ROUNDS = 15
IMAGES = 5_000


class OfTorch(Noise):
    """Draws from torch's own generator: a graph cannot hold another."""

    def _spread(self, draw: Callable[..., Tensor], shape: Sequence[int], rows: int) -> Tensor:
        return draw(tuple(shape))


def in_graphs(ours: Callable[..., Tensor], of_torch: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Ours, and while a graph is made what torch has in its place."""

    def either(*given: Tensor) -> Tensor:
        return of_torch(*given) if torch.compiler.is_compiling() else ours(*given)

    return either


def make_traceable() -> None:
    """Have graphs take torch's own cross-entropy and convolutions; steps that are not compiled keep ours."""

    def cross_entropy(logits: Tensor, bits: Tensor) -> Tensor:
        return -F.binary_cross_entropy_with_logits(logits, bits, reduction="none").sum(-1)

    def halved(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(maps, weight, bias, 2, 1)

    def doubled(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv_transpose2d(maps, weight, bias, 2, 1)

    pixels.log_prob_of_bits = in_graphs(pixels.log_prob_of_bits, cross_entropy)
    halving.halved = in_graphs(halving.halved, halved)
    halving.doubled = in_graphs(halving.doubled, doubled)


def compare(data: np.ndarray, network: str, batch: int, rounds: int) -> dict[str, float]:
    """Images a second of both, round by round, and what compiling took."""
    run = narrows_run(data, batch, settings=NETWORKS[network], eager=True)
    run.noise = OfTorch(0)
    run.model.loss = torch.compile(run.model.loss, dynamic=False)
    compiled, began = epoch_of(run), time.perf_counter()
    compiled()
    seconds = time.perf_counter() - began
    ours = narrows_epoch(data, batch, settings=NETWORKS[network], eager=True)
    speed = raced({"ours": ours, "compiled": compiled}, rounds)
    return {
        "ours_images_per_second": round(median(speed["ours"])),
        "compiled_images_per_second": round(median(speed["compiled"])),
        "ratio_of_compiled_to_ours": round(median(np.divide(speed["compiled"], speed["ours"]).tolist()), 3),
        "seconds_of_the_first_epoch": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fewer than the usual ones are not recorded")
    options = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    keep_freed_memory()
    make_traceable()
    began, figures, data = time.perf_counter(), dict[str, Any](), images(IMAGES)
    for network in options.only:
        for batch in SIZES:
            figures[f"{network}_{batch}"] = compare(data, network, batch, options.rounds)
            print(network, batch, figures[f"{network}_{batch}"], flush=True)
    if options.only == list(NETWORKS) and options.rounds >= ROUNDS:
        record("compiled_steps", figures, seconds=time.perf_counter() - began)


if __name__ == "__main__":
    main()
