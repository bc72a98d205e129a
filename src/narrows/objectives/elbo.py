"""The evidence lower bound, with its weights, its allowances and the ways it is warmed up."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.axes import Latent, Objective
from narrows.distributions import divergence_by_unit
from narrows.errors import InputError, at_least, unknown
from narrows.objectives.warm_up import check_warm_up, risen
from narrows.values import Clock, Terms

DIVERGENCES = ("exact", "sampled")
ALLOWANCES = ("example", "unit")


class Elbo(Objective, kind="elbo"):
    """Minus the evidence lower bound: -log p(x | z) + beta * KL(q(z | x) || p(z)) (Kingma and Welling 2014, eq. 3).

    With beta other than 1 it is the beta-VAE (Higgins et al. 2017), and no bound on log p(x) when beta < 1. With a
    deterministic code the KL is the code's price, so this is also the loss of the plain and sparse autoencoders.

    Parameters
    ----------
    beta : float
        Weight of the divergence.
    free_nats : float
        Divergence below which an example pays no more (its KL then has no gradient, as meant); 0 for none. With a
        sampled divergence it is the mean over the draws of an example that is compared.
    free_to : {"example", "unit"}
        Who has the free nats: the example as a whole, or each unit of its code (free bits, Kingma et al. 2016, eq. 15,
        here an example at a time, so that rows do not depend on each other), where the divergence splits over units.
    warm_up : float
        Share of the training, in [0, 1], over which beta rises from 0 to its value (Bowman et al. 2016); with several
        cycles, share of each.
    cycles : int
        Equal parts of the training, at the start of each of which the warm-up begins anew (Fu et al. 2019).
    samples : int
        Codes drawn for each example.
    divergence : {"exact", "sampled"}
        The KL in closed form where one is known, or the share of each draw even there.
    """

    besides = "what beta and free nats add to the rate"

    def __init__(
        self,
        beta: float = 1.0,
        free_nats: float = 0.0,
        free_to: str = "example",
        warm_up: float = 0.0,
        cycles: int = 1,
        samples: int = 1,
        divergence: str = "exact",
    ) -> None:
        super().__init__()
        at_least("objective.beta", beta, 0)
        at_least("objective.free_nats", free_nats, 0)
        if free_to not in ALLOWANCES:
            raise unknown("objective.free_to", free_to, ALLOWANCES)
        check_warm_up(warm_up)
        at_least("objective.cycles", cycles, 1)
        if cycles > 1 and not warm_up:
            raise InputError(
                f"objective.cycles was given as {cycles}, and there is no warm-up to begin anew; set "
                f"objective.warm_up=0.5, or leave out objective.cycles"
            )
        at_least("objective.samples", samples, 1)
        if divergence not in DIVERGENCES:
            raise unknown("objective.divergence", divergence, DIVERGENCES)
        self.beta = beta
        self.free_nats = free_nats
        self.free_to = free_to
        self.warm_up = warm_up
        self.cycles = cycles
        self.samples = samples
        self.divergence = divergence

    @property
    def scheduled(self) -> bool:
        """Whether the divergence is being warmed up."""
        return self.warm_up > 0

    @property
    def linear(self) -> bool:
        """Whether there are no free nats, which cut some draws off."""
        return not self.free_nats

    @property
    def separate(self) -> bool:
        """Whether no free nats are compared with the mean of several draws, as they are of a sampled divergence."""
        return self.samples == 1 or not self.free_nats

    @property
    def by_unit(self) -> bool:
        """Whether free nats are given to each unit."""
        return self.free_to == "unit" and self.free_nats > 0

    def cost(self, terms: Terms, clock: Clock) -> Tensor:
        """Distortion plus the weighted divergence of each draw, (k, n)."""
        kl = self._paid(terms) if self.free_nats else self._divergence(terms)
        if self.warm_up:
            kl = kl * self.share(clock).to(kl.dtype)
        return (kl if self.beta == 1 else self.beta * kl) - terms.log_px

    def share(self, clock: Clock) -> Tensor:
        """Share of beta that is charged at a time of the training, shape ()."""
        return risen(clock.progress, self.warm_up, self.cycles)

    def refuses_latent(self, latent: Latent) -> str | None:
        """Free nats for each unit where the divergence does not split over units; see also `Objective`."""
        if not self.by_unit or (latent.splits and self.divergence == "exact"):
            return super().refuses_latent(latent)
        return (
            f"objective.free_to=unit asks for the divergence of each unit, and that of {latent.kind} codes does not "
            f"split or is sampled; take objective.free_to=example"
        )

    def _divergence(self, terms: Terms) -> Tensor:
        return terms.kl if self.divergence == "exact" else terms.log_ratio

    def _paid(self, terms: Terms) -> Tensor:
        """The divergence of each draw less what is free; where the example stays below that, a constant."""
        if self.by_unit:
            units = divergence_by_unit(terms.posterior, terms.prior)
            assert units is not None  # latents that do not split are refused
            return units.clamp_min(self.free_nats).sum(1)[None]
        kl = self._divergence(terms)
        return torch.where(kl.mean(0) > self.free_nats, kl, self.free_nats)
