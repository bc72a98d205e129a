"""Rules of a step down a gradient, on torch's fused kernels."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import ClassVar

import torch
from torch import Tensor, nn

CLIP = 1.0
STEPS_BETWEEN = 50
NEGLIGIBLE = 2.0**-118  # a mean that keeps nine tenths a step does not fall from here to 2^-126 in these steps


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
    elementwise : bool
        Whether each number moves by its own gradient alone, whatever the others'.
    """

    elementwise: ClassVar[bool] = True
    moments: ClassVar[tuple[str, ...]]  # names of what is kept of each parameter in its own shape, from 0 on

    def __init__(self, groups: Iterable[tuple[Sequence[Tensor], float]], rate: float) -> None:
        self.full_rate = self._rate = rate
        self.groups = [Group(parameters, pace, self.moments) for parameters, pace in groups]
        self._resident: Tensor | None = None

    @property
    def rate(self) -> float:
        """Learning rate of the next step, before the pace of a group."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._rate = rate
        if self._resident is not None:
            self._resident.fill_(rate)

    def reside(self, device: torch.device) -> None:
        """Keep the rate in a tensor beside the parameters from now on, so that a step that is captured follows it."""
        # A processor's kernels read a number in double, which so is the number that it would be given.
        self._resident = torch.tensor(self._rate, dtype=torch.float64 if device.type == "cpu" else None, device=device)

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
                self.move(moved, gradients, (self._rate if self._resident is None else self._resident) * group.pace)

    @torch.no_grad()
    def settle(self, step: int) -> None:
        """Put to 0 what is kept of gradients that ceased long ago, every 50 steps.

        The means of a unit that rests halve every seven steps, and of numbers below 2^-126 a processor takes many times
        as long. What is below 2^-118 moves no weight any more: Adam divides it by 1e-8 at least.

        Parameters
        ----------
        step : int
            Steps taken so far.
        """
        if step % STEPS_BETWEEN == 0:
            for tensor in (one for group in self.groups for name in self.moments for one in group.kept[name]):
                torch.hardshrink(tensor, NEGLIGIBLE, out=tensor)

    def move(self, group: Group, gradients: list[Tensor], rate: float | Tensor) -> None:
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

    def move(self, group: Group, gradients: list[Tensor], rate: float | Tensor) -> None:
        """Move parameters of one group."""
        torch._fused_adamw_(
            _as_they_lie(group.parameters),
            _as_they_lie(gradients),
            _as_they_lie(group.kept["exp_avg"]),
            _as_they_lie(group.kept["exp_avg_sq"]),
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


def _as_they_lie(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Matrices and stacks of them in the order of their numbers in memory: else the kernel takes thrice as long."""
    return [tensor.mT if tensor.dim() > 1 and not tensor.is_contiguous() else tensor for tensor in tensors]


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

    elementwise = False
    moments = ("momentum_buffer",)

    def __init__(self, groups: Iterable[tuple[Sequence[Tensor], float]], rate: float, momentum: float = 0.9) -> None:
        super().__init__(groups, rate)
        self.momentum = momentum

    def step(self) -> None:
        """Cut the gradient, and take a step."""
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        super().step()

    def move(self, group: Group, gradients: list[Tensor], rate: float | Tensor) -> None:
        """Move parameters of one group."""
        torch._fused_sgd_(
            group.parameters,
            gradients,
            group.kept["momentum_buffer"] if self.momentum else [],
            lr=rate,
            momentum=self.momentum,
            dampening=0,
            weight_decay=0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )
