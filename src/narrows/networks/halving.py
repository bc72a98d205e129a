"""Convolutions that halve an image's sides and double them again, fast in training for few channels as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, pixel_shuffle, pixel_unshuffle

FEW = 4  # channels, up to which a processor takes longer for a kernel of 4 x 4 than for four of 3 x 3
Side = tuple[int, int]


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


class Halving(nn.Conv2d):
    """The convolution that halves a map: kernel 4, stride 2, padding 1; a side of 1 stays (kernel 3, stride 1).

    On a processor a convolution of few channels is bound by the rows that it copies. As one of stride 1 over the four
    phases of x (even and odd rows and columns), with kernels of 3 x 3 of which five parts in nine are zeros, it trains
    in half the time.

    Parameters
    ----------
    before, after : int
        Channels of the map and of the half of it.
    size : (int, int)
        Of the map.
    """

    def __init__(self, before: int, after: int, size: Side) -> None:
        kernel, stride = kernel_and_stride(size)
        super().__init__(before, after, kernel, stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, before, height, width) -> (n, after, height / 2, width / 2)."""
        if not _phased(self, self.in_channels, x.shape[2:], x):
            return super().forward(x)
        kernel = _of_phases(self.weight, DOWN).permute(0, 1, 2, 4, 3, 5).flatten(1, 3)
        return conv2d(channels_last(pixel_unshuffle(x, 2)), channels_last(kernel), self.bias, padding=1)


class Doubling(nn.ConvTranspose2d):
    """The transposed convolution that brings a halved map back to its size; an odd side needs one row or column more.

    With few channels it gives the four phases of its result by one convolution of stride 1; see `Halving`.

    Parameters
    ----------
    before, after : int
        Channels of the half and of the map.
    size : (int, int)
        Of the map that comes out.
    """

    def __init__(self, before: int, after: int, size: Side) -> None:
        kernel, stride = kernel_and_stride(size)
        odd = (size[0] % stride[0], size[1] % stride[1])
        super().__init__(before, after, kernel, stride, padding=1, output_padding=odd)
        self.size = size

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(n, before, height / 2, width / 2) -> (n, after, height, width)."""
        if not _phased(self, self.out_channels, self.size, x):
            return super().forward(x, output_size)
        kernel = _of_phases(self.weight, UP).permute(1, 2, 4, 0, 3, 5).flatten(0, 2)
        bias = None if self.bias is None else self.bias.repeat_interleave(4)
        return pixel_shuffle(channels_last(conv2d(x, channels_last(kernel), bias, padding=1)), 2)


def kernel_and_stride(size: Side) -> tuple[Side, Side]:
    """Kernel and stride that halve a map of ``size``, padded by 1; a side of 1 stays."""
    height, width = (side > 1 for side in size)
    return (3 + height, 3 + width), (1 + height, 1 + width)


# Row r of the 4 of a kernel meets phase p (even or odd rows) at offset o of -1, 0, 1: [p][o] is r, and 4 is a zero.
# Down, row 2 i - 1 + r of x meets row i of the result; up, row i of x meets row 2 i - 1 + r of the result.
DOWN = ((4, 1, 3), (0, 2, 4))
UP = ((3, 1, 4), (4, 2, 0))


def _phased(layer: nn.Conv2d | nn.ConvTranspose2d, channels: int, size: Sequence[int], x: Tensor) -> bool:
    """Whether a layer trains faster by phases: few channels, on a processor, and every row in a whole pair."""
    whole = layer.stride == (2, 2) and not any(side % 2 for side in size)
    return layer.training and whole and channels <= FEW and x.device.type == "cpu"


def _of_phases(weight: Tensor, rows: tuple[tuple[int, ...], ...]) -> Tensor:
    """Kernels (a, b, 4, 4) -> (a, b, 2, 3, 2, 3): phase and offset of rows, then of columns."""
    places = torch.tensor(rows)
    return pad(weight, (0, 1, 0, 1))[:, :, places][:, :, :, :, places]
