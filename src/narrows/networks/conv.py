"""Convolutional networks for images of any size."""

from __future__ import annotations

import math

from torch import Tensor, nn

from narrows.axes import Network
from narrows.data.schema import Schema
from narrows.errors import at_least, at_most
from narrows.networks.flattening import Flattening, Unflattening, channels_last
from narrows.networks.halving import Doubling, Halving, Side

SMALLEST_SIDE = 7


class Conv(Network, kind="conv"):
    """Strided convolutions down to a small map and a linear map to the code; the decoder mirrors them.

    Stage i halves each side (kernel 4, stride 2, padding 1: side -> floor(side / 2)) and doubles the channels from
    ``channels``. A side of 1 is left as it is (kernel 3, stride 1). The mirrored transposed convolution adds one output
    row or column where the encoder met an odd side, so the decoder returns exactly the input's shape.

    Parameters
    ----------
    channels : int
        Channels after the first stage.
    stages : int
        Number of halvings; 0 takes as many as bring the longer side to 7 or less, at least one.
    hidden : int
        Units of a hidden layer between the last map and the code on each side; 0 for none.
    """

    instead = "network=mlp"  # convolutions take as long side by side as one after the other

    def __init__(self, channels: int = 32, stages: int = 0, hidden: int = 256) -> None:
        super().__init__()
        at_least("network.channels", channels, 1)
        at_least("network.stages", stages, 0)
        at_most("network.stages", stages, 16)
        at_least("network.hidden", hidden, 0)
        self.channels = channels
        self.stages = stages
        self.hidden = hidden

    def refuses(self, schema: Schema) -> str | None:
        """Tables have no neighbourhood to convolve over."""
        if schema.is_image:
            return None
        return f"network conv takes images, and the data are {schema.describe()}; take network=mlp"

    def build(self, shape: tuple[int, ...], features: int, code: int, outputs: int) -> None:
        """Make the weights for images of ``shape`` (channels, height, width)."""
        maps: list[Side] = [(shape[1], shape[2])]
        for _ in range(self.stages or _halvings(max(shape[1:]))):
            maps.append((_halved(maps[-1][0]), _halved(maps[-1][1])))
        widths = [min(self.channels * 2**stage, 8 * self.channels) for stage in range(len(maps) - 1)]
        self.encoder = nn.Sequential()
        for before, after, size in zip([shape[0], *widths], widths, maps, strict=False):
            self.encoder.extend([Halving(before, after, size), nn.ReLU(inplace=True)])
        self.small_shape = small = (widths[-1], *maps[-1])
        hidden = self.hidden
        self.to_features = nn.Sequential(Flattening(small, hidden or features))
        self.from_code = nn.Sequential()
        if hidden:
            self.to_features.extend([nn.ReLU(), nn.Linear(hidden, features)])
            self.from_code.extend([nn.Linear(code, hidden), nn.ReLU()])
        self.from_code.extend([Unflattening(hidden or code, small), nn.ReLU()])  # in place, a view's slope is copied
        self.decoder = nn.Sequential()
        towards = [*widths[-2::-1], outputs // math.prod(shape[1:])]
        for before, after, size in zip(widths[::-1], towards, maps[-2::-1], strict=True):
            self.decoder.extend([Doubling(before, after, size), nn.ReLU(inplace=True)])
        del self.decoder[-1]

    def encode(self, seen: Tensor) -> Tensor:
        """Map images (n, channels, height, width) to h (n, features)."""
        h: Tensor = self.to_features(self.encoder(self._laid_out(seen)))
        return h

    def decode(self, z: Tensor) -> Tensor:
        """Map codes (m, code) to likelihood parameters (m, outputs)."""
        out: Tensor = self.decoder(self._laid_out(self.from_code(z)))
        return out.flatten(1)

    def _laid_out(self, maps: Tensor) -> Tensor:
        """Maps with the channels of a pixel side by side while training, which convolutions learn from faster."""
        return channels_last(maps) if self.training else maps


def _halved(side: int) -> int:
    return max(side // 2, 1)


def _halvings(side: int) -> int:
    """Number of halvings that bring a side to 7 or less, at least one."""
    count = 0
    while side > SMALLEST_SIDE:
        side, count = _halved(side), count + 1
    return max(count, 1)
