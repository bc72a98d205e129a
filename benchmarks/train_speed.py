"""Images a second and peak memory in training, against pythae and a hand-written loop.

The same model everywhere: MLP VAE 784-512-(2 x 16)-512-784, ReLU, BCE, Adam, float32, on binarised images. The three
train one epoch each in turn, in one process; medians and ratios are over the rounds. Peak memory is that of a fresh
process which trains one epoch on 60,000 images through the package's own front door.

    python benchmarks/train_speed.py

needs ``pip install pythae`` beside narrows.
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

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from record import record

CELLS, WIDTH, CODE = 784, 512, 16
ROUNDS = 40
MEMORY_IMAGES = 60_000
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
    data: np.ndarray, batch: int, preset: str = "variational", settings: Sequence[str] = ("network=mlp",)
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


def pythae_epoch(data: np.ndarray, batch: int, folder: str) -> Contender:
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    logging.disable(logging.INFO)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=CODE, reconstruction_loss="bce")
    rows = torch.from_numpy(data[:, None]).float()
    training = BaseTrainerConfig(
        output_dir=folder, num_epochs=1, per_device_train_batch_size=batch, learning_rate=1e-3, no_cuda=True
    )
    trainer = BaseTrainer(VAE(config), BaseDataset(rows, torch.ones(len(rows))), training_config=training)
    trainer.prepare_training()
    trainer.callback_handler.callbacks.clear()  # no progress bar: theirs would cost time that ours does not spend

    def epoch() -> int:
        trainer.train_step(1)
        return len(rows)

    return epoch


def compare(batch: int, n: int, rounds: int) -> dict[str, float]:
    """Median images a second of each contender, and ratios taken round by round."""
    data = images(n)
    with tempfile.TemporaryDirectory() as folder:
        contenders = {
            "narrows": narrows_epoch(data, batch),
            "pythae": pythae_epoch(data, batch, folder),
            "tuned_loop": tuned_epoch(data, batch),
        }
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
    for other in ("pythae", "tuned_loop"):
        ratios = [ours / theirs for ours, theirs in zip(speed["narrows"], speed[other], strict=True)]
        figures[f"ratio_to_{other}"] = round(statistics.median(ratios), 3)
        figures[f"ratio_to_{other}_lowest"] = round(min(ratios), 3)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--train-once", choices=("narrows", "pythae"))
    options = parser.parse_args()
    if options.train_once:
        train_once(options.train_once)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    began = time.perf_counter()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    # Memory first, while this process is small: a child's peak starts from the peak of the process that started it.
    memory = {name: round(peak_memory(name)) for name in ("narrows", "pythae")}
    figures: dict[str, object] = {f"batch_{b}": compare(b, options.images, options.rounds) for b in (100, 512)}
    figures["peak_memory_mib"] = {**memory, "ratio": round(memory["narrows"] / memory["pythae"], 3)}
    protocol = (
        f"about an epoch of {options.images} binary images each, in an order of chance; medians of {options.rounds} "
        f"rounds after a warm-up; "
        f"2 threads, float32; memory: one epoch on {MEMORY_IMAGES} images in a process of its own"
    )
    print(record("train_speed", figures, seconds=time.perf_counter() - began, protocol=protocol).read_text())


if __name__ == "__main__":
    main()
