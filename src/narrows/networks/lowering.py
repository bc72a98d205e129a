"""Convolutions of kernel 4, stride 2, padding 1 as one product of matrices, which is fast where channels are few."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

SIDE, STRIDE = 4, 2  # of the kernel; maps are padded by 1
PLACES = SIDE**2
# In float32 also where products are of bfloat16: what these cost is copies, not products.
WHOLE = torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)


def halved(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`torch.nn.functional.conv2d` of maps (n, c, 2 h, 2 w) with kernels (d, c, 4, 4) -> (n, d, h, w)."""
    out: Tensor = _Halved.apply(maps, weight, bias)
    return out


def doubled(maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`torch.nn.functional.conv_transpose2d` of maps (n, d, h, w), kernels (d, c, 4, 4) -> (n, c, 2 h, 2 w)."""
    out: Tensor = _Doubled.apply(maps, weight, bias)
    return out


class _Halved(torch.autograd.Function):
    """See `halved`; the channels of a pixel of the result lie side by side in memory."""

    @staticmethod
    @WHOLE
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        columns = lowered(maps)
        ctx.save_for_backward(columns, weight)
        n, _, height, width = maps.shape
        # Not a view of the product, which may not be changed in place.
        size = (n, len(weight), height // STRIDE, width // STRIDE)
        out = torch.empty(size, dtype=maps.dtype, memory_format=torch.channels_last)
        torch.addmm(bias, columns.t(), weight.flatten(1).t(), out=_as_rows(out))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        columns, weight = ctx.saved_tensors
        slope, back = _as_rows(slopes[0]), None
        if ctx.needs_input_grad[0]:
            n, _, height, width = slopes[0].shape
            back = raised(weight.flatten(1).t() @ slope.t(), (n, weight.shape[1], height, width))
        return back, (columns @ slope).t().reshape(weight.shape), slope.sum(0)


class _Doubled(torch.autograd.Function):
    """See `doubled`: what `halved` does, backwards."""

    @staticmethod
    @WHOLE
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        rows = _as_rows(maps)
        ctx.save_for_backward(rows, weight)
        columns = weight.flatten(1).t() @ rows.t()
        return raised(columns, (len(maps), weight.shape[1], *maps.shape[2:])) + bias[:, None, None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, weight = ctx.saved_tensors
        n, _, height, width = slopes[0].shape
        columns = lowered(slopes[0])
        back = (columns.t() @ weight.flatten(1).t()).view(n, height // STRIDE, width // STRIDE, -1).permute(0, 3, 1, 2)
        return back, (columns @ rows).t().reshape(weight.shape), slopes[0].sum((0, 2, 3))


def lowered(maps: Tensor) -> Tensor:
    """Maps (n, c, 2 h, 2 w) -> what each place of the kernel meets, (c * 16, n * h * w)."""
    windows = pad(maps, (1, 1, 1, 1)).unfold(2, SIDE, STRIDE).unfold(3, SIDE, STRIDE)
    return windows.permute(1, 4, 5, 0, 2, 3).reshape(maps.shape[1] * PLACES, -1)


def raised(columns: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
    """The transpose of `lowered`: (c * 16, n * h * w) and (n, c, h, w) -> sums (n, c, 2 h, 2 w)."""
    n, channels, height, width = shape
    met = columns.view(channels, SIDE, SIDE, n, height, width)
    rows = columns.new_zeros(channels, SIDE, n, height, STRIDE * width + 2)
    for column in range(SIDE):
        rows[..., column : column + STRIDE * width : STRIDE] += met[:, :, column]
    sums = columns.new_zeros(channels, n, STRIDE * height + 2, STRIDE * width + 2)
    for row in range(SIDE):
        sums[:, :, row : row + STRIDE * height : STRIDE] += rows[:, row]
    return sums[:, :, 1:-1, 1:-1].transpose(0, 1)


def _as_rows(maps: Tensor) -> Tensor:
    """Maps (n, c, h, w) -> (n * h * w, c)."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
