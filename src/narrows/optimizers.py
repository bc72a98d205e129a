"""Optimizers, learning-rate schedules, averaged weights and the range test that picks a rate."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from narrows.errors import unknown

OptimizerName = Literal["adam", "adamw", "sgd"]
ScheduleName = Literal["cosine", "constant", "plateau"]

M = TypeVar("M", bound=nn.Module)

# One row an optimizer: how it is made from parameters and a rate, and the rate it starts with where none is given.
OPTIMIZERS: Mapping[str, tuple[Callable[..., torch.optim.Optimizer], float, Mapping[str, Any]]] = {
    "adam": (torch.optim.Adam, 1e-3, {"fused": True}),
    "adamw": (torch.optim.AdamW, 1e-3, {"fused": True, "weight_decay": 1e-2}),
    "sgd": (torch.optim.SGD, 1e-1, {"fused": True, "momentum": 0.9}),
}

WARM_UP = 0.02  # share of the training over which a cosine rate rises
PLATEAU_FACTOR = 0.5
PLATEAU_EPOCHS = 3
RANGE_STEPS = 80
RANGE = (1e-5, 1.0)


def make_optimizer(name: str, model: nn.Module, rate: float, momentum: float | None = None) -> torch.optim.Optimizer:
    """Make an optimizer over a model's parameters.

    Parameters
    ----------
    name : {"adam", "adamw", "sgd"}
        Its name.
    model : nn.Module
        Whose parameters it moves.
    rate : float
        Learning rate.
    momentum : float, optional
        Momentum of sgd; its default is 0.9.

    Raises
    ------
    InputError
        If the name is unknown.
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    kind, _, options = OPTIMIZERS[name]
    changed = {**options, "momentum": momentum} if momentum is not None and "momentum" in options else options
    return kind(model.parameters(), lr=rate, **changed)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next steps."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class Constant:
    """The full rate, always."""

    def share(self, progress: float) -> float:
        """Share of the full rate when ``progress``, in [0, 1], of the training is done."""
        return 1.0

    def see(self, nats: float) -> None:
        """Take the held-out figure of one more epoch."""

    def state(self) -> dict[str, float]:
        """What has to be kept to resume."""
        return dict(vars(self))

    def restore(self, state: Mapping[str, float]) -> None:
        """Go back to a state."""
        vars(self).update(state)


class Cosine(Constant):
    """A linear rise over the first 2 % of the training, then half a cosine down to 0 (Loshchilov and Hutter 2017)."""

    def share(self, progress: float) -> float:
        """Share of the full rate when ``progress``, in [0, 1], of the training is done."""
        if progress < WARM_UP:
            return max(progress / WARM_UP, WARM_UP)
        return 0.5 * (1 + math.cos(math.pi * min((progress - WARM_UP) / (1 - WARM_UP), 1.0)))


class Plateau(Constant):
    """Halved whenever the held-out figure has not fallen for three validations."""

    def __init__(self) -> None:
        self.kept = 1.0
        self.best = math.inf
        self.waited = 0

    def share(self, progress: float) -> float:
        """Share of the full rate that is left."""
        return self.kept

    def see(self, nats: float) -> None:
        """Take the held-out figure of one more epoch."""
        self.waited = 0 if nats < self.best else self.waited + 1
        self.best = min(self.best, nats)
        if self.waited >= PLATEAU_EPOCHS:
            self.kept *= PLATEAU_FACTOR
            self.waited = 0


SCHEDULES: Mapping[str, Callable[[], Constant]] = {"cosine": Cosine, "constant": Constant, "plateau": Plateau}


def make_schedule(name: str) -> Constant:
    """Make a schedule of the learning rate; raises `InputError` for an unknown name."""
    if name not in SCHEDULES:
        raise unknown("schedule", name, SCHEDULES)
    return SCHEDULES[name]()


class Average:
    """Exponentially averaged weights: w_avg <- d w_avg + (1 - d) w, d = min(decay, (1 + t) / (10 + t)).

    Parameters
    ----------
    model : nn.Module
        Whose weights are averaged; `model` here holds the average, with the buffers of the original.
    decay : float
        Share kept in a step, in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self._source = model
        self._averaged: list[Tensor] = list(self.model.parameters())
        self._newest: list[Tensor] = [parameter.detach() for parameter in model.parameters()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step ``step``."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averaged, self._newest, share)

    @torch.no_grad()
    def sync_buffers(self) -> None:
        """Copy what is not trained: statistics and running means."""
        for kept, newest in zip(self.model.buffers(), self._source.buffers(), strict=True):
            kept.copy_(newest)


def range_test(model: M, name: str, loss: Callable[[M], tuple[Tensor, float]]) -> float:
    """Find a learning rate by a short run on a copy, its rate rising from 1e-5 to 1 (Smith 2017).

    Parameters
    ----------
    model : nn.Module
        Left as it is.
    name : str
        Of the optimizer.
    loss : callable
        The surrogate to descend and the figure to watch, for a model on its next batch.

    Returns
    -------
    float
        A third of the rate at which the smoothed loss was lowest, before it turned.
    """
    trial = copy.deepcopy(model)
    optimizer = make_optimizer(name, trial, RANGE[0])
    rates = torch.logspace(math.log10(RANGE[0]), math.log10(RANGE[1]), RANGE_STEPS).tolist()
    smooth, lowest, best_rate = 0.0, math.inf, RANGE[0]
    for step, rate in enumerate(rates, start=1):
        set_rate(optimizer, rate)
        optimizer.zero_grad()
        surrogate, nats = loss(trial)
        surrogate.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        smooth = 0.8 * smooth + 0.2 * nats
        corrected = smooth / (1 - 0.8**step)
        if corrected < lowest:
            lowest, best_rate = corrected, rate
        if not math.isfinite(corrected) or (step > RANGE_STEPS // 4 and corrected > lowest + abs(lowest)):
            break
    return best_rate / 3
