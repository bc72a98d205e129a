"""Bounds of weighted draws: of several, those that tell more of p(x) count for more."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from narrows.axes import Latent, Objective
from narrows.errors import at_least
from narrows.objectives.warm_up import check_warm_up, risen
from narrows.values import Clock, Terms


class _Weighted(Objective):
    """Objectives whose cost of a draw is minus the log of its weight, p(x, z) / q(z | x).

    While they are warmed up the weight is p(x | z) (p(z) / q(z | x))^beta, beta rising from 0 to 1: no bound, but one
    that lets codes tell something before they are charged for it.
    """

    besides = "what weighing the draws takes off"

    def __init__(self, samples: int, warm_up: float) -> None:
        super().__init__()
        at_least("objective.samples", samples, 1)
        check_warm_up(warm_up)
        self.samples = samples
        self.warm_up = warm_up

    @property
    def scheduled(self) -> bool:
        """Whether weights are being warmed up."""
        return self.warm_up > 0

    @property
    def linear(self) -> bool:
        """Whether there is but one draw, whose weight stands alone."""
        return self.samples == 1

    def share(self, clock: Clock) -> Tensor:
        """Return beta at a time of the training, shape ()."""
        return risen(clock.progress, self.warm_up)

    def cost(self, terms: Terms, clock: Clock) -> Tensor:
        """Minus the log weight of each draw, (k, n)."""
        charged = terms.log_ratio
        if self.warm_up:
            charged = charged * self.share(clock).to(charged.dtype)
        return charged - terms.log_px

    def refuses_latent(self, latent: Latent) -> str | None:
        """Weights need densities, which deterministic codes do not have."""
        if latent.random:
            return None
        return (
            f"objective {self.kind} weighs random draws, and {latent.kind} codes are not random; take latent=gaussian "
            f"or objective=elbo"
        )


class Iwae(_Weighted, kind="iwae"):
    """Minus the importance-weighted bound: -ln 1/k sum_i p(x, z_i) / q(z_i | x) (Burda et al. 2016, eq. 8).

    A bound on log p(x), tighter than the elbo, of which it is the case k = 1. The figure reported is this bound itself.

    Parameters
    ----------
    samples : int
        Draws k for each example.
    warm_up : float
        Share of the training, in [0, 1], over which the codes come to be charged.
    """

    weighs = True

    def __init__(self, samples: int = 5, warm_up: float = 0.0) -> None:
        super().__init__(samples, warm_up)

    def combine(self, cost: Tensor) -> Tensor:
        """Minus the log of the mean weight: (k, n) -> (n,)."""
        return math.log(cost.shape[0]) - torch.logsumexp(-cost, 0)


class Renyi(_Weighted, kind="renyi"):
    """Minus the variational Renyi bound of order alpha (Li and Turner 2016, eqs. 6 and 10).

    -1 / (1 - alpha) ln 1/k sum_i w_i^(1 - alpha), w_i = p(x, z_i) / q(z_i | x): a bound on log p(x) on average for
    every alpha >= 0, the looser the larger alpha is. alpha = 0 is iwae and alpha = 1 the elbo of k draws; as k grows
    it comes to log p(x) less the Renyi divergence D_alpha(q || p(z | x)), which asks q to cover the posterior where
    alpha is small and to stay within it where alpha is large.

    Parameters
    ----------
    alpha : float
        Order of the divergence, at least 0.
    samples : int
        Draws k for each example.
    warm_up : float
        Share of the training, in [0, 1], over which the codes come to be charged.
    """

    def __init__(self, alpha: float = 0.5, samples: int = 5, warm_up: float = 0.0) -> None:
        super().__init__(samples, warm_up)
        at_least("objective.alpha", alpha, 0)
        self.alpha = alpha

    @property
    def linear(self) -> bool:
        """Whether every draw counts alike: one draw, or order 1."""
        return super().linear or self.alpha == 1

    def combine(self, cost: Tensor) -> Tensor:
        """Minus the bound: (k, n) -> (n,)."""
        if self.alpha == 1:
            return cost.mean(0)
        # In float64: near order 1 a small logarithm is divided by a small number.
        power = 1 - self.alpha
        nats = (math.log(cost.shape[0]) - torch.logsumexp(-power * cost.double(), 0)) / power
        return nats.to(cost.dtype)
