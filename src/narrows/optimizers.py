"""Optimizers, learning-rate schedules, averaged weights and the range test that picks a rate."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from narrows.errors import InputError, at_least, at_most, unknown
from narrows.model import Model

OptimizerName = Literal["adam", "adamw", "sgd"]
ScheduleName = Literal["cosine", "constant", "plateau"]


class Optimizer:
    """Moves parameters against their gradients by a fused kernel of torch's.

    The first of torch's own optimizers that is made loads torch's compiler: 66 MiB and more than a second, as much as a
    small model trains in.

    Parameters
    ----------
    groups : iterable of (sequence of Tensor, float)
        Parameters, and how many times as fast as others they move.
    rate : float
        The full learning rate.

    Attributes
    ----------
    rate : float
        Learning rate of the next step, before the pace of a group.
    """

    moments: ClassVar[tuple[str, ...]]  # names of what is kept of each parameter in its own shape, from 0 on

    def __init__(self, groups: Iterable[tuple[Sequence[Tensor], float]], rate: float) -> None:
        self.full_rate = self.rate = rate
        self.groups = [Group(parameters, pace, self.moments) for parameters, pace in groups]

    @property
    def parameters(self) -> list[Tensor]:
        """All that is moved, group by group."""
        return [parameter for group in self.groups for parameter in group.parameters]

    def forget(self) -> None:
        """Forget the gradients."""
        for group in self.groups:
            for parameter in group.parameters:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take a step; a parameter without a gradient stays where it is, and its step is not counted."""
        for group in self.groups:
            moved = group.told()
            gradients = [parameter.grad for parameter in moved.parameters if parameter.grad is not None]
            if gradients:
                moved.count()
                self.move(moved, gradients, self.rate * group.pace)

    def move(self, group: Group, gradients: list[Tensor], rate: float) -> None:
        """Move parameters of one group."""
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on but the rate, by name."""
        places = [(group, place) for group in self.groups for place in range(len(group.parameters))]
        return {
            f"{index}.{name}": tensors[place]
            for index, (group, place) in enumerate(places)
            for name, tensors in group.kept.items()
        }

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state; what it does not name is as at the start."""
        for name, tensor in self.state().items():
            tensor.copy_(tensors[name]) if name in tensors else tensor.zero_()


class Group:
    """Parameters that move at one pace, and what is kept of each.

    Parameters
    ----------
    parameters : sequence of Tensor
        All on one device.
    pace : float
        How many times as fast as others they move.
    moments : iterable of str
        What is kept of each in its own shape, from 0 on, beside the number of its steps.
    """

    def __init__(self, parameters: Sequence[Tensor], pace: float, moments: Iterable[str]) -> None:
        self.parameters = list(parameters)
        self.pace = pace
        self.kept = {name: [torch.zeros_like(parameter) for parameter in parameters] for name in moments}
        # Views of one tensor, so that all of them rise at once.
        self.counts = torch.zeros(len(self.parameters), device=self.parameters[0].device)
        self.kept["step"] = list(self.counts.unbind())

    def count(self) -> None:
        """Count a step of each parameter."""
        if len(self.parameters) == len(self.counts):
            self.counts.add_(1)
        else:
            torch._foreach_add_(self.kept["step"], 1)

    def told(self) -> Group:
        """Those of the parameters that have a gradient, with what is kept of them."""
        there = [parameter.grad is not None for parameter in self.parameters]
        if all(there):
            return self
        some = copy.copy(self)
        some.parameters = list(compress(self.parameters, there))
        some.kept = {name: list(compress(tensors, there)) for name, tensors in self.kept.items()}
        return some


class Adam(Optimizer):
    """A step as long as the running mean of a gradient over the root of its running square (Kingma and Ba 2015).

    Parameters
    ----------
    groups, rate
        As of any.
    betas : (float, float)
        Shares kept of both running means.
    decay : float
        Share of the weights, times the rate, that each step takes off beside it (adamw; Loshchilov and Hutter 2019).
    """

    moments = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        groups: Iterable[tuple[Sequence[Tensor], float]],
        rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        decay: float = 0.0,
    ) -> None:
        super().__init__(groups, rate)
        self.betas = betas
        self.decay = decay

    def move(self, group: Group, gradients: list[Tensor], rate: float) -> None:
        """Move parameters of one group."""
        torch._fused_adamw_(
            group.parameters,
            gradients,
            group.kept["exp_avg"],
            group.kept["exp_avg_sq"],
            [],
            group.kept["step"],
            lr=rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=self.decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


class ClippedSgd(Optimizer):
    """Gradient descent with momentum whose gradient, in nats per cell, is cut to a norm of 1 (Pascanu et al. 2013).

    One rate then serves every likelihood and every batch size: where sigma or a logistic's scale is small, the bare
    gradient grows with its inverse square.

    Parameters
    ----------
    groups, rate
        As of any.
    momentum : float
        Share of the last step, over its rate, that the next one goes on with, in [0, 1).
    """

    moments = ("momentum_buffer",)

    def __init__(self, groups: Iterable[tuple[Sequence[Tensor], float]], rate: float, momentum: float = 0.9) -> None:
        super().__init__(groups, rate)
        self.momentum = momentum

    def step(self) -> None:
        """Cut the gradient, and take a step."""
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        super().step()

    def move(self, group: Group, gradients: list[Tensor], rate: float) -> None:
        """Move parameters of one group."""
        velocities = group.kept["momentum_buffer"]
        torch._foreach_mul_(velocities, self.momentum)
        torch._foreach_add_(velocities, gradients)
        torch._foreach_add_(group.parameters, velocities, alpha=-rate)


@dataclass(frozen=True)
class Rule:
    """One optimizer: how it is made, the rate it starts with, its options, and whether it scales each step itself."""

    make: Callable[..., Optimizer]
    rate: float
    options: Mapping[str, Any]
    adaptive: bool = True


CLIP = 1.0
OPTIMIZERS: Mapping[str, Rule] = {
    "adam": Rule(Adam, 1e-3, {}),
    "adamw": Rule(Adam, 1e-3, {"decay": 1e-2}),
    "sgd": Rule(ClippedSgd, 0.1, {"momentum": 0.9}, adaptive=False),
}

WARM_UP = 0.02  # share of the training over which a cosine rate rises
PLATEAU_FACTOR = 0.5
PLATEAU_EPOCHS = 3
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
