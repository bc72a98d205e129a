"""Pairs of training: epochs of ours beside loops written by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sparse_speed
from binary_images import images
from contenders import narrows_run, tuned_epoch
from narrows.train import Run
from pairs import Pair, Work, taking

TRAINED = 5_000
FEW = 1_000
BATCH = 100


def epoch_of(run: Run) -> Work:
    """An epoch of ours, and no more: the run is to end with each, or short ones would come several at once."""
    order = iter(run.batches)

    def epoch() -> int:
        run.steps = run.step + run.batches.per_epoch
        while run.share < 1.0:
            run.interval(order)
        return len(run.batches)

    return epoch


def preset_epoch(data: np.ndarray, batch: int, preset: str, *settings: str) -> Work:
    """An epoch of a preset."""
    return epoch_of(narrows_run(data, batch, preset, settings))


def plain_epoch(layers: nn.Module, rows: Tensor, batch: int, loss: Callable[[Tensor], Tensor]) -> Work:
    """An epoch of Adam, the loss of a batch at a time."""
    optimizer = torch.optim.Adam(layers.parameters(), lr=1e-3, fused=True)

    def epoch() -> int:
        for index in torch.randperm(len(rows)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            loss(rows[index]).backward()
            optimizer.step()
        return len(rows)

    return epoch


def train(batch: int, count: int) -> Pair:
    """An epoch of a VAE of an MLP in float32, beside a loop written by hand for speed."""
    data = images(count)
    return Pair(preset_epoch(data, batch, "variational", "network=mlp"), tuned_epoch(data, batch))


def train_convolutional() -> Pair:
    """An epoch of a convolutional autoencoder, beside torch's own layers of the same sizes in a plain loop."""
    data = images(FEW)
    layers = nn.Sequential(
        *(nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(64 * 49, 256), nn.ReLU(), nn.Linear(256, 16)),
        *(nn.Linear(16, 256), nn.ReLU(), nn.Linear(256, 64 * 49), nn.ReLU(), nn.Unflatten(1, (64, 7, 7))),
        *(nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1)),
    )

    def loss(x: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(layers(x), x)

    rows = torch.from_numpy(data)[:, None].float()
    ours = preset_epoch(data, BATCH, "convolutional")
    return Pair(ours, plain_epoch(layers, rows, BATCH, loss))


def train_dictionary() -> Pair:
    """An epoch of a sparse dictionary (128 cells, 1,024 codes), beside the products of matrices of its steps alone."""
    batch = sparse_speed.BATCH
    rows = np.random.default_rng(0).standard_normal((4 * batch, sparse_speed.CELLS), np.float32)
    ours = preset_epoch(rows, batch, "sparse-features")
    return Pair(ours, taking(len(rows), lambda: sparse_speed.products(rounds=4)))


PAIRS: dict[str, Callable[[], Pair]] = {
    "train-100": partial(train, 100, TRAINED),
    "train-512": partial(train, 512, TRAINED),
    "train-convolutional": train_convolutional,
    "train-dictionary": train_dictionary,
}
