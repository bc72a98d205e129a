"""Fully connected networks, plain and residual."""

from __future__ import annotations

import math

from torch import Tensor, nn

from narrows.axes import Network
from narrows.errors import at_least, at_most


class Mlp(Network, kind="mlp"):
    """Fully connected encoder and decoder, each with ``depth`` hidden layers of ``width`` units.

    Plain: ``h_{i+1} = relu(W h_i + b)``. Residual: ``h_{i+1} = h_i + W' silu(W LN(h_i) + b) + b'`` between a linear
    map into and, after a last layer norm, one out of the width (pre-activation residual blocks, He et al. 2016; layer
    norm, Ba et al. 2016). With ``depth=0`` both sides are one linear map, whose optimum under a gaussian likelihood is
    the PCA subspace (Baldi and Hornik 1989).

    Parameters
    ----------
    width : int
        Units in a hidden layer.
    depth : int
        Hidden layers, or residual blocks, on each side.
    residual : bool
        Whether layers are residual blocks.
    """

    def __init__(self, width: int = 512, depth: int = 1, residual: bool = False) -> None:
        super().__init__()
        at_least("network.width", width, 1)
        at_least("network.depth", depth, 0)
        at_most("network.depth", depth, 1000)
        self.width = width
        self.depth = depth
        self.residual = residual

    def build(self, shape: tuple[int, ...], features: int, code: int, outputs: int) -> None:
        """Make the weights: encoder ``x -> features``, decoder ``code -> outputs``."""
        self.encoder = self._side(math.prod(shape), features)
        self.decoder = self._side(code, outputs)

    def encode(self, seen: Tensor) -> Tensor:
        """(n, x) -> h (n, features)."""
        h: Tensor = self.encoder(seen.flatten(1))
        return h

    def decode(self, z: Tensor) -> Tensor:
        """Map codes (m, code) to likelihood parameters (m, outputs)."""
        out: Tensor = self.decoder(z)
        return out

    def _side(self, n_in: int, n_out: int) -> nn.Sequential:
        if self.residual and self.depth:
            blocks = [ResidualBlock(self.width) for _ in range(self.depth)]
            return nn.Sequential(
                nn.Linear(n_in, self.width), *blocks, nn.LayerNorm(self.width), nn.SiLU(), nn.Linear(self.width, n_out)
            )
        layers: list[nn.Module] = []
        for _ in range(self.depth):
            layers += [nn.Linear(n_in, self.width), nn.ReLU(inplace=True)]
            n_in = self.width
        return nn.Sequential(*layers, nn.Linear(n_in, n_out))


class ResidualBlock(nn.Module):
    """``h + W' silu(W LN(h) + b) + b'``, the identity at the start (W' and b' are zero)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Linear(width, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.change = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), last)

    def forward(self, h: Tensor) -> Tensor:
        """Map (n, width)."""
        out: Tensor = h + self.change(h)
        return out
