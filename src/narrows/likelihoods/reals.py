"""The likelihood of real values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from narrows.axes import Likelihood
from narrows.data.schema import Schema
from narrows.errors import at_least
from narrows.noise import Noise
from narrows.sampling import draw
from narrows.values import Finding

SMALLEST_SIGMA = 1e-3
FLOOR_REACHED = 1.05


class Gaussian(Likelihood, kind="gaussian"):
    """log p(x | z) = -1/2 sum_i [((x_i - mu_i) / sigma)^2 + ln(2 pi sigma^2)] nats, on standardised data.

    With a fixed sigma, minus this is the squared error (MSE) up to a constant. A learned sigma weighs the error
    against the divergence as the data ask (Rybkin et al. 2021), so results do not depend on the unit of the data. It
    never falls below the floor: a thousandth of the data's standard deviation, or the standard deviation of rounding
    (step / sqrt(12)) where the values lie on a grid; without it the density of a point code has no bound.

    Parameters
    ----------
    sigma : float or None
        Standard deviation in units of the data's standard deviation; None to learn it.
    by_cell : bool
        Whether a learned sigma is each cell's own.
    """

    grid = False
    cellwise = True
    # Adam moves a parameter by about its rate in a step: ten times that lets sigma change e-fold in some 100 steps.
    pace = 10.0
    floor: Tensor

    def __init__(self, sigma: float | None = None, by_cell: bool = False) -> None:
        super().__init__()
        if sigma is not None:
            at_least("likelihood.sigma", sigma, 0, above=True)
        self.sigma = sigma
        self.by_cell = by_cell
        self.register_buffer("floor", torch.tensor(SMALLEST_SIGMA))

    def build(self, schema: Schema) -> None:
        """Take the shape of an example."""
        self.shape = schema.shape
        if self.sigma is None:
            self.log_sigma = nn.Parameter(torch.zeros(schema.shape if self.by_cell else ()))

    def calibrate(self, resolution: float) -> None:
        """Raise the floor to the standard deviation of rounding."""
        self.floor.fill_(max(SMALLEST_SIGMA, resolution / math.sqrt(12)))

    @property
    def scale(self) -> Tensor:
        """Sigma in units of the data's standard deviation: sqrt(floor^2 + exp(2 s)) where it is learned."""
        if self.sigma is not None:
            return torch.full_like(self.floor, self.sigma)
        return (self.floor.square() + (2 * self.log_sigma).exp()).sqrt()

    def diagnose(self) -> Iterator[Finding]:
        """Say that sigma rests on its floor."""
        scale = self.scale.detach()
        if self.sigma is None and bool((scale < FLOOR_REACHED * self.floor).any()):
            yield Finding(
                "sigma at its floor",
                f"the learned sigma fell to {float(scale.min()):.2g} standard deviations, the finest step of the data",
                "the density says no more than that the fit is exact: compare errors instead, or fix likelihood.sigma",
            )

    def forward(self, params: Tensor) -> Distribution:
        """Means (k, n, 1, x) -> a gaussian with independent cells."""
        return Spherical(params.squeeze(2), self.scale)


class Spherical(Distribution):
    """Gaussian with independent cells and one sigma, or one a cell, for all examples.

    Parameters
    ----------
    mean : Tensor, shape (k, n, x)
        Means.
    scale : Tensor, shape () or x
        Standard deviation.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        self.loc = mean
        self.scale = scale
        super().__init__(mean.shape[:2], mean.shape[2:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Means (k, n, x)."""
        return self.loc

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of ``value`` (n, x) or (k, n, x): (k, n)."""
        error = (value - self.loc) / self.scale if self.scale.dim() else value - self.loc
        squared = error.square().flatten(2).sum(2)
        if not self.scale.dim():
            squared = squared / self.scale.square()
        log_scale = self.scale.log().expand(self.event_shape).sum()
        return -0.5 * squared - log_scale - 0.5 * math.log(2 * math.pi) * self.event_shape.numel()

    def log_prob_of(self, value: Tensor, scored: Tensor) -> Tensor:
        """Nats of those cells of ``value`` (n, x) that are in ``scored`` (n, x): (k, n)."""
        error = (value - self.loc) / self.scale
        nats = -0.5 * error.square() - self.scale.log() - 0.5 * math.log(2 * math.pi)
        return torch.where(scored, nats, 0.0).flatten(2).sum(2)

    def log_prob_clean(self, value: Tensor, variance: Tensor, derivative: Tensor) -> Tensor:
        """Nats of clean rows, estimated without bias from noisy ones: (k, n).

        Parameters
        ----------
        value : Tensor, shape (n, x)
            With gaussian noise.
        variance : Tensor
            Of that noise, broadcastable to x.
        derivative : Tensor, shape (k, n, x)
            Of each mean by its own cell of ``value``, or an estimate of it.
        """
        too_much = (variance * (1 - 2 * derivative) / self.scale.square()).flatten(2).sum(2)
        return self.log_prob(value) + 0.5 * too_much


@draw.register
def _(q: Spherical, shape: tuple[int, ...], rows: int, noise: Noise) -> Tensor:
    return torch.addcmul(q.loc, q.scale, noise.normal(shape, rows=rows))
