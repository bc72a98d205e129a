"""A guard against lost speed: what narrows does, in a short form, as ratios to plain loops in the same process.

Each pair is a piece of work of ours and a reference that does the like by a loop of a few lines or by another library's
call; they take turns in an order of chance, and what counts is the median over the rounds of ours to the reference, in
examples a second. What slows one of the two slows the other, so that a ratio hangs less on the machine than a speed
does; still it is of use on the kind of machine that it was recorded on.

    python benchmarks/guard.py               # about two minutes; exit 1 where a ratio has fallen by more than a fifth
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
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from binary_images import images
from contenders import narrows_epoch, tuned_epoch
from record import RESULTS, record

ROUNDS = 9
ALLOWED = 0.8  # of the recorded ratio: noise of a busy machine moves medians by less
TRAINED, SCORED = 5_000, 20_000

# Work is done once, and says how many examples it took.
Work = Callable[[], int]


class Pair(NamedTuple):
    """Ours, and what it is compared with."""

    ours: Work
    reference: Work
    keeps: object = None  # what must live as long as they are used


def train(batch: int) -> Pair:
    """An epoch of a VAE of an MLP in float32, beside a loop written by hand for speed."""
    data = images(TRAINED)
    return Pair(narrows_epoch(data, batch), tuned_epoch(data, batch))


def train_convolutional() -> Pair:
    """An epoch of a convolutional autoencoder, beside torch's own layers of the same sizes in a plain loop."""
    data = images(1_000)
    rows = torch.from_numpy(data)[:, None].float()
    layers = nn.Sequential(
        *(nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(64 * 49, 256), nn.ReLU(), nn.Linear(256, 16)),
        *(nn.Linear(16, 256), nn.ReLU(), nn.Linear(256, 64 * 49), nn.ReLU(), nn.Unflatten(1, (64, 7, 7))),
        *(nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1)),
    )
    optimizer = torch.optim.Adam(layers.parameters(), lr=1e-3, fused=True)

    def epoch() -> int:
        for index in torch.randperm(len(rows)).split(100):
            optimizer.zero_grad(set_to_none=True)
            F.binary_cross_entropy_with_logits(layers(rows[index]), rows[index]).backward()
            optimizer.step()
        return len(rows)

    return Pair(narrows_epoch(data, 100, preset="convolutional", settings=()), epoch)


def train_dictionary() -> Pair:
    """An epoch of a sparse dictionary (128 cells, 1,024 codes), beside the products of matrices of its steps alone."""
    from sparse_speed import BATCH, CELLS, products

    rows = np.random.default_rng(0).standard_normal((4 * BATCH, CELLS), np.float32)

    def multiply() -> int:
        products(rounds=4)
        return 4 * BATCH

    return Pair(narrows_epoch(rows, BATCH, preset="sparse-features", settings=()), multiply)


def score() -> Pair:
    """Rows scored by the default detector, beside scikit-learn's isolation forest."""
    from sklearn.ensemble import IsolationForest

    from detection_speed import made
    from narrows import AnomalyDetector

    rows, tested, _ = made(SCORED)
    detector, forest = AnomalyDetector(random_state=0).fit(rows), IsolationForest(random_state=0).fit(rows)

    def ours() -> int:
        detector.score_samples(tested)
        return len(tested)

    def reference() -> int:
        forest.score_samples(tested)
        return len(tested)

    return Pair(ours, reference)


def embed() -> Pair:
    """Codes of rows, beside the encoder called by itself."""
    from narrows import Autoencoder

    rows = np.random.default_rng(0).standard_normal((SCORED, 64)).astype(np.float32)
    fitted = Autoencoder("variational", code_size=8, epochs=1, random_state=0).fit(rows)
    network, tensor = fitted.fitted_.model.network, torch.from_numpy(rows)

    def reference() -> int:
        with torch.inference_mode():
            network.encode(tensor)
        return len(rows)

    def ours() -> int:
        fitted.transform(rows)
        return len(rows)

    return Pair(ours, reference)


def decoded(model: nn.Module, z: torch.Tensor, items: int) -> int:
    """The decoder alone on codes, a thousand at once; returns the number of items that they stand for."""
    with torch.inference_mode():
        for some in z.split(1_000):
            model.network.decode(some)
    return items


def likelihood() -> Pair:
    """Importance-sampled log p(x) by 50 draws, beside the decoder alone on so many codes."""
    from narrows.data.schema import infer_schema
    from narrows.evaluate import log_likelihood
    from narrows.model import Model
    from narrows.presets import choose

    data = images(200)
    schema = infer_schema(data)
    model = Model(choose("variational", schema, ["network=mlp"]), schema).eval()
    rows = torch.from_numpy(schema.from_user(data))
    z = torch.randn(50 * len(rows), model.latent.size)

    def ours() -> int:
        log_likelihood(model, rows, 50, 0)
        return len(rows)

    return Pair(ours, lambda: decoded(model, z, len(rows)))


def generate() -> Pair:
    """New images, beside the decoder alone on so many codes."""
    from narrows.data.schema import infer_schema
    from narrows.inference import samples
    from narrows.model import Model
    from narrows.presets import choose

    schema = infer_schema(images(200))
    model = Model(choose("variational", schema, ["network=mlp"]), schema).eval()
    z = torch.randn(TRAINED, model.latent.size)

    def ours() -> int:
        samples(model, len(z), 0)
        return len(z)

    return Pair(ours, lambda: decoded(model, z, len(z)))


def impute() -> Pair:
    """Gaps of a mixed table filled by 10 draws a row, beside the decoder alone on so many codes."""
    from narrows.data.specimens import examples
    from narrows.inference import imputed
    from narrows.model import Model
    from narrows.presets import choose

    mixed = examples()[-1]
    rows = mixed.values.tile(200, 1)
    model = Model(choose("variational", mixed.schema, []), mixed.schema).eval()
    model.adapt(rows)
    z = torch.randn(10 * len(rows), model.latent.size)

    def ours() -> int:
        imputed(model, rows, draws=10)
        return len(rows)

    return Pair(ours, lambda: decoded(model, z, len(rows)))


def denoise() -> Pair:
    """An image restored by a network without a bottleneck, beside ten plain convolutions over it."""
    from narrows.data.schema import infer_schema
    from narrows.model import Model
    from narrows.presets import choose
    from narrows.restore import restored

    numbers = np.random.default_rng(0)
    schema = infer_schema(numbers.integers(0, 256, (20, 32, 32), dtype=np.uint8))
    model = Model(choose("denoiser", schema, ["network=shallow"]), schema).eval()
    noisy = torch.from_numpy(numbers.integers(0, 256, (1, 1, 256, 256))).float()
    plain = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), *(nn.Conv2d(32, 32, 3, padding=1) for _ in range(8)), nn.Conv2d(32, 1, 3)
    )

    def ours() -> int:
        restored(model, noisy)
        return 1

    def reference() -> int:
        with torch.inference_mode():
            plain(noisy)
        return 1

    return Pair(ours, reference)


def compress() -> Pair:
    """Images coded by preset compressor-fast, beside zlib at its best, both in memory."""
    from narrows.compression.compressor import Work as Coding
    from narrows.compression.files import compressor_for
    from narrows.data.schema import Schema
    from narrows.model import Model
    from narrows.presets import choose

    steps = np.random.default_rng(0).integers(-9, 10, (64, 1, 28, 28))
    data = (128 + np.cumsum(steps, axis=3)).clip(0, 255).astype(np.uint8)
    schema = Schema((1, 28, 28), 0.0, 255.0, 1.0, "hw")
    compressor = compressor_for(Model(choose("compressor-fast", schema, []), schema, seed=0).eval())
    work = Coding()

    def ours() -> int:
        compressor.encode(data, work)
        return len(data)

    def reference() -> int:
        for _ in range(10):
            zlib.compress(data.tobytes(), 9)
        return 10 * len(data)

    return Pair(ours, reference)


def read_table() -> Pair:
    """A table of numbers and words read from CSV, beside Arrow's own reader."""
    from pyarrow import csv

    from narrows import read

    numbers = np.random.default_rng(0).normal(size=(SCORED, 8))
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "rows.csv"
    lines = (",".join([*map(str, row), "tcp" if row[0] > 0 else "udp"]) for row in numbers.round(4))
    path.write_text("\n".join([",".join(f"c{i}" for i in range(9)), *lines]))

    def ours() -> int:
        return len(read(path).values)

    def reference() -> int:
        return int(csv.read_csv(path).num_rows)

    return Pair(ours, reference, keeps=folder)


PAIRS: dict[str, Callable[[], Pair]] = {
    "train-100": partial(train, 100),
    "train-512": partial(train, 512),
    "train-convolutional": train_convolutional,
    "train-dictionary": train_dictionary,
    "score": score,
    "embed": embed,
    "likelihood": likelihood,
    "generate": generate,
    "impute": impute,
    "denoise": denoise,
    "compress": compress,
    "read-table": read_table,
}


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
    path, began = RESULTS / "guard.json", time.perf_counter()
    kept: dict[str, float] = json.loads(path.read_text())["figures"]["ratios"] if path.exists() else {}
    found, slower = {}, []
    for name in options.only:
        torch.manual_seed(0)
        found[name] = ratio(PAIRS[name](), options.rounds)
        share = found[name] / kept[name] if name in kept else None
        if share is not None and share < ALLOWED:
            slower.append(name)
        told = "not recorded" if share is None else f"{share:.2f} of the recorded {kept[name]:.3f}"
        print(f"{name:20} {found[name]:8.3f}  {told}", flush=True)
    if options.record:
        figures = {"ratios": {**kept, **found}, "rounds": options.rounds}
        record(
            "guard", figures, seconds=time.perf_counter() - began, protocol="ours to the reference, median of rounds"
        )
    elif slower:
        sys.exit(f"slower than recorded by more than {1 - ALLOWED:.0%}: {', '.join(slower)}")


if __name__ == "__main__":
    main()
