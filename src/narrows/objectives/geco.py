"""A bound kept by a price that finds itself: the rate or the distortion is said, and the other made small."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.axes import Latent, Objective, average_draw
from narrows.control import PENALTY, move
from narrows.errors import at_least, unknown
from narrows.values import Clock, Terms
from narrows.workers import batch_mean

SMALLEST_RATE = 0.01


class Constrained(Objective, kind="constrained"):
    """The least distortion at a given rate, or the least rate at a given distortion (GECO, Rezende and Viola 2018).

    With distortion D = -log p(x | z) and rate R = KL(q(z | x) || p(z)), both means over examples in nats, training
    descends the Lagrangian D + lambda (R - bound), or R + lambda (D - bound). After each step the multiplier grows or
    falls, ln lambda += speed * e, by the running mean e of the bounded figure's excess over its bound, as a share of
    the rate and at most 1. Against a bound on the rate it is the weight beta of the KL that a beta-VAE has to guess.

    The figures reported are D, R, and as ``nats`` the other figure plus 100 times the mean excess over the bound: with
    lambda held at a value above any that training should need, so that figures of different times compare, and the
    best weights are those that keep the bound and, of them, make the other figure least. It is no bound on log p(x);
    minus D - R is one.

    Parameters
    ----------
    bound : float
        What the figure may be, in nats per example; a rate is above 0. A distortion is in the likelihood's own unit,
        as training reports it.
    on : {"rate", "distortion"}
        Which figure is bounded.
    speed : float
        How fast the multiplier moves.
    samples : int
        Codes drawn for each example.
    """

    besides = "price of the bound, in place of what it bounds"

    multiplier: Tensor
    excess: Tensor

    def __init__(self, bound: float = 20.0, on: str = "rate", speed: float = 0.01, samples: int = 1) -> None:
        super().__init__()
        if on not in FIGURES:
            raise unknown("objective.on", on, FIGURES)
        if on == "rate":
            at_least("objective.bound", bound, 0, above=True)
        at_least("objective.speed", speed, 0, above=True)
        at_least("objective.samples", samples, 1)
        self.bound = bound
        self.on = on
        self.speed = speed
        self.samples = samples
        self.register_buffer("multiplier", torch.ones(()))
        self.register_buffer("excess", torch.zeros(()))

    @property
    def linear(self) -> bool:
        """Always: the multiplier is the same for all draws."""
        return True

    def cost(self, terms: Terms, clock: Clock) -> Tensor:
        """The Lagrangian of each draw, (k, n)."""
        bounded, free = self._figures(terms)
        # A copy, which the backward pass finds as it is now: the multiplier itself moves on before.
        return free + self.multiplier.clone() * (bounded - self.bound)

    @torch.no_grad()
    def follow(self, terms: Terms) -> None:
        """Move the multiplier by how far the bounded figure is from its bound."""
        bounded, _ = self._figures(terms)
        # A nat of one is bought with about one of the other, so both are measured by the rate; a distortion has no 0.
        excess = (batch_mean(bounded.mean()) - self.bound) / batch_mean(terms.kl.mean()).clamp_min(SMALLEST_RATE)
        move(self.multiplier, self.excess, excess, self.speed)

    def reported(self, cost: Tensor, terms: Terms) -> Tensor:
        """The free figure of each example plus 100 times the batch's mean excess over the bound, (n,)."""
        bounded, free = self._figures(terms)
        return average_draw(free) + PENALTY * (batch_mean(bounded.mean()) - self.bound).clamp_min(0.0)

    def refuses_latent(self, latent: Latent) -> str | None:
        """Codes whose price is no rate."""
        if latent.random:
            return super().refuses_latent(latent)
        return (
            f"objective {self.kind} weighs distortion against rate, and {latent.kind} codes have a price and no rate; "
            f"take latent=gaussian, or objective=elbo"
        )

    def _figures(self, terms: Terms) -> tuple[Tensor, Tensor]:
        """The bounded figure and the free one, of each draw, both (k, n)."""
        distortion, rate = -terms.log_px, terms.kl.expand_as(terms.log_px)
        return (rate, distortion) if self.on == "rate" else (distortion, rate)


FIGURES = ("rate", "distortion")
