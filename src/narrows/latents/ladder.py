"""Codes of several levels, in which what is coarse tells what is fine."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import silu

from narrows.axes import Latent
from narrows.distributions import Chain, DiagonalNormal, StandardNormal
from narrows.errors import at_least


class Ladder(Latent, kind="ladder"):
    """Gaussian codes of several levels, each told by the one above (the ladder of Sonderby et al. 2016).

    p(z) = N(z_L; 0, I) prod_l N(z_l; mu_l(z_(l+1)), sigma_l(z_(l+1))^2). The encoder's numbers go up the levels and
    give each a mean and a scale of its own; on the way down q(z_l | z_(l+1), x) weighs them with those of p by their
    precisions (eqs. 17 to 19): precision = 1 / s_x^2 + 1 / s_p^2, mean = (m_x / s_x^2 + m_p / s_p^2) / precision. So
    a level about which an example says nothing costs nothing. The divergence is the sum of that of every level, in
    closed form given the draw above it. The decoder gets all levels side by side, the top one first, and not only the
    lowest: what a high level knows need not be said again by those below. The code that stands for an example is
    the means, from the top down.

    Parameters
    ----------
    size : int
        Numbers in one code, shared out evenly among the levels; what is left over goes to the lowest.
    levels : int
        Levels L, at least two.
    width : int
        Numbers the encoder gives, and hidden units between two levels.
    """

    random = True
    learned = True
    remedy = (
        "the divergence outweighs what they would tell: set objective.warm_up=0.3, or take fewer latent.levels or a "
        "smaller latent.size"
    )

    def __init__(self, size: int = 16, levels: int = 2, width: int = 128) -> None:
        super().__init__()
        at_least("latent.levels", levels, 2)
        at_least("latent.size", size, levels)
        at_least("latent.width", width, 1)
        self.size = size
        self.levels = levels
        self.width = width

    @property
    def n_params(self) -> int:
        """Numbers that the encoder gives, from which all levels are told."""
        return self.width

    @property
    def sizes(self) -> list[int]:
        """Numbers of each level, from the top down."""
        even = self.size // self.levels
        return [*[even] * (self.levels - 1), even + self.size % self.levels]

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make the maps up, from each level's numbers to its own mean and scale, and down."""
        tops, lows = self.sizes[:-1], self.sizes[1:]
        self.up = nn.ModuleList(nn.Linear(self.width, self.width) for _ in tops)
        self.heads = nn.ModuleList(nn.Linear(self.width, 2 * size) for size in self.sizes)
        self.down = nn.ModuleList(self._between(above, size) for above, size in zip(tops, lows, strict=True))

    def posterior(self, h: Tensor) -> Distribution:
        """q(z | x) from h (n, width)."""
        rungs = [silu(h)]
        for climb in self.up:
            rungs.append(rungs[-1] + silu(climb(rungs[-1])))
        own = [DiagonalNormal.of(head(rung)) for head, rung in zip(self.heads, reversed(rungs), strict=True)]
        below = [partial(self._merged, level, law) for level, law in enumerate(own[1:])]
        return Chain(own[0], below, self.sizes)

    def prior(self, n: int, device: torch.device) -> Distribution:
        """p(z), repeated for n examples."""
        below = [partial(self._told, level) for level in range(self.levels - 1)]
        return Chain(StandardNormal(n, self.sizes[0], device), below, self.sizes)

    def code(self, posterior: Distribution) -> Tensor:
        """Means from the top down, (n, size): each level's is told by those above it."""
        assert isinstance(posterior, Chain)
        return posterior.walk(lambda law, size: law.mean)

    def _told(self, level: int, above: Tensor) -> DiagonalNormal:
        """p(z_l | z_(l+1)), levels counted from the one below the top."""
        return DiagonalNormal.of(self.down[level](above))

    def _merged(self, level: int, own: DiagonalNormal, above: Tensor) -> DiagonalNormal:
        """q(z_l | z_(l+1), x)."""
        told = self._told(level, above)
        precise, usual = own.variance.reciprocal(), told.variance.reciprocal()
        precision = precise + usual
        return DiagonalNormal((own.mean * precise + told.mean * usual) / precision, precision.rsqrt())

    def _between(self, above: int, size: int) -> nn.Sequential:
        """Give the map down to a level of ``size`` numbers: at first it tells nothing, N(0, I)."""
        last = nn.Linear(self.width, 2 * size)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return nn.Sequential(nn.Linear(above, self.width), nn.SiLU(), last)
