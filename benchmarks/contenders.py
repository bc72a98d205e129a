"""Who trains the same autoencoder: ours, pythae, a loop written by hand, and its products of matrices alone.

The model is a VAE 784-512-(2 x 16)-512-784, ReLU, on binary images, by BCE and Adam; of convolutions, 1-32-64, kernel
4, stride 2, and a linear map to 2 x 16, mirrored. The module measures nothing by itself.
"""

from __future__ import annotations

import logging
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from binary_images import CELLS, CODE, WIDTH
from narrows.captured import graph_for
from narrows.data.batches import Batches
from narrows.data.schema import infer_schema
from narrows.model import Model
from narrows.noise import Noise
from narrows.optimizers import make_optimizer
from narrows.presets import choose
from narrows.schedules import Constant
from narrows.train import Run, precision_for

LAYERS = ((CELLS, WIDTH), (WIDTH, 2 * CODE), (CODE, WIDTH), (WIDTH, CELLS))


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


def tuned_epoch(data: np.ndarray, batch: int, device: str = "cpu") -> Contender:
    """An epoch of the loop written by hand, rows resident where it runs."""
    rows, model = torch.from_numpy(data.reshape(len(data), -1)).to(device), Tuned().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def epoch() -> int:
        for index in torch.randperm(len(rows), device=device).split(batch):
            optimizer.zero_grad(set_to_none=True)
            model(rows.index_select(0, index).float()).backward()
            optimizer.step()
        return len(rows)

    return epoch


def narrows_run(
    data: np.ndarray,
    batch: int,
    preset: str = "variational",
    settings: Sequence[str] = ("network=mlp",),
    precision: str = "float32",
    device: str = "cpu",
    eager: bool = False,
) -> Run:
    """Ours before its first step, as `narrows train` has it."""
    schema = infer_schema(data)
    model = Model(choose(preset, schema, settings), schema).to(device)
    model.matrix_dtype = precision_for(precision, model.device)
    rows = torch.from_numpy(schema.from_user(data)).to(device)
    model.adapt(rows)
    return run_of(model, rows, batch, eager=eager)


def run_of(model: Model, rows: Tensor, batch: int, *, eager: bool = False) -> Run:
    """A training of a model on raw rows, before its first step."""
    optimizer, noise = make_optimizer("adam", model, 1e-3), Noise(0, model.device)
    graph = None if eager else graph_for(model, noise)
    return Run(model, Batches(rows, batch), optimizer, Constant(), noise, steps=10**9, graph=graph)


def epoch_of(run: Run) -> Contender:
    """An epoch of a run."""
    order = iter(run.batches)

    def epoch() -> int:
        began = run.step
        while not run.interval(order).epoch_ended:
            pass
        return (run.step - began) // run.batches.per_epoch * len(run.batches)

    return epoch


def narrows_epoch(data: np.ndarray, batch: int, **choices: Any) -> Contender:
    """An epoch of ours; the choices are those of `narrows_run`."""
    return epoch_of(narrows_run(data, batch, **choices))


def products(n: int, batch: int, precision: str = "float32", device: str = "cpu") -> Contender:
    """The products of an epoch's steps: four layers forward, their weights and what three of them see backward."""
    dtype = precision_for(precision, torch.device(device)) or torch.float32
    layers = [
        [torch.randn(*shape).to(device, dtype) for shape in ((batch, n_in), (n_out, n_in), (batch, n_out))]
        for n_in, n_out in LAYERS
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


def pythae_epoch(data: np.ndarray, batch: int, folder: str, network: str = "mlp", device: str = "cpu") -> Contender:
    """An epoch of pythae's trainer."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    logging.disable(logging.INFO)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=CODE, reconstruction_loss="bce")
    rows = torch.from_numpy(data[:, None]).float()
    training = BaseTrainerConfig(
        output_dir=folder,
        num_epochs=1,
        per_device_train_batch_size=batch,
        learning_rate=1e-3,
        no_cuda=device == "cpu",
    )
    parts = pythae_parts(config) if network == "conv" else {}
    trainer = BaseTrainer(VAE(config, **parts), BaseDataset(rows, torch.ones(len(rows))), training_config=training)
    trainer.prepare_training()
    trainer.callback_handler.callbacks.clear()  # no progress bar: theirs would cost time that ours does not spend

    def epoch() -> int:
        trainer.train_step(1)
        return len(rows)

    return epoch


def raced(contenders: dict[str, Contender], rounds: int, settle: Callable[[], object] = int) -> dict[str, list[float]]:
    """Images a second of each contender, round by round after a warm-up, each waited for by ``settle``.

    In an order of chance: who comes after whom changes what is left in the caches.
    """
    speed: dict[str, list[float]] = {name: [] for name in contenders}
    order = random.Random(0)
    for turn in range(rounds + 1):
        for name in order.sample(sorted(contenders), len(contenders)):
            settle()
            began = time.perf_counter()
            taken = contenders[name]()
            settle()
            if turn:
                speed[name].append(taken / (time.perf_counter() - began))
    return speed


def ratios(speed: dict[str, list[float]]) -> dict[str, float]:
    """Median images a second of each, and median and lowest ratios of ours to the others."""
    figures: dict[str, float] = {
        f"{name}_images_per_second": round(statistics.median(seen)) for name, seen in speed.items()
    }
    for ours in (name for name in speed if name.startswith("narrows")):
        for other in (name for name in speed if not name.startswith("narrows")):
            found = [mine / theirs for mine, theirs in zip(speed[ours], speed[other], strict=True)]
            of = ours.removeprefix("narrows").lstrip("_")
            name = "_".join(filter(None, (of, "ratio_to", other)))
            figures[name] = round(statistics.median(found), 3)
            figures[f"{name}_lowest"] = round(min(found), 3)
    return figures
