"""Optimizers, learning-rate schedules, averaged weights and the range test that picks a rate."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from narrows.errors import InputError, at_least, at_most, unknown
from narrows.model import Model

OptimizerName = Literal["adam", "adamw", "sgd"]
ScheduleName = Literal["cosine", "constant", "plateau"]


class ClippedSgd(torch.optim.SGD):
    """Gradient descent with momentum whose gradient, in nats per cell, is cut to a norm of 1 (Pascanu et al. 2013).

    One rate then serves every likelihood and every batch size: where sigma or a logistic's scale is small, the bare
    gradient grows with its inverse square.
    """

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Cut the gradient, and take a step."""
        nn.utils.clip_grad_norm_([p for group in self.param_groups for p in group["params"]], CLIP)
        super().step(closure)


class GatheredAdam(torch.optim.Adam):
    """torch's fused Adam, its tensors gathered once: in a small model a step spends a twentieth on gathering them."""

    _gathered: list[_Lists] | None = None

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step. The first one, which makes the state, and any with a missing gradient are torch's own."""
        gradients = [[p.grad for p in group["params"]] for group in self.param_groups]
        if self._gathered is None or any(gradient is None for group in gradients for gradient in group):
            super().step()
            self._gather()
            return
        for group, found, lists in zip(self.param_groups, gradients, self._gathered, strict=True):
            lists.count.add_(1)
            lists.kernel(
                group["params"],
                found,
                lists.first,
                lists.second,
                [],
                lists.steps,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a kept state; its tensors are gathered at the next step."""
        super().load_state_dict(state_dict)
        self._gathered = None

    def _gather(self) -> None:
        """Collect the state of each group, unless some parameter has none; the counts become one tensor's views."""
        if any(not self.state[p] for group in self.param_groups for p in group["params"]):
            return
        self._gathered = []
        for group in self.param_groups:
            kept = [self.state[p] for p in group["params"]]
            count = torch.stack([state["step"] for state in kept])
            for state, step in zip(kept, count.unbind(), strict=True):
                state["step"] = step
            kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
            columns = ([state[name] for state in kept] for name in ("exp_avg", "exp_avg_sq", "step"))
            self._gathered.append(_Lists(kernel, count, *columns))


@dataclass(frozen=True)
class _Lists:
    """Of one group of parameters: the kernel, the counts of steps as one tensor, and what the kernel wants in lists."""

    kernel: Callable[..., None]
    count: Tensor
    first: list[Tensor]
    second: list[Tensor]
    steps: list[Tensor]


@dataclass(frozen=True)
class Rule:
    """One optimizer: how it is made, the rate it starts with, its options, and whether it scales each step itself."""

    make: Callable[..., torch.optim.Optimizer]
    rate: float
    options: Mapping[str, Any]
    adaptive: bool = True


CLIP = 1.0
OPTIMIZERS: Mapping[str, Rule] = {
    "adam": Rule(GatheredAdam, 1e-3, {"fused": True}),
    "adamw": Rule(GatheredAdam, 1e-3, {"fused": True, "weight_decay": 1e-2, "decoupled_weight_decay": True}),
    "sgd": Rule(ClippedSgd, 0.1, {"fused": True, "momentum": 0.9}, adaptive=False),
}

WARM_UP = 0.02  # share of the training over which a cosine rate rises
PLATEAU_FACTOR = 0.5
PLATEAU_EPOCHS = 3
RANGE_STEPS = 100
SETTLING_STEPS = 50
RANGE = (1e-5, 3.0)


def make_optimizer(
    name: str, model: Model, rate: float | None = None, momentum: float | None = None
) -> torch.optim.Optimizer:
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
    groups = [{"params": group, "pace": pace if rule.adaptive else 1.0} for group, pace in model.paced()]
    optimizer = rule.make(groups, lr=rule.rate if rate is None else rate, **options)
    set_rate(optimizer, optimizer.defaults["lr"])
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next steps, times the pace of each group of parameters."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["pace"]


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

    def restore(self, state: Mapping[str, float | None]) -> None:
        """Go back to a state; JSON has null for an infinite number."""
        vars(self).update({name: math.inf if value is None else value for name, value in state.items()})


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
        set_rate(optimizer, rate)
        optimizer.zero_grad()
        surrogate(trial).backward()
        optimizer.step()
        seen = figure(trial)
        if not seen <= start + abs(start):
            break
        if seen < lowest:
            lowest, best_rate = seen, rate
    return best_rate / 3
