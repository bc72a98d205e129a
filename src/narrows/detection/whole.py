"""Views of a row beside all training rows at once: here groups of anomalies cannot vouch for each other."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from narrows.detection.near import Near
from narrows.detection.view import View, shares_of_norm
from narrows.errors import at_least, at_most

ORDERED = 4096  # rows that a distribution is known by
CONCENTRATION_STEPS = 5


class Marginal(View, kind="marginal"):
    """How far out in its column each feature lies: sum over features of -ln min(P(X <= x), P(X >= x)), in nats.

    P is the empirical distribution of so many training rows as ``references`` says, the row itself counted, hence at
    least 1 / (n + 1); beyond the outermost value ln(1 + excess / s) is added, s the standard deviation of the feature.
    As in ECOD (Li et al. 2022), with the nearer tail of each feature.
    """

    ordered: Tensor
    spread: Tensor

    def __init__(self, scaling: str = "standard", references: int = ORDERED, k: int = 0, weight: float = 1.0) -> None:
        super().__init__(scaling, references, k, weight)
        self.register_buffer("ordered", torch.zeros(0, 0))
        self.register_buffer("spread", torch.zeros(0, dtype=torch.float64))

    def fit(self, near: Near, seed: int) -> Tensor:
        """Sort the columns; return the scores."""
        self.ordered = near.rows[: self.references].T.sort(1).values.contiguous()
        spread = near.rows.double().std(0, unbiased=False)
        self.spread = torch.where(spread > 0, spread, 1.0)
        return self(near)

    def shares(self, near: Near) -> Tensor:
        """Nats of each feature, (n, f)."""
        n = self.ordered.shape[1]
        columns = near.rows.T.contiguous()
        at_most_x = torch.searchsorted(self.ordered, columns, right=True)
        at_least_x = n - torch.searchsorted(self.ordered, columns)
        count = torch.minimum(at_most_x, at_least_x).T.double()
        rows = near.rows.double()
        beyond = torch.maximum(rows - self.ordered[:, -1], self.ordered[:, 0] - rows).clamp_min(0)
        return math.log(n + 1) - (1 + count).log() + torch.log1p(beyond / self.spread)


class Covariance(View, kind="covariance"):
    """Distance sqrt(d' (C + ridge tr(C)/f I)^-1 d) from the mean, d = x - m, by the training rows in the middle.

    Mean m and covariance C are those of the share ``keep`` of rows that are nearest by this very distance, found by
    concentration steps (Rousseeuw and Van Driessen 1999) from the rows nearest to the median. Shares: d_j (A d)_j over
    the distance, A the inverse.

    Parameters
    ----------
    keep : float
        Share of the training rows that count.
    ridge : float
        Times the mean variance, added to the covariance.
    """

    centre: Tensor
    inverse: Tensor

    def __init__(
        self,
        scaling: str = "median",
        references: int = 0,
        k: int = 0,
        weight: float = 1.0,
        keep: float = 0.75,
        ridge: float = 0.1,
    ) -> None:
        super().__init__(scaling, references, k, weight)
        at_least("view.keep", keep, 0.5)
        at_most("view.keep", keep, 1)
        at_least("view.ridge", ridge, 0)
        self.keep = keep
        self.ridge = ridge
        self.register_buffer("centre", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("inverse", torch.zeros(0, 0, dtype=torch.float64))

    def fit(self, near: Near, seed: int) -> Tensor:
        """Find mean and covariance; return the scores."""
        rows = near.rows.double()
        kept = math.ceil(self.keep * len(rows))
        far = (rows - rows.median(0).values).square().sum(1)
        chosen = None
        for _ in range(CONCENTRATION_STEPS):
            before, chosen = chosen, far.topk(kept, largest=False).indices.sort().values
            if before is not None and torch.equal(before, chosen):
                break
            self._measure(rows[chosen])
            far = self(near)
        return far

    def forward(self, near: Near) -> Tensor:
        """Distances (n,)."""
        return self._form(near.rows).sum(1).clamp_min(0).sqrt()

    def shares(self, near: Near) -> Tensor:
        """Terms of the quadratic form over its root, (n, f)."""
        return shares_of_norm(self._form(near.rows))

    def _measure(self, rows: Tensor) -> None:
        self.centre = rows.mean(0)
        d = rows - self.centre
        covariance = d.T @ d / len(d)
        spread = covariance.diagonal().mean().clamp_min(1e-12)
        covariance.diagonal().add_((self.ridge + 1e-9) * spread)
        # Laid out as a file brings it back: the last bits of a product depend on the layout.
        self.inverse = torch.linalg.inv(covariance).contiguous()

    def _form(self, rows: Tensor) -> Tensor:
        d = rows.double() - self.centre
        return d * (d @ self.inverse)
