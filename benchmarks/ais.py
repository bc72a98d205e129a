"""Annealed importance sampling on decoders of 10 codes: how far apart its bounds from below and above are.

Bounds on both sides, on rows that the model makes itself (bidirectional Monte Carlo), over a growing number of steps:
of random decoders, to bits and to real numbers; and of a variational autoencoder trained for a minute on binary MNIST,
whose log likelihood of test images is estimated as well, beside importance sampling from the encoder.

    NARROWS_DATA=... python benchmarks/ais.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from narrows import load
from narrows.data import Schema
from narrows.evaluate import bidirectional
from narrows.evaluate.annealing import CHAINS, Start
from narrows.model import Model
from narrows.presets import choose
from record import record
from running import narrows

CODES = 10
CELLS, WIDTH = 50, 32
TRAINED_WIDTH = 64
STEPS = (100, 800)
TRAINED_STEPS = (100, 300)
STARTS: tuple[Start, ...] = ("prior", "posterior")
KINDS = {
    "bits": (Schema((CELLS,), 0.0, 1.0, 1.0), ["likelihood=bernoulli"]),
    "reals": (Schema((CELLS,), -1.0, 1.0), ["likelihood=gaussian", "likelihood.sigma=0.5"]),
}
RANDOM = (("bits", 2.0), ("reals", 1.0), ("reals", 2.0))


def random_decoder(kind: str, gain: float, seed: int) -> Model:
    """One hidden layer of weights drawn by chance, times a gain."""
    schema, settings = KINDS[kind]
    network = ["network=mlp", f"network.width={WIDTH}", f"latent.size={CODES}"]
    model = Model(choose("variational", schema, [*network, *settings]), schema, seed=seed).eval()
    with torch.no_grad():
        for weight in model.network.decoder.parameters():
            weight *= gain
    return model


def gap(model: Model, steps: int, rows: int, start: Start = "prior") -> dict[str, Any]:
    began = time.perf_counter()
    found = bidirectional(model, rows, steps, start=start)
    return {
        "steps": steps,
        "lower_nats": float(found.lower.mean()),
        "upper_nats": float(found.upper.mean()),
        "gap_nats": found.gap,
        "gap_standard_error": float((found.upper - found.lower).std() / rows**0.5),
        "seconds": time.perf_counter() - began,
    }


def trained(folder: Path, epochs: int) -> str:
    """Train a variational autoencoder on binary MNIST."""
    path = str(folder / "model.safetensors")
    choices = ["network=mlp", f"network.width={TRAINED_WIDTH}", f"latent.size={CODES}"]
    options = ["--preset", "variational", "--epochs", str(epochs), "--binarize", "threshold"]
    narrows("train", "mnist", "-o", path, *options, "--set", *choices)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=12)
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--trained-steps", type=int, nargs="+", default=list(TRAINED_STEPS))
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    began = time.perf_counter()
    figures: dict[str, Any] = {}
    for kind, gain in RANDOM:
        name, model = f"random_{kind}_gain_{gain:g}", random_decoder(kind, gain, 0)
        figures[name] = [gap(model, steps, options.rows) for steps in options.steps]
        print(name, figures[name], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = trained(Path(folder), options.epochs)
        model = load(path).model.eval()
        for start in STARTS:
            name = f"mnist_from_{start}"
            figures[name] = [gap(model, steps, options.rows, start) for steps in options.trained_steps]
            print(name, figures[name], flush=True)
        most = ["--ais", str(max(options.trained_steps)), "--draws", "5000", "--rows", str(options.rows)]
        figures["mnist_test"] = narrows("evaluate", path, "mnist:test", *most)
    protocol = (
        f"decoders of {CODES} codes: random, {WIDTH} hidden units and {CELLS} cells; trained, {TRAINED_WIDTH} hidden "
        f"units, {options.epochs} epochs of MNIST made binary at half the range; {options.rows} rows drawn from "
        f"each, {CHAINS} chains, 10 leapfrog steps, step sizes from a pilot; mnist_test: the first {options.rows} test "
        f"images"
    )
    print(record("ais", figures, seconds=time.perf_counter() - began, protocol=protocol).read_text())


if __name__ == "__main__":
    main()
