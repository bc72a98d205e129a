"""Draws from every distribution, from one source of noise, by a differentiable path where there is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import singledispatch

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Normal, OneHotCategorical, Poisson

from narrows.distributions import (
    Chain,
    DiagonalNormal,
    Flat,
    FullNormal,
    Mixture,
    Nested,
    Point,
    StandardNormal,
    one_hot,
)
from narrows.noise import Noise

# Half the step of float32 uniforms: a draw of exactly 0 stands for the values below the first step, not for an outcome
# without limit.
SMALLEST_UNIFORM = 2.0**-25


def sample(q: Distribution, k: int, noise: Noise) -> Tensor:
    """Draw ``k`` values of each example from ``q``, by a differentiable path where ``q`` has one.

    Parameters
    ----------
    q : Distribution
        Its last batch axis counts the examples.
    k : int
        Number of draws.
    noise : Noise
        The source of randomness.

    Returns
    -------
    Tensor, shape (k, batch, event)
    """
    shape = (k, *q.batch_shape, *q.event_shape)
    return draw(q, shape, len(q.batch_shape), noise)


@singledispatch
def draw(q: Distribution, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    """Rule for one kind of distribution behind `sample`; register one for every new kind.

    Parameters
    ----------
    q : Distribution
        What to draw from.
    shape : sequence of int
        Shape of the result.
    rows : int
        The axis of ``shape`` that counts the examples.
    noise : Noise
        The source of randomness.
    """
    raise TypeError(f"no rule to draw from {type(q).__name__}: register one with narrows.sampling.draw")


@draw.register
def _(q: Independent, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    return draw(q.base_dist, shape, rows, noise)


@draw.register
def _(q: Point, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    # The gradient of a value that is drawn once need not be summed over the draws.
    return q.value.unsqueeze(0) if shape[0] == 1 else q.value.expand(*shape)


@draw.register
def _(q: Nested, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    return q.cut(shape[0])


@draw.register
def _(q: Flat, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    if math.prod(q.event_shape):
        raise TypeError("the flat prior cannot be sampled")
    return torch.zeros(*shape, device=noise.generator.device)  # of the empty code there is but one


@draw.register
def _(q: Normal, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    return torch.addcmul(q.loc, q.scale, noise.normal(shape, rows=rows))


@draw.register(DiagonalNormal)
@draw.register(FullNormal)
@draw.register(StandardNormal)
def _(q: DiagonalNormal | FullNormal | StandardNormal, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    return q.placed(noise.normal(shape, rows=rows))


@draw.register
def _(q: Mixture, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    places = q.log_weights.softmax(0).cumsum(0)
    uniform = noise.uniform(shape[:-1], rows=rows).to(places.dtype).contiguous()
    picked = torch.searchsorted(places, uniform, right=True).clamp_max(len(places) - 1)
    parts = q.parts.at(picked.flatten())
    normal = noise.normal(shape, rows=rows).to(places.dtype).reshape(1, -1, shape[-1])
    return parts.placed(normal).view(*shape)


@draw.register
def _(q: Chain, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    return q.walk(lambda level, size: draw(level, (*shape[:-1], size), rows, noise))


@draw.register
def _(q: Bernoulli, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    return (noise.uniform(shape, rows=rows) < q.probs).to(q.probs.dtype)


@draw.register
def _(q: Categorical, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    return gumbel_argmax(q.logits, (*shape, q.logits.shape[-1]), rows, noise).to(q.logits.dtype)


@draw.register
def _(q: OneHotCategorical, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    return one_hot(gumbel_argmax(q.logits, shape, rows, noise), q.logits.shape[-1], q.logits.dtype)


@draw.register
def _(q: Poisson, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    # By inversion, so that rows can share a draw: the smallest count of which P(X <= count) is above a uniform draw.
    rate = q.rate.detach().double()
    uniform = noise.uniform(shape, rows=rows).clamp_min(SMALLEST_UNIFORM)
    low, high = torch.zeros_like(uniform, dtype=rate.dtype), (rate + 8 * rate.sqrt() + 20).ceil().expand(*shape)
    for _ in range(int(high.max()).bit_length()):
        middle = ((low + high) / 2).floor()
        reached = torch.special.gammaincc(middle + 1, rate) > uniform
        low, high = torch.where(reached, low, middle + 1), torch.where(reached, middle, high)
    return high.to(q.rate.dtype)


def gumbel_argmax(logits: Tensor, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    """Draw categories by the Gumbel trick, the argmax over the last axis of what `perturbed` gives."""
    return perturbed(logits, shape, rows, noise).argmax(-1)


def perturbed(logits: Tensor, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    """Add Gumbel noise, minus the log of an exponential draw; the last axis of ``shape`` is that of the categories."""
    exponential = -torch.log1p(-noise.uniform(shape, rows=rows).clamp_min(SMALLEST_UNIFORM))
    return logits - exponential.log()
