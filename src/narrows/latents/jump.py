"""Sparse codes above thresholds that are learned."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from narrows.control import Control
from narrows.errors import at_least, at_most
from narrows.latents.sparse import DEAD_AFTER, OfK, keep, only
from narrows.workers import batch_mean

SMALLEST_THRESHOLD = 0.1  # of the root mean square of h


class JumpRelu(OfK, kind="jump-relu"):
    """Non-negative codes above a threshold of each unit's own: z_j = h_j [h_j > t_j] (Rajamanoharan et al. 2024).

    Thresholds learn by the gradient of a window around them, and a multiplier holds the mean number of codes that are
    not zero at ``k``: with [A] = 1 where A, else 0, and w = window,

        d z_j / d ln t_j = -(t_j / w) [|h_j - t_j| < w t_j / 2],  d (number) / d ln t_j = -(1 / w) [the same].

    The window is a share of the threshold, so that it means the same in any unit. All thresholds start where they let
    through k numbers a row of the first batch.

    Parameters
    ----------
    size : int
        Numbers in one code.
    k : int
        Mean number of codes that are not zero; 0 takes a quarter of all.
    window : float
        Width of the window, as a share of the threshold.
    speed : float
        How fast the multiplier moves.
    dead_after : int
        Examples without firing after which a unit is dead; 0 leaves the dead alone.
    """

    zeros_learn = True  # those of the window that are below their threshold
    instead = "latent=top-k"  # where thresholds start hangs on the first batch
    asks_host = True  # whether that was met
    begun: Tensor

    def __init__(
        self, size: int = 64, k: int = 0, window: float = 0.5, speed: float = 0.01, dead_after: int = DEAD_AFTER
    ) -> None:
        super().__init__(size, k, dead_after)
        at_least("latent.window", window, 0, above=True)
        at_most("latent.window", window, 2)
        at_least("latent.speed", speed, 0, above=True)
        self.window = window
        self.speed = speed
        self.control = Control(speed)
        self.log_threshold = nn.Parameter(torch.zeros(size))
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))

    def select(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """What is above its threshold, and the price that holds its number."""
        if not self.begun:
            if not self.training:
                return only(h.relu(), self.kept), h.new_zeros(())
            with torch.no_grad():
                least = SMALLEST_THRESHOLD * batch_mean(h.float().square().mean()).sqrt()
                self.log_threshold.copy_(keep(h, self.kept)[1].maximum(least).log())
                self.begun.fill_(True)
        z, number = _Jump.apply(h, self.log_threshold, self.window)
        return z, self.control(number, batch_mean(number.mean()) / self.kept - 1)


class _Jump(torch.autograd.Function):
    """The code and its number, with the gradient of a window; see `JumpRelu`."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, log_threshold: Tensor, window: float) -> tuple[Tensor, Tensor]:
        """(n, d), (d,) -> (n, d), (n,)."""
        threshold = log_threshold.exp()
        above = h > threshold
        ctx.save_for_backward(h, threshold)
        ctx.window = window
        return h * above, above.sum(1, dtype=threshold.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Of what is above its threshold, and of the thresholds."""
        h, threshold = ctx.saved_tensors
        by_code, by_number = gradients
        inside = (h - threshold).abs() < ctx.window / 2 * threshold
        pulled = (by_code * threshold + by_number[:, None]) * inside
        return by_code * (h > threshold), -pulled.sum(0) / ctx.window, None
