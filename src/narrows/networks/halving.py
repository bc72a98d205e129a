"""Convolutions that halve an image's sides and double them again, fast in training for few channels as well."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from narrows.networks.lowering import STRIDE, doubled, halved

FEW = 4  # channels, up to which a processor learns faster by a product of matrices than by torch's convolution
Side = tuple[int, int]


class Halving(nn.Conv2d):
    """The convolution that halves a map: kernel 4, stride 2, padding 1; a side of 1 stays (kernel 3, stride 1).

    On a processor a convolution of few channels is bound by the rows that it copies; it learns faster as one product of
    matrices, see `narrows.networks.lowering`.

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
        if self.bias is None or not _lowers(self, self.in_channels, x.shape[2:], x):
            return super().forward(x)
        return halved(x, self.weight, self.bias)


class Doubling(nn.ConvTranspose2d):
    """The transposed convolution that brings a halved map back to its size; an odd side needs one row or column more.

    With few channels it learns as a product of matrices, like `Halving`.

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
        if self.bias is None or not _learns_on_processor(self, x):
            return super().forward(x, output_size)
        if _lowers(self, self.out_channels, self.size, x):
            return doubled(x, self.weight, self.bias)
        # Apart from the product: torch takes as long for the slope of its offsets as for that of all its weights.
        out = nn.functional.conv_transpose2d(x, self.weight, None, self.stride, 1, self.output_padding)
        return out.add_(self.bias[:, None, None])


def kernel_and_stride(size: Side) -> tuple[Side, Side]:
    """Kernel and stride that halve a map of ``size``, padded by 1; a side of 1 stays."""
    height, width = (side > 1 for side in size)
    return (3 + height, 3 + width), (1 + height, 1 + width)


def _lowers(layer: nn.Conv2d | nn.ConvTranspose2d, channels: int, size: Sequence[int], x: Tensor) -> bool:
    """Whether a layer learns faster as a product: few channels, on a processor, and every row in a whole pair."""
    whole = layer.stride == (STRIDE, STRIDE) and not any(side % STRIDE for side in size)
    return whole and channels <= FEW and _learns_on_processor(layer, x)


def _learns_on_processor(layer: nn.Module, x: Tensor) -> bool:
    return layer.training and x.device.type == "cpu"
