"""Maps to one row and back, where the channels of a pixel lie side by side in memory."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

Shape = tuple[int, int, int]


def channels_last(maps: Tensor) -> Tensor:
    """Maps (n, c, h, w) with the channels of a pixel side by side in memory, and their gradient with them."""
    laid_out: Tensor = _ChannelsLast.apply(maps)
    return laid_out


class _ChannelsLast(torch.autograd.Function):
    """See `channels_last`."""

    @staticmethod
    def forward(_ctx: Any, maps: Tensor) -> Tensor:
        """(n, c, h, w)."""
        return maps.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        """(n, c, h, w)."""
        return gradient.contiguous(memory_format=torch.channels_last)


class Flattening(nn.Linear):
    """A linear map of whole maps, whose cells count channel by channel.

    In training, either the maps are brought to the order of the weights or the weights to that of the maps in memory,
    whichever are fewer.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, height and width of a map.
    n_out : int
        Numbers that it gives.
    """

    def __init__(self, shape: Shape, n_out: int) -> None:
        super().__init__(math.prod(shape), n_out)
        self.shape = shape

    def forward(self, maps: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, n_out)."""
        if not self.training:
            return super().forward(maps.flatten(1))
        if len(maps) <= self.out_features:
            return super().forward(channels_last(maps).flatten(1))
        weight = self.weight.unflatten(1, self.shape).permute(0, 2, 3, 1).flatten(1)
        return linear(maps.permute(0, 2, 3, 1).flatten(1), weight, self.bias)


class Unflattening(nn.Linear):
    """A linear map to whole maps, the counterpart of `Flattening`.

    Parameters
    ----------
    n_in : int
        Numbers that it takes.
    shape : (int, int, int)
        Channels, height and width of a map.
    """

    def __init__(self, n_in: int, shape: Shape) -> None:
        super().__init__(n_in, math.prod(shape))
        self.shape = shape

    def forward(self, rows: Tensor) -> Tensor:
        """(n, n_in) -> (n, c, h, w)."""
        if not self.training or len(rows) <= self.in_features:
            return super().forward(rows).view(-1, *self.shape)
        weight = self.weight.unflatten(0, self.shape).permute(1, 2, 0, 3).flatten(0, 2)
        maps = linear(rows, weight, self.bias.view(self.shape).permute(1, 2, 0).flatten())
        return maps.unflatten(1, (*self.shape[1:], -1)).permute(0, 3, 1, 2)
