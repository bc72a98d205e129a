"""Paths of gradient descent from the same weights: how far those of batches stray from that of all rows."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.data.batches import Batches
from narrows.model import Model
from narrows.noise import Noise
from narrows.values import Clock, Labelled

# Paths of equal length in rate times steps, beside that of the full batch.
PATH_RATE, PATH_STEPS = 0.2, 150
PATH_SIZES = (5, 10, 25, 50, 100, 250)
PATH_SEEDS = 3
PATH_DRAWN = (5, 50)


@dataclass(frozen=True)
class Way:
    """One way to descend.

    Parameters
    ----------
    name : str
        Of it.
    size : int
        Rows in a batch.
    rate : float
        The best of some by the training error in a shorter run: of 0.02 to 5 for the full batch, of 0.5, 1 and 2 for
        mini-batches, of 0.05, 0.1 and 0.2 for single rows.
    steps : int
        How many.
    """

    name: str
    size: int
    rate: float
    steps: int


@dataclass(frozen=True)
class Wandering:
    """How far paths of mini-batches end from that of the full batch, by the distance that this one went.

    Parameters
    ----------
    size : int
        Rows in a batch.
    anew, in_order : float
        Root mean square over seeds: each batch drawn from all rows anew, and those of an epoch in one order, so that
        each row comes once.
    """

    size: int
    anew: float
    in_order: float


@dataclass(frozen=True)
class Path:
    """Weights on the way, in the plane in which the full batch's path varies most."""

    name: str
    points: list[list[float]]


def steps(model: Model, batches: Iterator[Tensor | Labelled], way: Way, seed: int) -> Iterator[int]:
    """Descend in place: w <- w - rate grad, grad that of the mean nats a pixel of a batch; give the number of steps."""
    weights: list[Tensor] = list(model.parameters())
    noise, clock, cells = Noise(seed), Clock(), model.schema.size
    for step in range(1, way.steps + 1):
        loss, _ = model.loss(next(batches), noise, clock)
        gradients = torch.autograd.grad(loss / cells, weights)
        with torch.no_grad():
            torch._foreach_add_(weights, gradients, alpha=-way.rate)
        yield step


def in_order(values: Tensor, size: int, seed: int) -> Iterator[Tensor | Labelled]:
    """Batches as training takes them: in each epoch all rows once, in a new order."""
    return iter(Batches(values, size, seed=seed))


def anew(values: Tensor, size: int, seed: int) -> Iterator[Tensor]:
    """Batches each of which is drawn from all rows, whatever came before."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield values[torch.randperm(len(values), generator=generator)[:size]]


def wander(start: Model, values: Tensor, seed: int) -> tuple[list[Wandering], list[Path]]:
    """Paths of equal length from the same weights: where those of batches end, beside that of all rows."""
    way = Way("full batch", len(values), PATH_RATE, PATH_STEPS)
    full = _weights(start, in_order(values, way.size, seed), way, seed)
    length = (full[-1] - full[0]).norm()
    _, _, axes = torch.linalg.svd(full - full.mean(0), full_matrices=False)
    wandering, paths = [], [Path(way.name, ((full - full[0]) @ axes[:2].T).tolist())]
    for size in PATH_SIZES:
        way = Way(f"batches of {size}", size, PATH_RATE, PATH_STEPS)
        distances = []
        for batches in (anew, in_order):
            ways = [_weights(start, batches(values, size, seed + turn), way, seed) for turn in range(PATH_SEEDS)]
            squares = torch.stack([(one[-1] - full[-1]).square().sum() for one in ways])
            distances.append(float(squares.mean().sqrt() / length))
            if batches is anew and size in PATH_DRAWN:
                paths += [Path(way.name, ((one - full[0]) @ axes[:2].T).tolist()) for one in ways]
        wandering.append(Wandering(size, *distances))
    return wandering, paths


def _weights(start: Model, batches: Iterator[Tensor | Labelled], way: Way, seed: int) -> Tensor:
    """Weights before the first step and after each (steps + 1, weights)."""
    model = copy.deepcopy(start).train()
    path = [torch.nn.utils.parameters_to_vector(model.parameters()).detach()]
    for _ in steps(model, batches, way, seed):
        path.append(torch.nn.utils.parameters_to_vector(model.parameters()).detach())
    return torch.stack(path)
