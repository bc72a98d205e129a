"""Mixtures of normals over codes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows.distributions.normals import DiagonalNormal, FullNormal
from narrows.tensors import pieces

NUMBERS_AT_ONCE = 4_000_000


class Mixture(Distribution):
    """sum_c w_c N_c(z) over codes, for ``n`` examples.

    Parameters
    ----------
    log_weights : Tensor, shape (c,)
        Of each part, up to a constant.
    parts : DiagonalNormal or FullNormal
        Of batch (c,).
    n : int
        Examples.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, log_weights: Tensor, parts: DiagonalNormal | FullNormal, n: int) -> None:
        self.log_weights = log_weights.log_softmax(0)
        self.parts = parts
        super().__init__(torch.Size((n,)), parts.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Mean (n, d)."""
        return (self.log_weights.exp() @ self.parts.mean).expand(self._extended_shape())

    @property
    def variance(self) -> Tensor:
        """Variance of each number (n, d): that within the parts and that between them."""
        squares = self.log_weights.exp() @ (self.parts.variance + self.parts.mean.square())
        return squares - self.mean.square()

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of codes (k, n, d): (k, n)."""
        # Every code meets every part; many codes do so in turn, so that memory is bounded.
        at_once = max(1, NUMBERS_AT_ONCE // (len(self.log_weights) * value.shape[-1]))
        codes = pieces(value.reshape(-1, 1, value.shape[-1]), at_once)
        nats = [torch.logsumexp(self.parts.log_prob(some) + self.log_weights, -1) for some in codes]
        return torch.cat(nats).view(value.shape[:-1])
