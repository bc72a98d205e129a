"""Full-batch, mini-batch and one-at-a-time gradient descent on one problem: what is gained and what is lost.

A plain autoencoder of a thousand embedded images under squared error, by bare gradient descent at a constant rate, from
the same weights each time. The chapter is docs/theory/descent.md.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.data import read
from narrows.fit import new_model
from narrows.model import Model
from narrows.noise import Noise
from narrows.plan import Plan
from narrows.study.batching import Mean, Variance, means, variances
from narrows.study.paths import Path, Wandering, Way, in_order, steps, wander
from narrows.study.tables import Table
from narrows.study.training import DATA
from narrows.tensors import tensor_of
from narrows.values import Clock

SETTINGS = ["network=mlp", "network.width=32", "latent.size=8", "likelihood=gaussian", "likelihood.sigma=1"]
ROWS = 1000
LOOKS = 30


WAYS = (Way("full batch", ROWS, 2.0, 200), Way("mini-batch", 50, 2.0, 1000), Way("one at a time", 1, 0.2, 4000))


@dataclass(frozen=True)
class Descent:
    """How one way went; errors are mean squares a pixel, in variances of a pixel.

    Parameters
    ----------
    name : str
        Of the way.
    size, rate : int, float
        Rows in a batch, and the rate.
    steps, examples : list of int
        Steps taken and rows seen at each look, from the first step on.
    seconds : list of float
        Time of the processor spent in the steps.
    errors : list of float
        On all training rows.
    test_error : float
        On rows not trained on, at the end.
    """

    name: str
    size: int
    rate: float
    steps: list[int]
    examples: list[int]
    seconds: list[float]
    errors: list[float]
    test_error: float


@dataclass(frozen=True)
class Descents:
    """What the study of descent found.

    Parameters
    ----------
    seed : int
        Of everything.
    descents : list of Descent
        Each way.
    principal_error : float
        The training error of as many principal components as there are numbers in a code.
    means : list of Mean
        Mean gradient over the batches of an epoch, beside the full one.
    variances : list of Variance
        Of the gradient by the size of the batch.
    wandering : list of Wandering
        Distance from the full batch's path by the size of the batch.
    paths : list of Path
        Some of them in a plane.
    """

    seed: int
    descents: list[Descent]
    principal_error: float
    means: list[Mean]
    variances: list[Variance]
    wandering: list[Wandering]
    paths: list[Path]

    def told(self) -> list[float]:
        """Distances in proportion to the standard deviation of a batch, sqrt((N - B) / B), from the first one on."""
        spread = [math.sqrt((ROWS - row.size) / row.size) for row in self.wandering]
        return [self.wandering[0].anew * one / spread[0] for one in spread]

    def tables(self) -> list[Table]:
        """How each way ended; the mean, the variance and the wandering by the size of the batch."""
        ends = [
            (d.name, d.size, d.rate, d.steps[-1], d.examples[-1], d.seconds[-1], d.errors[-1], d.test_error)
            for d in self.descents
        ]
        spread = [(v.size, v.measured, v.predicted, v.measured / v.predicted) for v in self.variances]
        wandering = [(w.size, w.anew, told, w.in_order) for w, told in zip(self.wandering, self.told(), strict=True)]
        return [
            Table(
                f"mean squared error a pixel; {self.principal_error:.4g} for as many principal components",
                ("descent", "batch", "rate", "steps", "examples", "processor s", "training", "test"),
                ends,
            ),
            Table(
                "mean gradient over the batches of one epoch, less the full gradient, by its norm (float64)",
                ("batch", "batches", "weighed by rows", "not weighed"),
                [(m.size, m.batches, f"{m.weighed:.0e}", f"{m.plain:.0e}") for m in self.means],
            ),
            Table(
                "variance of the gradient, by its squared norm",
                ("batch", "measured", "s^2 / B (N - B) / (N - 1)", "ratio"),
                spread,
            ),
            Table(
                "distance from the full batch's path, by its length from end to end",
                ("batch", "each drawn anew", "c sqrt((N - B) / B)", "an epoch in order"),
                wandering,
            ),
        ]


def run(seed: int = 0) -> Descents:
    """Descend each way from the same weights, and measure gradients of batches at weights on the way.

    Parameters
    ----------
    seed : int
        Of weights and orders.
    """
    images, test = read(DATA), read(f"{DATA}:test")
    values = tensor_of(images.values[:ROWS])
    start = new_model(images.schema, "autoencoder", SETTINGS, Plan(seed=seed, device="cpu"))
    start.adapt(values)
    measured, descents = copy.deepcopy(start), []
    for way in WAYS:
        model, descent = _descent(start, way, values, tensor_of(test.values), seed)
        descents.append(descent)
        if way.size == min(other.size for other in WAYS if other.size > 1):
            measured = model
    wandering, paths = wander(start, values, seed)
    exact = copy.deepcopy(measured).double()
    return Descents(
        seed=seed,
        descents=descents,
        principal_error=_principal_error(start, values),
        means=means(exact, values, seed),
        variances=variances(exact, values, seed),
        wandering=wandering,
        paths=paths,
    )


def _descent(start: Model, way: Way, values: Tensor, test: Tensor, seed: int) -> tuple[Model, Descent]:
    for _ in steps(copy.deepcopy(start).train(), in_order(values, way.size, seed), Way("", way.size, 0.0, 2), seed):
        pass  # the first steps also find memory and load code
    model = copy.deepcopy(start).train()
    looks = {round(way.steps ** (look / LOOKS)) for look in range(LOOKS + 1)}
    taken, seconds, errors, spent, began = list[int](), list[float](), list[float](), 0.0, time.process_time()
    for step in steps(model, in_order(values, way.size, seed), way, seed):
        if step in looks:
            spent += time.process_time() - began
            taken.append(step)
            seconds.append(spent)
            errors.append(error(model, values))
            began = time.process_time()
    examples = [step * way.size for step in taken]
    return model, Descent(way.name, way.size, way.rate, taken, examples, seconds, errors, error(model, test))


@torch.no_grad()
def error(model: Model, values: Tensor) -> float:
    """Mean squared error a pixel, in variances of a pixel: twice the nats a pixel, without ln 2 pi."""
    nats = model.loss(values, Noise(0), Clock())[1].nats.mean() / model.schema.size
    return float(2 * nats - math.log(2 * math.pi))


def _principal_error(model: Model, values: Tensor) -> float:
    rows = model.batch(values, Noise(0)).x.flatten(1).double()
    rows = rows - rows.mean(0)
    eigenvalues = torch.linalg.eigvalsh(rows.T @ rows / len(rows))
    return float(eigenvalues[: -model.latent.size].sum() / model.schema.size)
