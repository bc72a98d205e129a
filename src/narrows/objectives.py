"""Which bound is driven up: the objective axis. Every cost is in nats per example."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from narrows.axes import Latent, Objective
from narrows.errors import at_least, at_most, unknown
from narrows.values import Clock, Terms

DIVERGENCES = ("exact", "sampled")


class Elbo(Objective, kind="elbo"):
    """Minus the evidence lower bound: -log p(x | z) + beta * KL(q(z | x) || p(z)) (Kingma and Welling 2014, eq. 3).

    With beta other than 1 it is the beta-VAE (Higgins et al. 2017), and no bound on log p(x) when beta < 1. With a
    deterministic code the KL is the code's price, so this is also the loss of the plain and sparse autoencoders.

    Parameters
    ----------
    beta : float
        Weight of the divergence.
    free_nats : float
        Divergence below which an example pays no more (its KL then has no gradient, as meant); 0 for none.
    warm_up : float
        Share of the training, in [0, 1], over which beta rises from 0 to its value.
    samples : int
        Codes drawn for each example.
    divergence : {"exact", "sampled"}
        The KL in closed form where one is known, or the share of each draw even there.
    """

    def __init__(
        self,
        beta: float = 1.0,
        free_nats: float = 0.0,
        warm_up: float = 0.0,
        samples: int = 1,
        divergence: str = "exact",
    ) -> None:
        super().__init__()
        at_least("objective.beta", beta, 0)
        at_least("objective.free_nats", free_nats, 0)
        at_least("objective.warm_up", warm_up, 0)
        at_most("objective.warm_up", warm_up, 1)
        at_least("objective.samples", samples, 1)
        self.beta = beta
        self.free_nats = free_nats
        self.warm_up = warm_up
        self.samples = samples
        if divergence not in DIVERGENCES:
            raise unknown("objective.divergence", divergence, DIVERGENCES)
        self.divergence = divergence

    @property
    def scheduled(self) -> bool:
        """Whether the divergence is being warmed up."""
        return self.warm_up > 0

    @property
    def linear(self) -> bool:
        """Whether there are no free nats, which cut some draws off."""
        return not self.free_nats

    def cost(self, terms: Terms, clock: Clock) -> Tensor:
        """Distortion plus the weighted divergence of each draw, (k, n)."""
        kl = terms.kl if self.divergence == "exact" else terms.log_ratio
        if self.free_nats:
            kl = kl.clamp_min(self.free_nats)
        if self.warm_up:
            kl = kl * (clock.progress / self.warm_up).clamp_max(1.0).to(kl.dtype)
        return (kl if self.beta == 1 else self.beta * kl) - terms.log_px


class Iwae(Objective, kind="iwae"):
    """Minus the importance-weighted bound: -ln 1/k sum_i p(x, z_i) / q(z_i | x) (Burda et al. 2016, eq. 8).

    Tighter than the elbo, of which it is the case k = 1. The figure reported is this bound itself.

    Parameters
    ----------
    samples : int
        Draws k for each example.
    """

    weighs = True

    def __init__(self, samples: int = 5) -> None:
        super().__init__()
        at_least("objective.samples", samples, 1)
        self.samples = samples

    @property
    def linear(self) -> bool:
        """Whether there is but one draw, whose weight stands alone."""
        return self.samples == 1

    def cost(self, terms: Terms, clock: Clock) -> Tensor:
        """Minus the log weight of each draw, (k, n)."""
        return terms.log_ratio - terms.log_px

    def combine(self, cost: Tensor) -> Tensor:
        """Minus the log of the mean weight: (k, n) -> (n,)."""
        return math.log(cost.shape[0]) - torch.logsumexp(-cost, 0)

    def refuses_latent(self, latent: Latent) -> str | None:
        """Weights need densities, which deterministic codes do not have."""
        if latent.random:
            return None
        return (
            f"objective iwae weighs random draws, and {latent.kind} codes are not random; take latent=gaussian or "
            f"objective=elbo"
        )
