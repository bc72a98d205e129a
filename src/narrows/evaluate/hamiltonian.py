"""Hamiltonian Monte Carlo along a path of densities, from one that can be drawn from to one that cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.noise import Noise

LEAPFROGS = 10
JITTER = 0.2


@dataclass(frozen=True)
class Place:
    """Where chains stand, and what the path needs to know there.

    Parameters
    ----------
    z : Tensor, shape (k, n, d)
        Codes of k chains for each of n examples.
    log_base, log_factor : Tensor, shape (k, n)
        Both terms of `Path`, in nats.
    base_slope, factor_slope : Tensor, shape (k, n, d)
        Their gradients.
    """

    z: Tensor
    log_base: Tensor
    log_factor: Tensor
    base_slope: Tensor
    factor_slope: Tensor

    def log_density(self, beta: float) -> Tensor:
        """log f_beta, not normalised, (k, n)."""
        return self.log_base + beta * self.log_factor

    def slope(self, beta: float) -> Tensor:
        """Gradient of log f_beta, (k, n, d)."""
        return self.base_slope + beta * self.factor_slope

    def moved(self, other: Place, where: Tensor) -> Place:
        """Return the other place for the chains ``where`` (k, n) is true, this one for the rest."""
        by_chain, by_number = where, where[..., None]
        return Place(
            torch.where(by_number, other.z, self.z),
            torch.where(by_chain, other.log_base, self.log_base),
            torch.where(by_chain, other.log_factor, self.log_factor),
            torch.where(by_number, other.base_slope, self.base_slope),
            torch.where(by_number, other.factor_slope, self.factor_slope),
        )


@dataclass(frozen=True)
class Path:
    """The densities log f_beta(z) = log base(z) + beta log factor(z), beta from 0 to 1.

    Parameters
    ----------
    log_base, log_factor : callable
        Codes (k, n, d) to nats (k, n). The base is normalised; base times factor is what the path leads to.
    """

    log_base: Callable[[Tensor], Tensor]
    log_factor: Callable[[Tensor], Tensor]

    def at(self, z: Tensor) -> Place:
        """Look at codes (k, n, d)."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            base, factor = self.log_base(z), self.log_factor(z)
            (base_slope,) = torch.autograd.grad(base.sum(), z)
            (factor_slope,) = torch.autograd.grad(factor.sum(), z)
        return Place(z.detach(), base.detach(), factor.detach(), base_slope, factor_slope)

    def move(self, place: Place, beta: float, step: Tensor, noise: Noise) -> tuple[Place, Tensor]:
        """Take one step of a chain that leaves f_beta as it is, and is its own reverse (Neal 2011, section 5.3).

        Momenta are drawn anew, the leapfrog integrator goes 10 steps, and its end is accepted with the probability
        min(1, e^-(change of energy)). Steps are stretched by a factor drawn from [0.8, 1.2], so that no direction is
        one in which the integrator comes back to where it began.

        Parameters
        ----------
        place : Place
            Where the chains stand.
        beta : float
            Of the density.
        step : Tensor, shape (n,)
            Size of a leapfrog step of each example's chains. It may depend on anything but these chains themselves.
        noise : Noise
            The source of randomness.

        Returns
        -------
        place : Place
            Where they stand then.
        acceptance : Tensor, shape (k, n)
            Probability with which each was to be accepted.
        """
        stretch = 1 + JITTER * (2 * noise.uniform((*place.log_base.shape, 1), rows=1) - 1)
        size = (step[:, None] * stretch).to(place.z.dtype)
        start = noise.normal(place.z.shape, rows=1).to(place.z.dtype)
        there, momentum = place, start + 0.5 * size * place.slope(beta)
        for _ in range(LEAPFROGS):
            there = self.at(there.z + size * momentum)
            momentum = momentum + size * there.slope(beta)
        momentum = momentum - 0.5 * size * there.slope(beta)
        gained = there.log_density(beta) - place.log_density(beta)
        gained = gained - 0.5 * (momentum.square().sum(-1) - start.square().sum(-1))
        # Where the integrator ran away, the gain is not a number: no chain goes there.
        gained = gained.nan_to_num(nan=-torch.inf, posinf=-torch.inf, neginf=-torch.inf)
        accepted = noise.uniform(gained.shape, rows=1).log() < gained
        return place.moved(there, accepted), gained.exp().clamp_max(1)
