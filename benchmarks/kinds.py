"""The five seed kinds on Fashion-MNIST, from the command line, under MSE and under BCE, at equal code size.

Each kind is trained by ``narrows train`` on the 60,000 training images and measured by ``narrows evaluate`` on the
10,000 test images, three seeds each. MSE is ``likelihood=gaussian`` on grey pixels, BCE ``likelihood=bernoulli`` on
pixels made binary at half the range. Beside them stand the mean image and principal components at the same code size.

    NARROWS_DATA=... python benchmarks/kinds.py

prints the table that stands in the README and records it in ``results/kinds.json``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from record import record
from running import narrows

CODE = 32
EPOCHS = 5
SEEDS = (0, 1, 2)
DATA = "fashion-mnist"

# Network and settings of each kind; all have a code of 32 numbers, of which the sparse one keeps 16.
KINDS = {
    "basic": ("autoencoder", ["network=mlp"]),
    "variational": ("variational", ["network=mlp"]),
    "denoising": ("denoising", ["network=mlp"]),
    "sparse": ("sparse", ["network=mlp", "latent.k=16"]),
    "convolutional": ("convolutional", []),
}
LOSSES = {"MSE": ["likelihood=gaussian"], "BCE": ["likelihood=bernoulli"]}
BINARIZE = {"MSE": [], "BCE": ["--binarize", "threshold"]}


def measure(kind: str, loss: str, seed: int, epochs: int, folder: Path) -> dict[str, Any]:
    """Train one kind once, and measure it on the test images."""
    preset, settings = KINDS[kind]
    model = str(folder / "model.safetensors")
    chosen = [f"latent.size={CODE}", *settings, *LOSSES[loss]]
    options = ["--preset", preset, "--epochs", str(epochs), "--seed", str(seed), *BINARIZE[loss], "--set", *chosen]
    trained = narrows("train", DATA, "-o", model, *options)
    figures = narrows("evaluate", model, f"{DATA}:test")
    return {
        "error": figures["reconstruction_error"],
        "pca": figures["pca_error"],
        "mean": figures["mean_error"],
        "active_units": figures["active_units"],
        "bits_per_dim": figures["bits_per_dim"],
        "seconds": trained["seconds"],
        "findings": trained["findings"],
    }


def row(kind: str, runs: dict[str, list[dict[str, Any]]]) -> str:
    """One line of the table: mean and half range over the seeds, under each loss."""
    cells = [kind]
    for loss in LOSSES:
        seen = [run["error"] for run in runs[loss]]
        cells.append(f"{statistics.mean(seen):.4f} ± {(max(seen) - min(seen)) / 2:.4f}")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    options = parser.parse_args()
    began = time.perf_counter()
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.kinds:
            runs[kind] = {loss: [] for loss in LOSSES}
            for loss in LOSSES:
                for seed in options.seeds:
                    runs[kind][loss].append(measure(kind, loss, seed, options.epochs, Path(folder)))
                    print(kind, loss, seed, runs[kind][loss][-1], file=sys.stderr, flush=True)
    print("| squared error a pixel, [0, 1] | MSE | BCE, binary pixels | seconds |\n|---|---|---|---|")
    first = runs[options.kinds[0]]
    for name, title in (("mean", "mean image"), ("pca", f"PCA, {CODE} components")):
        print(f"| {title} | {first['MSE'][0][name]:.4f} | {first['BCE'][0][name]:.4f} |")
    for kind in options.kinds:
        print(row(kind, runs[kind]))
    if options.kinds == list(KINDS) and options.seeds == list(SEEDS):
        protocol = (
            f"{DATA}, code size {CODE}, {options.epochs} epochs, batch 128, Adam, test images, seeds {options.seeds}"
        )
        record("kinds", runs, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
