"""Deterministic codes as distributions: all mass at one value, and what that value costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, OneHotCategorical, register_kl


class Point(Distribution):
    """All mass at one value, together with what that value costs.

    Parameters
    ----------
    value : Tensor, shape (n, ...)
        The code.
    price : Tensor, shape (n,)
        Nats that the objective charges for it: 0 for a plain code, a penalty otherwise. A price is not a code
        length, so a model with points reports no bound on log p(x).
    revived : Tensor, shape (n, ...), optional
        The code with units lit that have died; see `narrows.latents.sparse.Sparse`.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, value: Tensor, price: Tensor, revived: Tensor | None = None) -> None:
        self.value = value
        self.price = price
        self.revived = revived
        super().__init__(value.shape[:1], value.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The value itself."""
        return self.value

    def log_prob(self, value: Tensor) -> Tensor:
        """Zero for every value: a point has no density to compare."""
        return value.new_zeros(value.shape[: value.dim() - len(self.event_shape)])


class Nested(Point):
    """A point whose draws are the same code cut shorter: draw i of k keeps its first d / 2^(k - i) units, the last all.

    Nothing in them is random. An objective of several draws is then the mean over nested codes, of which each must
    tell what it can of x (Kusupati et al. 2022).
    """

    def cut(self, k: int) -> Tensor:
        """The code (n, d) cut k times, the shortest first: (k, n, d)."""
        places = torch.arange(self.value.shape[-1], device=self.value.device)
        kept = torch.stack([places < length for length in prefixes(k, len(places))])
        return self.value * kept[:, None].to(self.value.dtype)


def prefixes(k: int, size: int) -> list[int]:
    """Lengths of k nested codes, each half of the next one and 1 at least; the last is ``size``."""
    return [max(1, size >> halvings) for halvings in reversed(range(k))]


class Flat(Distribution):
    """The improper prior of a deterministic code: it prefers nothing and cannot be sampled."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, n: int, shape: Sequence[int]) -> None:
        super().__init__(torch.Size((n,)), torch.Size(shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Zero for every value."""
        return value.new_zeros(value.shape[: value.dim() - len(self.event_shape)])


@register_kl(Point, Flat)
def _price(q: Point, _: Flat) -> Tensor:
    return q.price


@register_kl(Point, OneHotCategorical)
def _surprise(q: Point, p: OneHotCategorical) -> Tensor:
    """Price, and minus the log mass of the value where it is one of those that p may give."""
    surprise: Tensor = q.price - p.log_prob(q.value)
    return surprise
