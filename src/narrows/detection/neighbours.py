"""Views that learn little: the distance to the nearest row, and the local linear autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.detection.near import Near
from narrows.detection.view import REFERENCES, View, shares_of_norm
from narrows.errors import at_least


class Neighbour(View, kind="neighbour"):
    """Distance |x - r| to the nearest reference r. Shares: (x_j - r_j)^2 / |x - r|."""

    def __init__(self, scaling: str = "range", references: int = REFERENCES, k: int = 1, weight: float = 1.0) -> None:
        super().__init__(scaling, references, k, weight)

    def fit(self, near: Near, seed: int) -> Tensor:
        """Nothing is learnt; return the distances."""
        return self(near)

    def forward(self, near: Near) -> Tensor:
        """Distances (n,)."""
        return near.mean.norm(dim=1)

    def shares(self, near: Near) -> Tensor:
        """Squared differences over the distance, (n, f)."""
        return shares_of_norm(near.mean.square())


class LocalLinear(View, kind="local-linear"):
    """A local linear autoencoder: x is rebuilt as the mean of its k nearest references, r = x - mean.

    Score sqrt(r' A r) with A = (C + ridge tr(C)/f I)^-1 and C the covariance of the r of training rows: differences
    count by how unusual they are *between neighbours*. Shares: r_j (A r)_j / sqrt(r' A r).

    Parameters
    ----------
    ridge : float
        Times the mean variance, added to the covariance.
    """

    inverse: Tensor

    def __init__(
        self,
        scaling: str = "asinh",
        references: int = REFERENCES,
        k: int = 5,
        weight: float = 1.0,
        ridge: float = 10.0,
    ) -> None:
        super().__init__(scaling, references, k, weight)
        at_least("view.ridge", ridge, 0)
        self.ridge = ridge
        self.register_buffer("inverse", torch.zeros(0, 0, dtype=torch.float64))

    def fit(self, near: Near, seed: int) -> Tensor:
        """Take the covariance of residuals; return the scores."""
        covariance = near.mean.T @ near.mean / len(near.mean)
        spread = covariance.diagonal().mean().clamp_min(1e-12)
        covariance.diagonal().add_((self.ridge + 1e-9) * spread)
        self.inverse = torch.linalg.inv(covariance)
        return self(near)

    def forward(self, near: Near) -> Tensor:
        """Scores (n,)."""
        return self._form(near.mean).sum(1).clamp_min(0).sqrt()

    def shares(self, near: Near) -> Tensor:
        """Terms of the quadratic form over its root, (n, f)."""
        return shares_of_norm(self._form(near.mean))

    def _form(self, r: Tensor) -> Tensor:
        return r * (r @ self.inverse)
