"""Rows beside the training rows nearest to them: what the views look at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from narrows.detection.scaling import Scaling
from narrows.detection.search import References
from narrows.errors import at_least


@dataclass(frozen=True)
class Near:
    """Rows and their nearest references, in the unit of one scaling.

    Parameters
    ----------
    rows : Tensor, shape (n, f)
        The rows, scaled.
    mean : Tensor, shape (n, f)
        Row minus the mean of its k nearest references; with k = 0 the row itself.
    """

    rows: Tensor
    mean: Tensor


class Comparison(nn.Module):
    """Compares rows with references, under one scaling, once for all views that ask for it.

    Parameters
    ----------
    scaling : {"standard", "asinh", "range"}
        See `narrows.detection.scaling.Scaling`.
    references : int
        Training rows kept to compare with.
    k : int
        Neighbours of which the mean is taken; 0 where rows are not compared.
    copies : bool
        Whether a reference equal to the row counts. Where training rows are scored themselves it must not, or each
        would be its own neighbour.
    """

    def __init__(self, scaling: str, references: int, k: int, *, copies: bool = True) -> None:
        super().__init__()
        at_least("view.k", k, 0)
        at_least("view.references", references, 1 if k else 0)
        self.references = references if k else 0
        self.k = k
        self.copies = copies
        self.scale = Scaling(scaling)
        self.search = References()

    def fit(self, rows: Tensor) -> Near:
        """Keep references, the first of features (n, f) in no order; return these rows beside the nearest others."""
        self.scale.fit(rows)
        scaled = self.scale(rows)
        kept = min(self.references, len(rows))
        self.search.fit(scaled[:kept])
        own = torch.arange(len(rows))
        own[kept:] = -1
        return self._beside(scaled, None if kept == 1 else own)

    def extend(self, rows: Tensor) -> Tensor:
        """Fill up the references from further rows (n, f); return the reference that each row now is, -1 for none."""
        start = len(self.search.rows)
        added = rows[: max(0, self.references - start)]
        self.search.extend(self.scale(added))
        own = torch.full((len(rows),), -1)
        own[: len(added)] = torch.arange(start, start + len(added))
        return own

    def forward(self, rows: Tensor, own: Tensor | None = None) -> Near:
        """Rows (n, f) beside their nearest references other than the one that each row is itself."""
        return self._beside(self.scale(rows), own)

    def _beside(self, scaled: Tensor, own: Tensor | None) -> Near:
        if not self.k:
            return Near(scaled, scaled)
        return Near(scaled, self.search.nearest(scaled, self.k, own, copies=self.copies))
