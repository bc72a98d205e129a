"""The bound that training with bfloat16 products ends at, beside that of float32, after equally many epochs.

The MLP VAE of ``train_speed.py`` on MNIST, made binary at a threshold, through ``narrows train`` with ``--precision
float32`` and with ``--precision bfloat16``, otherwise alike, from three seeds; -ELBO of the 10,000 test images.

    NARROWS_DATA=... python benchmarks/precision_bounds.py [--epochs 20] [--seeds 0 1 2]

The bound does not depend on whether the processor multiplies bfloat16 fast; the seconds do, and where it does not they
say nothing of one that does. ``fast`` tells which it was.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from narrows.train import precision_for
from record import record
from running import narrows

EPOCHS = 20
PRECISIONS = ("float32", "bfloat16")


def bound(precision: str, epochs: int, seed: int) -> dict[str, float]:
    """Nats an image after so many epochs, and the seconds that they took."""
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "m.safetensors")
        line = ["--epochs", str(epochs), "--seed", str(seed), "--batch-size", "512", "--binarize", "threshold"]
        line += ["--precision", precision, "--preset", "variational", "--set", "network=mlp", "latent.size=16"]
        trained = narrows("train", "mnist", "-o", model, *line)
        scored = narrows("evaluate", model, "mnist:test")
    return {"minus_elbo_nats": -scored["elbo_nats"], "training_seconds": trained["seconds"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="other than the usual ones are not recorded")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    began = time.perf_counter()
    fast = precision_for("auto", torch.device("cpu")) is torch.bfloat16
    figures: dict[str, Any] = {"fast": fast, "epochs": options.epochs, "seeds": {}}
    for seed in options.seeds:
        found: dict[str, Any] = {precision: bound(precision, options.epochs, seed) for precision in PRECISIONS}
        found["bfloat16_less_float32_nats"] = found["bfloat16"]["minus_elbo_nats"] - found["float32"]["minus_elbo_nats"]
        figures["seeds"][seed] = found
        print(seed, found, flush=True)
    figures["largest_difference_nats"] = max(
        abs(one["bfloat16_less_float32_nats"]) for one in figures["seeds"].values()
    )
    if options.epochs == EPOCHS and options.seeds == [0, 1, 2]:
        record("precision_bounds", figures, seconds=time.perf_counter() - began)


if __name__ == "__main__":
    main()
