"""Layers in whole numbers that are sums of products: dense and convolutional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from narrows.coding.exact import Layer, Shape, check_sums, check_whole, half, rounded
from narrows.errors import InputError

_MOST_APART = 64


class Dense(Layer, kind="dense"):
    """``floor((W x + b) / 2^shift + 1/2)``.

    Parameters
    ----------
    weight : array of whole numbers, shape (outputs, inputs)
    bias : array of whole numbers, shape (outputs,)
    shift : int
        From 0 to 40.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: NDArray[Any], bias: NDArray[Any], shift: int) -> None:
        super().__init__()
        check_sums(_axes(weight, 2), bias, shift)
        self.take(weight=weight, bias=bias)
        self.settings = {"shift": shift}

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) -> (n, outputs)."""
        shift = self.settings["shift"]
        return rounded(torch.addmm(self.bias + half(shift), x, self.weight.T), shift)

    def shape_after(self, shape: Shape) -> Shape:
        """(inputs,) -> (outputs,)."""
        self.expect(shape == tuple(self.weight.shape[1:]), shape)
        return tuple(self.weight.shape[:1])


class Convolution(Layer, kind="convolution"):
    """A convolution: all windows side by side, times the weights, which leaves no choice of a faster, inexact method.

    Parameters
    ----------
    weight : array of whole numbers, shape (channels after, channels before, kernel height, kernel width)
    bias : array of whole numbers, shape (channels after,)
    shift : int
        From 0 to 40.
    stride, padding : pair of int
        Down and across.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self, weight: NDArray[Any], bias: NDArray[Any], shift: int, stride: Sequence[int], padding: Sequence[int]
    ) -> None:
        super().__init__()
        check_sums(_axes(weight, 4), bias, shift)
        self.take(weight=weight, bias=bias)
        self.settings = {"shift": shift, "stride": _pair("stride", stride, 1), "padding": _pair("padding", padding)}

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, height, width)."""
        shift, stride, padding = self.settings.values()
        windows = F.unfold(x, self.weight.shape[2:], padding=padding, stride=stride)
        sums = (self.weight.flatten(1) @ windows).add_((self.bias + half(shift))[:, None])
        return rounded(sums, shift).unflatten(2, self.shape_after(tuple(x.shape[1:]))[1:])

    def shape_after(self, shape: Shape) -> Shape:
        """(channels, height, width), as is usual for a convolution."""
        after, before, *kernel = self.weight.shape
        self.expect(len(shape) == 3 and shape[0] == before, shape)
        _, stride, padding = self.settings.values()
        sides = [(shape[1 + i] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in (0, 1)]
        self.expect(min(sides) >= 1, shape)
        return (after, *sides)


class TransposedConvolution(Layer, kind="transposed-convolution"):
    """A transposed convolution: the weights times each place, and what they give added up where windows overlap.

    Parameters
    ----------
    weight : array of whole numbers, shape (channels before, channels after, kernel height, kernel width)
    bias : array of whole numbers, shape (channels after,)
    shift : int
        From 0 to 40.
    stride, padding, output_padding : pair of int
        Down and across.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        weight: NDArray[Any],
        bias: NDArray[Any],
        shift: int,
        stride: Sequence[int],
        padding: Sequence[int],
        output_padding: Sequence[int],
    ) -> None:
        super().__init__()
        check_sums(_axes(weight, 4).swapaxes(0, 1), bias, shift)
        self.take(weight=weight, bias=bias)
        self.settings = {
            "shift": shift,
            "stride": _pair("stride", stride, 1),
            "padding": _pair("padding", padding),
            "output_padding": _pair("output padding", output_padding),
        }

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, height, width)."""
        shift, stride, padding, _ = self.settings.values()
        size = self.shape_after(tuple(x.shape[1:]))[1:]
        pieces = self.weight.flatten(1).T @ x.flatten(2)
        sums = F.fold(pieces, size, self.weight.shape[2:], padding=padding, stride=stride)
        return rounded(sums.add_((self.bias + half(shift))[:, None, None]), shift)

    def shape_after(self, shape: Shape) -> Shape:
        """(channels, height, width), as is usual for a transposed convolution."""
        before, after, *kernel = self.weight.shape
        self.expect(len(shape) == 3 and shape[0] == before, shape)
        _, stride, padding, extra = self.settings.values()
        sides = [(shape[1 + i] - 1) * stride[i] - 2 * padding[i] + kernel[i] + extra[i] for i in (0, 1)]
        self.expect(min(sides) >= 1 and all(extra[i] < stride[i] for i in (0, 1)), shape)
        return (after, *sides)


def _axes(weight: NDArray[Any], count: int) -> NDArray[Any]:
    """Check the number of axes."""
    if weight.ndim != count:
        raise InputError(f"a layer of a codec has weights of shape {weight.shape}; {count} axes are wanted")
    return np.asarray(weight)


def _pair(name: str, given: Sequence[int], low: int = 0) -> list[int]:
    """Check two plain whole numbers."""
    first, second = given
    return [check_whole(name, number, low, _MOST_APART) for number in (first, second)]
