"""Networks without a bottleneck: what is seen goes around it, so that detail need not pass through a code."""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from narrows.axes import Latent, Network
from narrows.data.schema import Schema
from narrows.errors import at_least, at_most


class Around(Network):
    """From an image to numbers for each of its pixels, whatever its size.

    The code is the image itself, latent `whole`, and the decoder is all there is. No layer has a bias, so that
    f(a x) = a f(x) for a > 0, and what is learnt of noise of one strength holds of others (Mohan et al. 2020). Where a
    likelihood wants one number a cell, the network gives its difference from what is seen (Zhang et al. 2017).

    Attributes
    ----------
    grain : int
        Rows and columns are worked on in squares of this side: a part of an image is told as within the whole if it
        begins at a multiple of it.
    reach : int
        Pixels from which on others tell nothing of one.
    """

    around = True
    instead = "--preset denoising with network=mlp"  # convolutions take as long side by side as one after the other
    grain: int
    reach: int

    def refuses(self, schema: Schema) -> str | None:
        """Tables have no neighbourhood to look at."""
        if schema.is_image:
            return None
        return f"network {self.kind} takes images, and the data are {schema.describe()}; take network=mlp"

    def refuses_latent(self, latent: Latent) -> str | None:
        """Codes that are not all that is seen."""
        if latent.whole:
            return None
        return (
            f"network {self.kind} makes images out of whole images, and latent {latent.kind} would come between; take "
            f"latent=whole, or network=conv"
        )

    def build(self, shape: tuple[int, ...], features: int, code: int, outputs: int) -> None:
        """Make the weights for images of so many channels; ``outputs`` are those of images of ``shape``."""
        self.shape = shape
        channels = outputs // math.prod(shape[1:])
        self.adds = channels == shape[0]
        self.make(shape[0], channels)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @abstractmethod
    def make(self, channels: int, outputs: int) -> None:
        """Make the weights, from so many channels to so many."""

    @abstractmethod
    def through(self, seen: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, outputs, h, w), both sides multiples of ``grain``."""

    def map(self, seen: Tensor) -> Tensor:
        """Images of any size (n, channels, height, width) -> (n, outputs, height, width)."""
        height, width = seen.shape[2:]
        spare = (0, -width % self.grain, 0, -height % self.grain)
        # The channels of a pixel side by side: in bfloat16 on a processor that takes half the time.
        seen = seen.contiguous(memory_format=torch.channels_last)
        out = self.through(F.pad(seen, spare, mode="replicate") if any(spare) else seen)[:, :, :height, :width]
        return out + seen if self.adds else out

    def encode(self, seen: Tensor) -> Tensor:
        """(n, channels, height, width) -> the same in a row each."""
        return seen.flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        """Images of the size trained on (m, cells) -> likelihood parameters (m, outputs)."""
        return self.map(z.view(-1, *self.shape)).flatten(1)


class UNet(Around, kind="u-net"):
    """Residual blocks at several scales, what one scale sees added to what comes back from the next (DRUNet).

    Parameters
    ----------
    channels : int
        At the finest scale; each next one has twice as many.
    stages : int
        How often the sides are halved.
    blocks : int
        Residual blocks at each scale on the way down, and as many on the way up.

    References
    ----------
    Ronneberger et al. 2015, arXiv:1505.04597; Zhang et al. 2021, arXiv:2008.13751.
    """

    def __init__(self, channels: int = 32, stages: int = 2, blocks: int = 1) -> None:
        super().__init__()
        at_least("network.channels", channels, 1)
        at_least("network.stages", stages, 0)
        at_most("network.stages", stages, 6)
        at_least("network.blocks", blocks, 1)
        self.channels = channels
        self.stages = stages
        self.blocks = blocks
        self.grain = 2**stages

    @property
    def reach(self) -> int:  # type: ignore[override]
        """Two pixels of its scale for each block, one for what halving puts together, and one for either end."""
        reach = 2 * self.blocks
        for _ in range(self.stages):
            reach = 2 * reach + 1 + 4 * self.blocks
        return reach + 2

    def make(self, channels: int, outputs: int) -> None:
        """Make the weights."""
        widths = [self.channels * 2**stage for stage in range(self.stages + 1)]
        self.head = _conv(channels, widths[0])
        self.before, self.after = (nn.ModuleList(self._stack(width) for width in widths[:-1]) for _ in range(2))
        pairs = list(itertools.pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 2, 2, bias=False) for fine, coarse in pairs)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, 2, bias=False) for fine, coarse in pairs)
        self.middle = self._stack(widths[-1])
        self.tail = _conv(widths[0], outputs)

    def _stack(self, width: int) -> nn.Module:
        return nn.Sequential(*(_Block(width) for _ in range(self.blocks)))

    def through(self, seen: Tensor) -> Tensor:
        """Down, and up again past what each scale saw."""
        h = self.head(seen)
        beside = []
        for before, shrink in zip(self.before, self.shrink, strict=True):
            h = before(h)
            beside.append(h)
            h = shrink(h)
        h = self.middle(h)
        for place in reversed(range(self.stages)):
            h = self.after[place](self.grow[place](h) + beside[place])
        out: Tensor = self.tail(h)
        return out


class Shallow(Around, kind="shallow"):
    """A stack of convolutions on squares of 2 x 2 pixels, all at one scale: fast, and little to learn (FFDNet).

    Parameters
    ----------
    channels : int
        Between the layers.
    depth : int
        Convolutions, at least two.

    References
    ----------
    Zhang et al. 2017, arXiv:1608.03981 (DnCNN); Zhang et al. 2018, arXiv:1710.04026.
    """

    grain = 2

    def __init__(self, channels: int = 64, depth: int = 8) -> None:
        super().__init__()
        at_least("network.channels", channels, 1)
        at_least("network.depth", depth, 2)
        self.channels = channels
        self.depth = depth

    @property
    def reach(self) -> int:  # type: ignore[override]
        """Two pixels for each convolution, and one for the square that a pixel is in."""
        return 2 * self.depth + 1

    def make(self, channels: int, outputs: int) -> None:
        """Make the weights."""
        self.stack = nn.Sequential(_conv(4 * channels, self.channels), nn.ReLU(inplace=True))
        for _ in range(self.depth - 2):
            self.stack.extend([_conv(self.channels, self.channels), nn.ReLU(inplace=True)])
        self.stack.append(_conv(self.channels, 4 * outputs))

    def through(self, seen: Tensor) -> Tensor:
        """Squares as channels, the stack, and back."""
        return F.pixel_shuffle(self.stack(F.pixel_unshuffle(seen, 2)), 2)


class _Block(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _conv(width, width), _conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width, h, w)."""
        out: Tensor = x + self.second(torch.relu(self.first(x)))
        return out


def _conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=False)
