"""The gradient of a batch as an estimate of the gradient of all rows: its mean and its variance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.data.batches import Batches
from narrows.model import Model
from narrows.noise import Noise
from narrows.values import Clock, Labelled

MEAN_SIZES = (1, 8, 50, 64)  # the last leaves a shorter batch at the end of 1000 rows
SIZES = (1, 4, 16, 64, 256)
DRAWS = 200


@dataclass(frozen=True)
class Mean:
    """The mean of a batch's gradient over one epoch, beside the full gradient.

    Parameters
    ----------
    size, batches : int
        Rows in a batch, and batches in an epoch.
    weighed, plain : float
        Norm of the difference by that of the full gradient: each batch weighed by its rows, and each alike.
    """

    size: int
    batches: int
    weighed: float
    plain: float


@dataclass(frozen=True)
class Variance:
    """Mean squared distance of a batch's gradient from the full one, by the squared norm of that.

    Parameters
    ----------
    size : int
        Rows in a batch, drawn without replacement.
    measured, predicted : float
        Over random batches; and s^2 / B (N - B) / (N - 1), s^2 that of single rows (Cochran 1977, theorem 2.2).
    """

    size: int
    measured: float
    predicted: float


def gradient(model: Model, rows: Tensor | Labelled) -> Tensor:
    """Gradient of the mean nats of raw rows with respect to all weights, as one vector."""
    loss, _ = model.loss(rows, Noise(0), Clock())
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])


def means(model: Model, values: Tensor, seed: int) -> list[Mean]:
    """Average over one epoch of batches, at fixed weights."""
    full, found = gradient(model, values), []
    for size in MEAN_SIZES:
        batches = Batches(values, size, seed=seed)
        weighed, plain = torch.zeros_like(full), torch.zeros_like(full)
        for _, rows in zip(range(batches.per_epoch), batches, strict=False):
            one = gradient(model, rows)
            weighed += one * (len(rows) / len(values))
            plain += one / batches.per_epoch
        gaps = [float((mean - full).norm() / full.norm()) for mean in (weighed, plain)]
        found.append(Mean(size, batches.per_epoch, *gaps))
    return found


def variances(model: Model, values: Tensor, seed: int) -> list[Variance]:
    """Measure the variance of random batches, and tell it from that of single rows."""
    full, n = gradient(model, values), len(values)
    alone = sum(float((gradient(model, row) - full).square().sum()) for row in values.split(1)) / n
    generator, found, norm = torch.Generator().manual_seed(seed), [], float(full.square().sum())
    for size in SIZES:
        squares = 0.0
        for _ in range(DRAWS):
            rows = values[torch.randperm(n, generator=generator)[:size]]
            squares += float((gradient(model, rows) - full).square().sum()) / DRAWS
        found.append(Variance(size, squares / norm, alone / size * (n - size) / (n - 1) / norm))
    return found
