"""Pairs of training: epochs of ours beside loops written by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sparse_speed
from binary_images import CELLS, CODE, WIDTH, images
from contenders import narrows_run, run_of, tuned_epoch
from narrows.train import Run
from pairs import Pair, Work, adapted, fitted_detector, mlp, taking

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


def rebuilding_epoch(layers: nn.Module, rows: Tensor, batch: int) -> Work:
    """An epoch of a network that rebuilds rows, by the squared error."""
    return plain_epoch(layers, rows, batch, lambda x: F.mse_loss(layers(x), x))


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


def train_denoiser() -> Pair:
    """An epoch of a small u-net that takes noise out of images, beside a stack of plain convolutions in a loop."""
    data = np.random.default_rng(0).integers(0, 256, (100, 32, 32), dtype=np.uint8)
    between = (layer for _ in range(4) for layer in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()))
    layers = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), *between, nn.Conv2d(16, 1, 3, padding=1))
    ours = preset_epoch(data, 20, "denoiser", "network.channels=16")
    return Pair(ours, rebuilding_epoch(layers, torch.from_numpy(data)[:, None] / 255, 20))


def train_compressor(preset: str, count: int, *sizes: int) -> Pair:
    """An epoch of a compressor of images, beside its small network alone on as many pixels and those before them."""
    data, pixels = np.random.default_rng(0).integers(0, 256, (count, 28, 28), dtype=np.uint8), 32
    ours = preset_epoch(data, BATCH, preset)
    return Pair(ours, rebuilding_epoch(mlp(*sizes), torch.rand(count, pixels, sizes[0]), BATCH))


def train_map() -> Pair:
    """An epoch of a map, which keeps neighbours together, beside t-SNE's own loss of a plain network in a loop."""
    data = np.random.default_rng(0).standard_normal((FEW, 64)).astype(np.float32)
    layers, itself = mlp(64, 256, 256, 2), torch.eye(500, dtype=torch.bool)

    def apart(x: Tensor) -> Tensor:
        z = layers(x)
        near = torch.softmax(-torch.cdist(x, x).square().masked_fill(itself, torch.inf), 1)
        codes = -torch.log1p(torch.cdist(z, z).square()).masked_fill(itself, torch.inf)
        return -(near * torch.log_softmax(codes.flatten(), 0).view_as(near).clamp_min(-1e9)).sum()

    ours = preset_epoch(data, 500, "map")
    return Pair(ours, plain_epoch(layers, torch.from_numpy(data), 500, apart))


def train_drawing(preset: str, draws: int) -> Pair:
    """An epoch of an estimator that takes several draws of a code, beside the pathwise one by hand of as many."""
    data = images(FEW)
    encoder, decoder = mlp(CELLS, WIDTH, 2 * CODE), mlp(CODE, WIDTH, CELLS)

    def loss(x: Tensor) -> Tensor:
        mean, log_var = encoder(x).chunk(2, 1)
        z = mean + (0.5 * log_var).exp() * torch.randn(draws, *mean.shape)
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()
        return kl + F.binary_cross_entropy_with_logits(decoder(z), x.expand(draws, -1, -1), reduction="sum") / len(x)

    rows = torch.from_numpy(data.reshape(FEW, CELLS)).float()
    ours = preset_epoch(data, BATCH, preset, "network=mlp")
    return Pair(ours, plain_epoch(nn.ModuleList([encoder, decoder]), rows, BATCH, loss))


def train_imputing() -> Pair:
    """An epoch of preset imputing on a mixed table with gaps, beside a plain network that rebuilds its cells."""
    from narrows.data.specimens import examples

    mixed = examples()[-1]
    rows = mixed.values.tile(100, 1)
    run = run_of(adapted("imputing", mixed.schema, rows), rows, BATCH)
    return Pair(epoch_of(run), rebuilding_epoch(mlp(6, 256, 256, 32, 256, 256, 6), rows.nan_to_num(), BATCH))


def train_members() -> Pair:
    """Four small models trained at once, beside the same four one after the other."""
    from members import PLAN, table
    from narrows.data.schema import infer_schema
    from narrows.fit import fit
    from narrows.members import fit_members

    rows, members, settings = table(FEW), 4, ("network.width=64",)
    schema, plan = infer_schema(rows), dataclasses.replace(PLAN, epochs=1)

    def one_by_one() -> None:
        for seed in range(members):
            fit(rows, schema, "variational", settings, dataclasses.replace(plan, seed=seed))

    at_once = partial(fit_members, rows, schema, "variational", settings, plan, members)
    return Pair(taking(members * FEW, at_once), taking(members * FEW, one_by_one))


def train_stream() -> Pair:
    """One pass over rows as they come, their statistics running along, beside a plain network in a loop."""
    from members import table
    from narrows.data.schema import infer_schema
    from narrows.online import Learner
    from narrows.plan import Plan

    data = table(TRAINED)
    learner = Learner.new(infer_schema(data), "autoencoder", (), Plan(batch_size=BATCH))
    rows = torch.from_numpy(data)
    ours = taking(TRAINED, lambda: learner.learn(rows))
    return Pair(ours, rebuilding_epoch(mlp(30, WIDTH, 16, WIDTH, 30), rows, BATCH))


def fit_detector(preset: str) -> Pair:
    """A detector fitted to rows by few steps and calibrated, beside scikit-learn's isolation forest."""
    from sklearn.ensemble import IsolationForest

    from detection_speed import made

    rows, _, _ = made(FEW)
    forest = IsolationForest(random_state=0)
    return Pair(taking(FEW, lambda: fitted_detector(preset, rows)), taking(FEW, lambda: forest.fit(rows)))


PAIRS: dict[str, Callable[[], Pair]] = {
    "train-1": partial(train, 1, 200),
    "train-100": partial(train, 100, TRAINED),
    "train-512": partial(train, 512, TRAINED),
    "train-convolutional": train_convolutional,
    "train-dictionary": train_dictionary,
    "train-denoiser": train_denoiser,
    "train-compressor": partial(train_compressor, "compressor-fast", TRAINED, 12, 32, 32, 12),
    "train-lossy": partial(train_compressor, "lossy", FEW, 24, 128, 128, 128, 24),
    "train-map": train_map,
    "train-score": partial(train_drawing, "discrete", 4),
    "train-iwae": partial(train_drawing, "iwae", 5),
    "train-imputing": train_imputing,
    "train-members": train_members,
    "train-stream": train_stream,
    "fit-detector": partial(fit_detector, "detector"),
    "fit-detector-fast": partial(fit_detector, "detector-fast"),
}
