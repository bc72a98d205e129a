"""Full-batch, mini-batch and one-at-a-time gradient descent on one problem, from the command line.

The same autoencoder on the embedded images, plain SGD each time; only ``--batch-size`` differs. Held-out nats after the
first interval and at their lowest, beside those of the untrained model.

    python benchmarks/descents.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from narrows.data import read
from narrows.fit import new_model
from narrows.plan import Plan
from narrows.tensors import tensor_of
from narrows.train import held_out
from record import record

DATA = "fashion-sample"
SETTINGS = ["network=mlp", "network.width=128", "likelihood=gaussian"]
DESCENTS = {
    "full_batch": ["--batch-size", "full", "--epochs", "200"],
    "mini_batch": ["--batch-size", "128", "--epochs", "5"],
    "one_at_a_time": ["--batch-size", "1", "--online", "--epochs", "1"],
}


def untrained() -> float:
    """Held-out nats of the model before its first step, on the test images."""
    data = read(f"{DATA}:test")
    model = new_model(data.schema, "autoencoder", SETTINGS, Plan())
    model.adapt(tensor_of(data.values))
    return held_out(model, tensor_of(data.values)).nats


def descend(options: list[str], folder: Path) -> dict[str, float]:
    """Train from the command line and read the log."""
    log = folder / "log.jsonl"
    log.unlink(missing_ok=True)
    words = ["narrows", "train", DATA, "-o", str(folder / "m.safetensors"), "--optimizer", "sgd", "--log", str(log)]
    subprocess.run(
        [sys.executable, "-m", *words, *options, "--json", "--set", *SETTINGS], check=True, capture_output=True
    )
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    seen = [line["validation"]["nats"] for line in lines if line["validation"]]
    last = lines[-1]
    return {
        "held_out_nats_first": seen[0],
        "held_out_nats_lowest": min(seen),
        "steps": last["step"],
        "examples": last["examples"],
        "seconds": last["seconds"],
    }


def main() -> None:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: descend(options, Path(folder)) for name, options in DESCENTS.items()}
    figures = {"held_out_nats_untrained": untrained(), **runs}
    protocol = (
        f"{DATA}, autoencoder 784-128-16-128-784 under learned-sigma MSE, SGD with momentum 0.9, rate 0.1, cosine"
    )
    print(record("descents", figures, seconds=time.perf_counter() - began, protocol=protocol).read_text())


if __name__ == "__main__":
    main()
