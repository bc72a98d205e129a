"""Optimizers by name, averaged weights and the range test that picks a rate."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from narrows.descent import Adam, ClippedSgd, Optimizer
from narrows.errors import InputError, at_least, at_most, unknown
from narrows.model import Model


@dataclass(frozen=True)
class Rule:
    """One optimizer: how it is made, the rate it starts with, its options, and whether it scales each step itself."""

    make: type[Optimizer]
    rate: float
    options: Mapping[str, Any]
    adaptive: bool = True


OPTIMIZERS: Mapping[str, Rule] = {
    "adam": Rule(Adam, 1e-3, {}),
    "adamw": Rule(Adam, 1e-3, {"decay": 1e-2}),
    "sgd": Rule(ClippedSgd, 0.1, {"momentum": 0.9}, adaptive=False),
}

RANGE_STEPS = 100
SETTLING_STEPS = 50
RANGE = (1e-5, 3.0)


def make_optimizer(name: str, model: Model, rate: float | None = None, momentum: float | None = None) -> Optimizer:
    """Make an optimizer over a model's parameters.

    Parameters
    ----------
    name : {"adam", "adamw", "sgd"}
        Its name.
    model : Model
        Whose parameters it moves.
    rate : float, optional
        Learning rate; the rule's usual one unless given.
    momentum : float, optional
        Momentum of sgd, in [0, 1); its default is 0.9.

    Raises
    ------
    InputError
        If the name is unknown, or the optimizer has no such momentum.
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    rule, options = OPTIMIZERS[name], OPTIMIZERS[name].options
    if momentum is not None:
        if "momentum" not in options:
            raise InputError(f"momentum belongs to optimizer sgd, not to {name}; leave it out, or take --optimizer sgd")
        at_least("momentum", momentum, 0)
        at_most("momentum", momentum, 0.9999)
        options = {**options, "momentum": momentum}
    groups = [(group, pace if rule.adaptive else 1.0) for group, pace in model.paced()]
    return rule.make(groups, rule.rate if rate is None else rate, **options)


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
        self._newest: list[Tensor] = list(model.parameters())

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


def range_test(
    model: Model, name: str, surrogate: Callable[[Model], Tensor], figure: Callable[[Model], float]
) -> float:
    """Find a learning rate by a short run on a copy, its rate rising from 1e-5 to 3 (Smith 2017).

    Parameters
    ----------
    model : Model
        Left as it is.
    name : str
        Of the optimizer.
    surrogate : callable
        What to descend, for a model on its next batch.
    figure : callable
        What to watch: the same rows and draws every time, so that small batches do not hide the trend.

    Returns
    -------
    float
        A third of the rate at which the figure was lowest, before it turned.
    """
    trial = copy.deepcopy(model)
    optimizer = make_optimizer(name, trial, RANGE[0])
    rates = torch.logspace(math.log10(RANGE[0]), math.log10(RANGE[1]), RANGE_STEPS).tolist()
    with torch.no_grad():
        for _ in range(SETTLING_STEPS):  # running means settle first: the price of a code may hang on them
            surrogate(trial)
    start = lowest = figure(trial)
    best_rate = RANGE[0]
    for rate in rates:
        optimizer.rate = rate
        optimizer.forget()
        surrogate(trial).backward()
        optimizer.step()
        seen = figure(trial)
        if not seen <= start + abs(start):
            break
        if seen < lowest:
            lowest, best_rate = seen, rate
    return best_rate / 3
