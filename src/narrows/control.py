"""A figure held at its target by a price that finds itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEMORY = 0.9  # share of the past in the running mean of the excess
MULTIPLIERS = (1e-4, 1e4)
GAIN = 3.0
PENALTY = 100.0  # what figures are reported with: above any multiplier that training should need


@torch.no_grad()
def move(multiplier: Tensor, excess: Tensor, error: Tensor, speed: float) -> None:
    """Move a multiplier by how far a figure is above its target: ln multiplier += speed * mean error.

    Parameters
    ----------
    multiplier, excess : Tensor, shape ()
        The multiplier, and the running mean of the errors; both change in place.
    error : Tensor, shape ()
        The figure's excess over its target, as a share of something that makes errors of 1 large; cut to [-1, 1].
    speed : float
        How fast the multiplier moves.
    """
    excess.lerp_(error.clamp(-1.0, 1.0).to(excess.dtype), 1 - MEMORY)
    multiplier.mul_((speed * excess).exp()).clamp_(*MULTIPLIERS)


class Control(nn.Module):
    """Holds a figure of the codes at a target (the multiplier of Rezende and Viola 2018, for a latent).

    What it charges has the gradient of ``rate * figure``, and as its value 100 times the running excess over the
    target. So figures of different times compare, in training and on held-out rows, and the best weights keep the
    target. The rate is the multiplier times exp(3 excess): what answers at once keeps what answers slowly from
    swinging.

    Parameters
    ----------
    speed : float
        How fast the multiplier moves.
    """

    multiplier: Tensor
    excess: Tensor

    def __init__(self, speed: float) -> None:
        super().__init__()
        self.speed = speed
        self.register_buffer("multiplier", torch.ones(()))
        self.register_buffer("excess", torch.zeros(()))

    @property
    def rate(self) -> Tensor:
        """What a unit of the figure costs now, ()."""
        return self.multiplier * (GAIN * self.excess).exp()

    def forward(self, figure: Tensor, error: Tensor) -> Tensor:
        """Charge for a figure, () or (n,), and in training move on by its error, (): a price of the figure's shape."""
        charged = self.rate * figure
        if self.training:
            move(self.multiplier, self.excess, error.detach(), self.speed)
        return PENALTY * self.excess.clamp_min(0.0) + (charged - charged.detach())
