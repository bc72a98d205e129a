"""Images a second and peak memory in training, against pythae and a hand-written loop.

The same model everywhere, on binarised images, by BCE and Adam:

- ``mlp``: a VAE 784-512-(2 x 16)-512-784, ReLU; beside it what a person who knows torch writes by hand, and the
  products of matrices of a step alone
- ``conv``: a VAE of convolutions 1-32-64, kernel 4, stride 2, and a linear map to 2 x 16; mirrored

All train one epoch each in turn, in one process, which keeps what memory it frees, as narrows' command line does;
medians and ratios are over the rounds. Ours trains in float32, and, where the processor multiplies another type faster,
as ``--precision auto`` would. Peak memory is that of a fresh process which trains one epoch on 60,000 images through
the package's own front door.

    python benchmarks/train_speed.py [--only mlp conv]

records ``results/train_speed.json`` and ``results/train_speed_conv.json``; it needs ``pip install pythae`` beside
narrows.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from narrows.allocation import keep_freed_memory
from narrows.train import precision_for
from record import record

CELLS, WIDTH, CODE = 784, 512, 16
ROUNDS = {"mlp": 40, "conv": 10}
RECORDS = {"mlp": "train_speed", "conv": "train_speed_conv"}
MEMORY_IMAGES = 60_000
TRIED = {
    "mlp": (
        "What made it faster stands: Adam's kernel called without torch's optimizer, memory kept from step to step (to "
        "get it anew took a fifth of the time), no gradient handed to backward. Left, as slower or no faster: products "
        "by oneDNN in place of MKL, a cross-entropy of our own in one pass (.65 to .97 of torch's speed), one by "
        "products of groups (2 % at 512, nothing at 100), huge pages, the divergence as one function (0.5 % at 100)."
    ),
    "conv": (
        "What made it faster stands: channels last in training, layers from or to few channels by the four phases of "
        "their stride, memory kept from step to step, from which pythae gains too where both are in one process."
    ),
}
LIMIT = {
    "mlp": (
        "At 512 the products, and the cross-entropy of 784 cells, which torch computes for both; at 100 the calls, "
        "some 130 of them a step. Of the memory, torch itself takes 217 MiB when it is imported, the images 47."
    ),
    "conv": "The convolutions of torch themselves, which both call.",
}
BLOCK = 1000


def images(n: int) -> np.ndarray:
    """Binary images with the ink of digits: speed depends on shapes alone, so no data set is needed.

    In blocks, so that making them takes no more memory than holding them.
    """
    draws, made = np.random.default_rng(0), np.empty((n, 28, 28), np.uint8)
    for block in np.array_split(made, max(1, n // BLOCK)):
        block[:] = draws.integers(0, 256, block.shape, dtype=np.uint8) < 33
    return made


class Tuned(nn.Module):
    """What a person who knows torch writes by hand: resident uint8, logits, fused Adam."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(CELLS, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2 * CODE))
        self.decoder = nn.Sequential(nn.Linear(CODE, WIDTH), nn.ReLU(), nn.Linear(WIDTH, CELLS))

    def forward(self, x: Tensor) -> Tensor:
        mean, log_var = self.encoder(x).chunk(2, 1)
        z = mean + (0.5 * log_var).exp() * torch.randn_like(mean)
        distortion = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum()
        return (distortion + kl) / len(x)


# A contender trains for about an epoch and says how many images it took.
Contender = Callable[[], int]


def tuned_epoch(data: np.ndarray, batch: int) -> Contender:
    rows, model = torch.from_numpy(data.reshape(len(data), -1)), Tuned()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def epoch() -> int:
        for index in torch.randperm(len(rows)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            model(rows.index_select(0, index).float()).backward()
            optimizer.step()
        return len(rows)

    return epoch


def narrows_epoch(
    data: np.ndarray,
    batch: int,
    preset: str = "variational",
    settings: Sequence[str] = ("network=mlp",),
    precision: str = "float32",
) -> Contender:
    from narrows.data.batches import Batches
    from narrows.data.schema import infer_schema
    from narrows.model import Model
    from narrows.noise import Noise
    from narrows.optimizers import make_optimizer
    from narrows.presets import choose
    from narrows.schedules import Constant
    from narrows.train import Run

    schema = infer_schema(data)
    model = Model(choose(preset, schema, settings), schema)
    model.matrix_dtype = precision_for(precision, model.device)
    rows = torch.from_numpy(schema.from_user(data))
    model.adapt(rows)
    batches = Batches(rows, batch)
    run = Run(model, batches, make_optimizer("adam", model, 1e-3), Constant(), Noise(0), steps=10**9)
    order = iter(batches)

    def epoch() -> int:
        began = run.step
        while not run.interval(order).epoch_ended:
            pass
        return (run.step - began) // batches.per_epoch * len(rows)

    return epoch


def products(n: int, batch: int, precision: str = "float32") -> Contender:
    """The products of an epoch's steps: four layers forward, their weights and what three of them see backward."""
    dtype = precision_for(precision, torch.device("cpu")) or torch.float32
    sides = ((CELLS, WIDTH), (WIDTH, 2 * CODE), (CODE, WIDTH), (WIDTH, CELLS))
    layers = [
        [torch.randn(*shape).to(dtype) for shape in ((batch, n_in), (n_out, n_in), (batch, n_out))]
        for n_in, n_out in sides
    ]

    def epoch() -> int:
        for _ in range(n // batch):
            for place, (x, weight, slope) in enumerate(layers):
                x @ weight.T, slope.T @ x
                if place:
                    slope @ weight
        return n // batch * batch

    return epoch


def pythae_parts(config: Any) -> dict[str, Any]:
    """An encoder and a decoder of convolutions for pythae, the same as ours."""
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten()
            )
            self.mean, self.log_var = nn.Linear(64 * 7 * 7, CODE), nn.Linear(64 * 7 * 7, CODE)

        def forward(self, x: Tensor) -> ModelOutput:
            h = self.layers(x)
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(CODE, 64 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
                nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Sigmoid(),
            )  # fmt: skip

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z))

    return {"encoder": Encoder(), "decoder": Decoder()}


def pythae_epoch(data: np.ndarray, batch: int, folder: str, network: str = "mlp") -> Contender:
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    logging.disable(logging.INFO)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=CODE, reconstruction_loss="bce")
    rows = torch.from_numpy(data[:, None]).float()
    training = BaseTrainerConfig(
        output_dir=folder, num_epochs=1, per_device_train_batch_size=batch, learning_rate=1e-3, no_cuda=True
    )
    parts = pythae_parts(config) if network == "conv" else {}
    trainer = BaseTrainer(VAE(config, **parts), BaseDataset(rows, torch.ones(len(rows))), training_config=training)
    trainer.prepare_training()
    trainer.callback_handler.callbacks.clear()  # no progress bar: theirs would cost time that ours does not spend

    def epoch() -> int:
        trainer.train_step(1)
        return len(rows)

    return epoch


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
    data = images(n)
    with tempfile.TemporaryDirectory() as folder:
        contenders = contenders_of(network, data, batch, folder)
        speed: dict[str, list[float]] = {name: [] for name in contenders}
        order = random.Random(0)
        for turn in range(rounds + 1):
            # In an order of chance: who comes after whom changes what is left in the caches.
            for name in order.sample(sorted(contenders), len(contenders)):
                began = time.perf_counter()
                taken = contenders[name]()
                if turn:  # the first round warms up
                    speed[name].append(taken / (time.perf_counter() - began))
    figures = {f"{name}_images_per_second": round(statistics.median(seen)) for name, seen in speed.items()}
    for ours in (name for name in speed if name.startswith("narrows")):
        for other in (name for name in speed if not name.startswith("narrows")):
            ratios = [mine / theirs for mine, theirs in zip(speed[ours], speed[other], strict=True)]
            of = ours.removeprefix("narrows").lstrip("_")
            name = "_".join(filter(None, (of, "ratio_to", other)))
            figures[name] = round(statistics.median(ratios), 3)
            figures[f"{name}_lowest"] = round(min(ratios), 3)
    return figures


def train_once(name: str) -> None:
    """Train one epoch on 60,000 images by the package's own front door, for the memory that it takes."""
    if name == "narrows":
        from narrows.data.dataset import from_array
        from narrows.fit import fit
        from narrows.plan import Plan

        dataset = from_array(images(MEMORY_IMAGES))
        fit(dataset.values, dataset.schema, "variational", ["network=mlp"], Plan(epochs=1, batch_size=100))
        return
    from pythae.models import VAE, VAEConfig
    from pythae.pipelines import TrainingPipeline
    from pythae.trainers import BaseTrainerConfig

    with tempfile.TemporaryDirectory() as folder:
        config = VAEConfig(input_dim=(1, 28, 28), latent_dim=CODE, reconstruction_loss="bce")
        training = BaseTrainerConfig(output_dir=folder, num_epochs=1, per_device_train_batch_size=100, no_cuda=True)
        TrainingPipeline(model=VAE(config), training_config=training)(images(MEMORY_IMAGES)[:, None].astype(np.float32))


def peak_memory(name: str) -> float:
    """Peak resident memory, in MiB, of a fresh process that trains once."""
    words = [sys.executable, __file__, "--train-once", name]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def memory() -> dict[str, float]:
    """Peak memory of both, in MiB."""
    peaks = {name: round(peak_memory(name)) for name in ("narrows", "pythae")}
    return {**peaks, "ratio": round(peaks["narrows"] / peaks["pythae"], 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(ROUNDS), default=list(ROUNDS))
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, help="in place of the usual ones, for a look: nothing is recorded")
    parser.add_argument("--train-once", choices=("narrows", "pythae"))
    options = parser.parse_args()
    if options.train_once:
        train_once(options.train_once)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    keep_freed_memory()
    for part in options.only:
        began, rounds = time.perf_counter(), options.rounds or ROUNDS[part]
        # Memory first, while this process is small: a child's peak starts from the peak of the process that started it.
        peaks = {"peak_memory_mib": memory()} if part == "mlp" else {}
        figures: dict[str, object] = {f"batch_{b}": compare(part, b, options.images, rounds) for b in (100, 512)}
        print(part, figures, peaks, flush=True)
        if options.rounds is None:
            protocol = (
                f"about an epoch of {options.images} binary images each, in an order of chance, in one process that "
                f"keeps what memory it frees; medians of {rounds} rounds after a warm-up; 2 threads, float32; memory: "
                f"one epoch on {MEMORY_IMAGES} images in a process of its own"
            )
            told = {"tried": TRIED[part], "limit": LIMIT[part]}
            record(RECORDS[part], {**figures, **peaks, **told}, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
