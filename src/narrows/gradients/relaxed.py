"""Estimators for discrete codes that take a smooth slope for that of a step: of low variance, and biased."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, OneHotCategorical

from narrows.axes import Gradient, Latent, Objective
from narrows.distributions import one_hot
from narrows.errors import at_least
from narrows.noise import Noise
from narrows.sampling import SMALLEST_UNIFORM, perturbed, sample
from narrows.values import Clock


class _Smoothed(Gradient):
    """An estimator for draws that have no path."""

    def refuses_pair(self, latent: Latent, objective: Objective) -> str | None:
        """Codes that have a path, or none drawn."""
        if latent.discrete:
            return None
        return (
            f"gradient {self.kind} is for discrete draws, and {latent.kind} codes have a path; take gradient=pathwise"
        )


class StraightThrough(_Smoothed, kind="straight-through"):
    """A hard draw forward, the gradient of the mean backward: biased, of low variance (Bengio et al. 2013)."""

    def draw(self, q: Distribution, k: int, noise: Noise, clock: Clock) -> tuple[Tensor, Distribution]:
        """Draw hard values that carry the gradient of the mean."""
        mean = q.mean
        return sample(q, k, noise).detach() + (mean - mean.detach()), q

    def bias(self, latent: Latent, objective: Objective) -> str | None:
        """Always."""
        return "the slope of a step is taken for 1"


class Relaxed(_Smoothed, kind="relaxed"):
    """Codes between the discrete ones, which have a path: biased, the less so the lower the temperature.

    A bit is sigmoid((logit + L) / t) with logistic noise L, a symbol softmax((logits + G) / t) with Gumbel noise G
    (Jang et al. 2017; Maddison et al. 2017); as the temperature t falls to 0 they become the draws themselves, and the
    gradient's variance grows without bound. The divergence is that of the discrete code; where it is sampled, log q
    and log p are taken as linear between codes. Only training sees such codes.

    Parameters
    ----------
    temperature : float
        At the start of training, above 0.
    final : float
        At its end, above 0; in between it falls by equal ratios.
    hard : bool
        Decode the discrete code nearest to the relaxed one, and take the relaxed one's gradient for its.
    """

    def __init__(self, temperature: float = 1.0, final: float = 0.5, hard: bool = False) -> None:
        super().__init__()
        at_least("gradient.temperature", temperature, 0, above=True)
        at_least("gradient.final", final, 0, above=True)
        self.temperature = temperature
        self.final = final
        self.hard = hard

    def at(self, clock: Clock) -> Tensor:
        """Return the temperature at a time, temperature^(1 - progress) final^progress."""
        return self.temperature * (self.final / self.temperature) ** clock.progress

    def draw(self, q: Distribution, k: int, noise: Noise, clock: Clock) -> tuple[Tensor, Distribution]:
        """Draw relaxed codes, or hard ones that carry their gradient."""
        shape = (k, *q.batch_shape, *q.event_shape)
        soft, nearest = relax(q, self.at(clock), shape, len(q.batch_shape), noise)
        return (nearest + (soft - soft.detach()) if self.hard else soft), q

    def bias(self, latent: Latent, objective: Objective) -> str | None:
        """Always."""
        return "the slope of a step is taken for that of a smooth one" if self.hard else "relaxed codes are decoded"


@singledispatch
def relax(q: Distribution, temperature: Tensor, shape: Sequence[int], rows: int, noise: Noise) -> tuple[Tensor, Tensor]:
    """Rule for one kind of discrete distribution: draw values with a path, and the discrete ones nearest to them.

    Parameters
    ----------
    q : Distribution
        What to draw from.
    temperature : Tensor, shape ()
        Above 0; the discrete values do not depend on it, and are the draws of `narrows.sampling.sample`.
    shape : sequence of int
        Shape of the result.
    rows : int
        The axis of ``shape`` that counts the examples.
    noise : Noise
        The source of randomness.
    """
    raise TypeError(f"no rule to relax {type(q).__name__}: register one with narrows.gradients.relaxed.relax")


@relax.register
def _(q: Independent, temperature: Tensor, shape: Sequence[int], rows: int, noise: Noise) -> tuple[Tensor, Tensor]:
    return relax(q.base_dist, temperature, shape, rows, noise)


@relax.register
def _(q: Bernoulli, temperature: Tensor, shape: Sequence[int], rows: int, noise: Noise) -> tuple[Tensor, Tensor]:
    uniform = noise.uniform(shape, rows=rows).clamp_min(SMALLEST_UNIFORM)
    above = q.logits - torch.logit(uniform)
    return torch.sigmoid(above / temperature), (above > 0).to(above.dtype)


@relax.register
def _(
    q: OneHotCategorical, temperature: Tensor, shape: Sequence[int], rows: int, noise: Noise
) -> tuple[Tensor, Tensor]:
    scores = perturbed(q.logits, shape, rows, noise)
    nearest = one_hot(scores.argmax(-1), shape[-1], scores.dtype)
    return torch.softmax(scores / temperature, -1), nearest
