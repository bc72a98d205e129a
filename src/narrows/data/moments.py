"""Mean and standard deviation of columns with gaps, as rows arrive."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

CONSTANT_BELOW = 1e-7  # spread relative to the mean under which float32 values cannot be told from a constant


class Running(Protocol):
    """Count, mean and sum of squared distances from the mean, in float64, which change in place."""

    count: Tensor
    mean: Tensor
    squares: Tensor


def merge(running: Running, added: Tensor | float, mean: Tensor, squares: Tensor) -> None:
    """Take ``added`` further cells of such a mean and sum of squares into running moments (Chan et al. 1979)."""
    total = (running.count + added).clamp_min(1)
    gap = mean - running.mean
    running.mean += gap * (added / total)
    running.squares += squares + gap.square() * (running.count * added / total)
    running.count += added


class Moments(nn.Module):
    """Mean and standard deviation of the observed cells of each group, as rows arrive (Chan et al. 1979).

    Parameters
    ----------
    groups : int
        Columns, or channels.

    Attributes
    ----------
    count, mean, squares : Tensor, shape (groups,)
        Observed cells, their mean, and the sum of their squared distances from it, in float64.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, groups: int) -> None:
        super().__init__()
        for name in ("count", "mean", "squares"):
            self.register_buffer(name, torch.zeros(groups, dtype=torch.float64))

    def clear(self) -> None:
        """Forget all rows."""
        for buffer in self.buffers():
            buffer.zero_()

    @torch.no_grad()
    def add(self, cells: Tensor) -> None:
        """Take in cells (n, groups, ...); NaN is a missing one."""
        values = cells.double().transpose(0, 1).flatten(1)
        observed = ~values.isnan()
        added = observed.sum(1).double()
        mean = values.nansum(1) / added.clamp_min(1)
        squares = (values - mean[:, None]).square().nansum(1)
        merge(self, added, mean, squares)

    def fade(self, memory: float) -> None:
        """Let the cells so far weigh no more than ``memory`` of them would; mean and spread stay."""
        kept = (memory / self.count.clamp_min(1)).clamp_max(1)
        self.count *= kept
        self.squares *= kept

    @property
    def spread(self) -> Tensor:
        """Standard deviations (groups,); 1 where the cells do not differ, or there are none."""
        spread = (self.squares / self.count.clamp_min(1)).sqrt()
        return torch.where(spread > CONSTANT_BELOW * self.mean.abs(), spread, 1.0)
