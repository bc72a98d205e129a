"""Images a second in training, against pythae and a hand-written loop.

The same model everywhere, on binarised images, by BCE and Adam:

- ``mlp``: a VAE 784-512-(2 x 16)-512-784, ReLU; beside it what a person who knows torch writes by hand, and the
  products of matrices of a step alone
- ``conv``: a VAE of convolutions 1-32-64, kernel 4, stride 2, and a linear map to 2 x 16; mirrored

All train one epoch each in turn, in one process, which keeps what memory it frees, as narrows' command line does;
medians and ratios are over the rounds. At batches of 100 what the others' Adam keeps of pixels that are seldom lit has
left float32's normal range after some 800 steps, from where on a processor may take half as long again: the ratio of
the first 600 steps stands beside that of all. Ours trains in float32, and, where the processor multiplies another type
faster, as ``--precision auto`` would.

    python benchmarks/train_speed.py [--only mlp conv]

records ``results/train_speed.json`` and ``results/train_speed_conv.json``; it needs ``pip install pythae`` beside
narrows.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from statistics import median

import numpy as np
import torch

from binary_images import images
from contenders import Contender, narrows_epoch, products, pythae_epoch, raced, ratios, tuned_epoch
from narrows.allocation import keep_freed_memory
from narrows.train import precision_for
from record import record

STEPS_BEFORE = 600
ROUNDS = {"mlp": 120, "conv": 30}  # minutes of it: how fast this machine is comes and goes
RECORDS = {"mlp": "train_speed", "conv": "train_speed_conv"}
TRIED = {
    "mlp": (
        "What made it faster stands: Adam's kernel called without torch's optimizer, memory kept from step to step (to "
        "get it anew took a fifth of the time), no gradient handed to backward, the cross-entropy by one exponential a "
        "cell and one logarithm of the product of eight probabilities (half of the time of torch's; of a step 2 to 4 % "
        "at 512, nothing at 100), steps captured and replayed as a list of operations (captured_steps.json). Left, as "
        "slower or no faster: products by oneDNN in place of MKL (OpenBLAS multiplies as fast as MKL), a cross-entropy "
        "through torch's own parts (.65 to .97 of its speed), huge pages, the divergence as one function (0.5 % at "
        "100), a gradient of the ReLU in place (1 % of the convolutions, slower in the mlp), products without their "
        "offsets, which are added in place (1 % slower), steps compiled by torch.compile (compiled_steps.json). Grey "
        "values are standardised by a row of factors (0.5 %)."
    ),
    "conv": (
        "What made it faster stands: channels last in training (1.18 times pythae at 100, 1.26 at 512, with layers of "
        "few channels by the four phases of their stride), these layers as one product of matrices for that, no "
        "map permuted where the weights of the linear layer beside it are fewer, the transpose of the lowering in two "
        "passes; offsets of transposed convolutions that learn apart from the product, for whose slope torch takes as "
        "long as for that of all its weights (8 % at 512); memory kept from step to step, from which pythae gains too "
        "where both are in one process. Left: parts of a batch at a time, so that what is lowered stays in the cache "
        "(no faster), torch's fold (2.6 times slower at 512), steps compiled by torch.compile (compiled_steps.json). "
        "Steps are captured and replayed, which gains 6 to 9 % at 100 and up to 3 % at 512 (captured_steps.json). By "
        "arithmetic, from parts timed alone: Winograd's minimal algorithms, in torch's own operations, lose in "
        "transforms what they gain in products."
    ),
}
LIMIT = {
    "mlp": (
        "At 512 the products, which run at what the processor multiplies; at 100 the calls, some 100 of them a step. A "
        "processor that multiplies nothing faster than float32 has no speed under auto to measure."
    ),
    "conv": (
        "The convolutions of torch between 32 and 64 channels, which both call: two thirds of a step of ours, at nine "
        "tenths of the rate of the products of the mlp where the processor has AVX-512."
    ),
}


def contenders_of(network: str, data: np.ndarray, batch: int, folder: str) -> dict[str, Contender]:
    """Who trains this network, by name."""
    settings = {"mlp": ("network=mlp",), "conv": ("network=conv", "network.hidden=0")}[network]
    found = {
        "narrows": narrows_epoch(data, batch, settings=settings),
        "pythae": pythae_epoch(data, batch, folder, network),
    }
    faster = precision_for("auto", torch.device("cpu")) is not None
    if faster:
        found["narrows_auto"] = narrows_epoch(data, batch, settings=settings, precision="auto")
    if network == "mlp":
        found |= {"tuned_loop": tuned_epoch(data, batch), "products": products(len(data), batch)}
        if faster:
            found["products_auto"] = products(len(data), batch, "auto")
    return found


def compare(network: str, batch: int, n: int, rounds: int) -> dict[str, float]:
    """Median images a second of each contender, and ratios of ours to the others, taken round by round."""
    with tempfile.TemporaryDirectory() as folder:
        speed = raced(contenders_of(network, images(n), batch, folder), rounds)
    first = STEPS_BEFORE * batch // n  # rounds
    early = [ours / theirs for ours, theirs in zip(speed["narrows"][:first], speed["pythae"][:first], strict=True)]
    return {**ratios(speed), "ratio_to_pythae_of_the_first_600_steps": round(median(early), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(ROUNDS), default=list(ROUNDS))
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, help="in place of the usual ones, for a look: nothing is recorded")
    options = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    keep_freed_memory()
    for part in options.only:
        began, rounds = time.perf_counter(), options.rounds or ROUNDS[part]
        figures: dict[str, object] = {f"batch_{b}": compare(part, b, options.images, rounds) for b in (100, 512)}
        print(part, figures, flush=True)
        if options.rounds is None:
            protocol = (
                f"about an epoch of {options.images} binary images each, in an order of chance, in one process that "
                f"keeps what memory it frees; medians of {rounds} rounds after a warm-up; 2 threads, float32"
            )
            told = {"tried": TRIED[part], "limit": LIMIT[part]}
            record(RECORDS[part], {**figures, **told}, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
