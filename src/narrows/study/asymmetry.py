"""The two divergences between a law with two modes and the gaussian nearest to it, by either of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.study.known import relative

# The law: weights, means and standard deviations of its two modes.
MODES = ((0.6, -3.0, 0.8), (0.4, 3.0, 1.0))
REACH, NODES = 14.0, 2801


@dataclass(frozen=True)
class Nearest:
    """The gaussian that one divergence calls nearest.

    Parameters
    ----------
    by : str
        Which divergence is lowest there, and how it was found.
    mean, deviation : float
        Of the gaussian.
    reverse_nats, forward_nats : float
        KL(q || p) and KL(p || q).
    """

    by: str
    mean: float
    deviation: float
    reverse_nats: float
    forward_nats: float


@dataclass(frozen=True)
class Asymmetry:
    """A law p on a line and the gaussians q nearest to it.

    Parameters
    ----------
    z, density : list of float
        Of the law.
    nearest : list of Nearest
        By KL(q || p), from a start at either mode, and by KL(p || q).
    """

    z: list[float]
    density: list[float]
    nearest: list[Nearest]


def asymmetry() -> Asymmetry:
    """Find them: KL(p || q) is lowest where mean and variance agree, KL(q || p) by descent."""
    z = torch.linspace(-REACH, REACH, NODES, dtype=torch.float64)
    step = 2 * REACH / (NODES - 1)
    parts = [math.log(weight) + log_normal(z, mean, deviation) for weight, mean, deviation in MODES]
    log_p = torch.stack(parts).logsumexp(0)
    mass = log_p.exp() * step
    mean = float((mass * z).sum())
    deviation = math.sqrt(float((mass * (z - mean).square()).sum()))
    found = {"KL(p || q)": (mean, deviation)}
    for _, start, spread in MODES:
        found[f"KL(q || p), from {start:g}"] = _lowest(
            lambda m, s: _divergences(z, log_p, step, m, s)[0], start, spread
        )
    nearest = [
        Nearest(by, *gaussian, *(float(nats) for nats in _divergences(z, log_p, step, *z.new_tensor(gaussian))))
        for by, gaussian in found.items()
    ]
    return Asymmetry(z.tolist(), log_p.exp().tolist(), nearest)


def log_normal(z: Tensor, mean: Tensor | float, deviation: Tensor | float) -> Tensor:
    """ln of the density of a gaussian."""
    log_deviation = torch.as_tensor(deviation, dtype=z.dtype).log()
    return -0.5 * ((z - mean) / deviation).square() - log_deviation - 0.5 * math.log(2 * math.pi)


def _divergences(z: Tensor, log_p: Tensor, step: float, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor]:
    """KL(q || p) and KL(p || q) of a gaussian q."""
    log_q = log_normal(z, mean, deviation) + math.log(step)
    log_p = log_p + math.log(step)
    return relative(log_q, log_p), relative(log_p, log_q)


def _lowest(figure: Callable[[Tensor, Tensor], Tensor], mean: float, deviation: float) -> tuple[float, float]:
    """Mean and standard deviation at the lowest point that descent comes to from a start."""
    place = torch.tensor([mean, math.log(deviation)], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([place], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = figure(place[0], place[1].exp())
        value.backward()
        return value

    optimizer.step(closure)
    return float(place[0].detach()), float(place[1].detach().exp())
