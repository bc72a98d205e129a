"""Codes of several levels, each told by the one above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution


class Chain(Distribution):
    """p(z) = p(z_L) p(z_(L-1) | z_L) ... p(z_1 | z_2) over codes whose levels lie side by side, the top one first.

    Parameters
    ----------
    top : Distribution
        p(z_L), of batch (n,).
    below : sequence of callable
        One a level, from the top down: codes (..., n, d) of the level above, -> p(z_l | z_(l+1)).
    sizes : sequence of int
        Numbers of each level, from the top down.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, top: Distribution, below: Sequence[Callable[[Tensor], Distribution]], sizes: Sequence[int]
    ) -> None:
        self.top = top
        self.below = below
        self.sizes = tuple(sizes)
        super().__init__(top.batch_shape, torch.Size((sum(sizes),)), validate_args=False)

    def given(self, z: Tensor) -> Iterator[tuple[Distribution, Tensor]]:
        """Each level's law given the codes z (k, n, d) above it, and its own codes among them."""
        levels = z.split(self.sizes, -1)
        yield self.top, levels[0]
        for law, above, own in zip(self.below, levels[:-1], levels[1:], strict=True):
            yield law(above), own

    def walk(self, choose: Callable[[Distribution, int], Tensor]) -> Tensor:
        """Go from the top down: each level's codes (..., size) are what ``choose`` takes from its law."""
        chosen = [choose(self.top, self.sizes[0])]
        for law, size in zip(self.below, self.sizes[1:], strict=True):
            chosen.append(choose(law(chosen[-1]), size))
        return torch.cat(chosen, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of codes (k, n, d): (k, n)."""
        return torch.stack([law.log_prob(own) for law, own in self.given(value)]).sum(0)
