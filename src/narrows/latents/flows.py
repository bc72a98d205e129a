"""A prior that is a flow: the standard normal, bent by layers that can be undone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from narrows.errors import InputError, at_least
from narrows.latents.priors import Prior
from narrows.noise import Noise
from narrows.sampling import draw

STEEPEST = 2.0  # a layer scales a number by e^-2 to e^2, so that a single one cannot run away


class Coupling(nn.Module):
    """One half a of the code tells how the other, b, is moved and scaled: u = (b - t(a)) e^(-s(a)) (Dinh et al. 2017).

    Halves change places, so that the next layer moves what this one leaves. It begins as the identity.

    Parameters
    ----------
    size : int
        Numbers in one code, at least two.
    width : int
        Hidden units of the network that gives t and s.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.told = size // 2
        last = nn.Linear(width, 2 * (size - self.told))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(nn.Linear(self.told, width), nn.SiLU(), last)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (..., d) -> codes nearer to the noise (..., d), and the log of the volume that a unit one takes."""
        a, b = z[..., : self.told], z[..., self.told :]
        shift, log_scale = self._law(a)
        return torch.cat([(b - shift) * (-log_scale).exp(), a], -1), -log_scale.sum(-1)

    def undo(self, u: Tensor) -> Tensor:
        """The inverse."""
        b, a = u[..., : u.shape[-1] - self.told], u[..., u.shape[-1] - self.told :]
        shift, log_scale = self._law(a)
        return torch.cat([a, b * log_scale.exp() + shift], -1)

    def _law(self, a: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self.network(a).chunk(2, -1)
        return shift, STEEPEST * torch.tanh(log_scale / STEEPEST)


class Placed(nn.Module):
    """Codes brought to where the noise lies, u = (z - t) e^(-s), number by number. It begins as the identity.

    Parameters
    ----------
    size : int
        Numbers in one code.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(size))
        self.log_scale = nn.Parameter(torch.zeros(size))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes (..., d) -> codes nearer to the noise (..., d), and the log of the volume that a unit one takes."""
        return (z - self.shift) * (-self.log_scale).exp(), -self.log_scale.sum()

    def undo(self, u: Tensor) -> Tensor:
        """The inverse."""
        return u * self.log_scale.exp() + self.shift


class Bent(Distribution):
    """log p(z) = log N(f(z); 0, I) + ln |det df/dz|, f the layers one after the other; for ``n`` examples."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, layers: Sequence[Coupling | Placed], n: int, size: int) -> None:
        self.layers = layers
        super().__init__(torch.Size((n,)), torch.Size((size,)), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of codes (k, n, d): (k, n)."""
        volume = value.new_zeros(value.shape[:-1])
        for layer in self.layers:
            value, log_volume = layer(value)
            volume = volume + log_volume
        return volume - 0.5 * value.square().sum(-1) - 0.5 * math.log(2 * math.pi) * value.shape[-1]

    def placed(self, noise: Tensor) -> Tensor:
        """Standard normal draws (k, n, d) -> draws from this one, by a differentiable path."""
        for layer in reversed(self.layers):
            noise = layer.undo(noise)
        return noise


@draw.register
def _(q: Bent, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    return q.placed(noise.normal(shape, rows=rows))


class Flow(Prior, kind="flow"):
    """p(z): the standard normal, bent by affine coupling layers (RealNVP, Dinh et al. 2017).

    Density and draws are exact, and as quick as each other; the divergence has no closed form. It begins as N(0, I).

    Parameters
    ----------
    layers : int
        Couplings, each of which moves half of the numbers.
    width : int
        Hidden units of the network of each.
    """

    def __init__(self, layers: int = 4, width: int = 64) -> None:
        super().__init__()
        at_least("prior.layers", layers, 1)
        at_least("prior.width", width, 1)
        self.layers = layers
        self.width = width

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make the layers.

        Raises
        ------
        InputError
            If a code has a single number, which no other can tell.
        """
        if self.size < 2:
            raise InputError(
                "prior flow tells one half of a code from the other, and latent.size is 1; take latent.size=2, or "
                "latent.prior=mixture"
            )
        self.placed = Placed(self.size)
        self.couplings = nn.ModuleList(Coupling(self.size, self.width) for _ in range(self.layers))

    def forward(self, n: int, device: torch.device) -> Distribution:
        """Return the flow for n examples."""
        return Bent([self.placed, *self.couplings], n, self.size)
