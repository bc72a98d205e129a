"""What a draw may be expected to cost, told without looking at it: the baselines of the score-function estimator."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from narrows.values import Terms
from narrows.workers import batch_mean

MOMENTUM = 0.1
WIDTH = 64


class Baseline(nn.Module):
    """What each draw is compared with; it knows nothing of that draw, and so adds no bias.

    Attributes
    ----------
    draws : int
        The fewest draws for each example that it can do with.
    """

    draws: ClassVar[int] = 1

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make weights and buffers of its own, for examples that the encoder sees in this shape."""

    @abstractmethod
    def forward(self, cost: Tensor, terms: Terms) -> Tensor:
        """Costs (k, n), in nats -> what each is compared with, broadcastable to (k, n); no gradient is taken of it."""

    def learn(self, cost: Tensor, terms: Terms) -> Tensor:
        """Take the costs (k, n) into account from the next step on; return what its own weights are to make small."""
        return cost.new_zeros(())


class Zero(Baseline):
    """Nothing: the bare estimator (Williams 1992)."""

    def forward(self, cost: Tensor, terms: Terms) -> Tensor:
        """0 nats."""
        return cost.new_zeros(())


class LeaveOneOut(Baseline):
    """The mean cost of the example's other draws (Kool et al. 2019); under iwae VIMCO's (Mnih and Rezende 2016)."""

    draws = 2

    def forward(self, cost: Tensor, terms: Terms) -> Tensor:
        """Mean of the others, (k, n)."""
        return (cost.sum(0) - cost) / (len(cost) - 1)


class Average(Baseline):
    """The moving average of the cost over the steps before this one (Williams 1992)."""

    level: Tensor
    weight: Tensor

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make the average, of nothing yet."""
        self.register_buffer("level", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))

    @property
    def mean(self) -> Tensor:
        """The average in nats; 0 before the first step."""
        return self.level / self.weight.clamp_min(MOMENTUM)

    def forward(self, cost: Tensor, terms: Terms) -> Tensor:
        """Return the average."""
        return self.mean

    def learn(self, cost: Tensor, terms: Terms) -> Tensor:
        """Let the average move on, in training."""
        if self.training:
            self.follow(cost)
        return super().learn(cost, terms)

    def follow(self, cost: Tensor) -> None:
        """Move the average towards the mean of these costs."""
        self.level.lerp_(batch_mean(cost.mean()).to(self.level.dtype), MOMENTUM)
        # The share of the average that is not the 0 it began with (as Kingma and Ba 2015 correct theirs).
        self.weight.lerp_(torch.ones_like(self.weight), MOMENTUM)


class Learned(Average):
    """The cost that a small network expects of the example, learnt along with the rest (NVIL; Mnih and Gregor 2014).

    One hidden layer sees what the encoder sees, and is told to make its squared error small. It starts at the moving
    average and tells how many typical deviations the example lies from it, so that the scale of the cost is no matter.
    """

    square: Tensor

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make the network, the average and the deviation."""
        super().build(seen_shape)
        self.register_buffer("square", torch.zeros(()))
        last = nn.Linear(WIDTH, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(seen_shape), WIDTH), nn.Tanh(), last)

    @property
    def deviation(self) -> Tensor:
        """Typical distance of a cost from the average, at least 1 nat."""
        return (self.square / self.weight.clamp_min(MOMENTUM)).sqrt().clamp_min(1.0)

    def forward(self, cost: Tensor, terms: Terms) -> Tensor:
        """What the network expects of each example, (n,)."""
        with torch.no_grad():
            return self.mean + self.deviation * self._standing(terms)

    def learn(self, cost: Tensor, terms: Terms) -> Tensor:
        """Let average and deviation move on, in training; mean squared error, in deviations."""
        super().learn(cost, terms)
        return ((cost - self.mean) / self.deviation - self._standing(terms)).square().mean()

    def follow(self, cost: Tensor) -> None:
        """Move average and deviation."""
        super().follow(cost)
        squared = batch_mean((cost - self.mean).square().mean())
        self.square.lerp_(squared.to(self.square.dtype), MOMENTUM)

    def _standing(self, terms: Terms) -> Tensor:
        """How many deviations above the average each example is expected to cost, (n,)."""
        assert terms.seen is not None  # a model always says what was seen
        return self.network(terms.seen).squeeze(1)


BASELINES: Mapping[str, type[Baseline]] = {
    "leave-one-out": LeaveOneOut,
    "none": Zero,
    "average": Average,
    "learned": Learned,
}
