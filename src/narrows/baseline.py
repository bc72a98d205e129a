"""The standing baseline: principal components of the training rows, at the same code size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_ROW = 4096  # cells: the covariance has the square of that, and its eigenvectors take the cube in time


@dataclass(frozen=True)
class Baseline:
    """Mean and principal components, in the unit of reported errors.

    Parameters
    ----------
    mean : Tensor, shape (x,)
        Of the training rows, flattened.
    components : Tensor, shape (d, x)
        Orthonormal rows.
    """

    mean: Tensor
    components: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """The two tensors by name."""
        return {"mean": self.mean, "components": self.components}

    def errors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Squared errors a cell of the projection and of the mean alone, each (n,), for rows (n, ...)."""
        centred = x.flatten(1) - self.mean
        rest = centred - (centred @ self.components.T) @ self.components
        return rest.square().mean(1), centred.square().mean(1)


def fit_baseline(chunks: Iterable[Tensor], size: int) -> Baseline | None:
    """Fit ``size`` principal components; None where one row is so large that the fit would not pay.

    None, too, of a mixed table (rows with NaN): its categories have no differences, and a gap has no place on a line.

    Parameters
    ----------
    chunks : iterable of Tensor
        Training rows in the unit of reported errors, (n, ...) each.
    size : int
        Number of components; no more than rows and columns allow.
    """
    rows = 0
    origin, total, products = torch.zeros(0), torch.zeros(0), torch.zeros(0)
    for chunk in chunks:
        x = chunk.flatten(1).double()
        if x.shape[1] > LARGEST_ROW or bool(x.isnan().any()):
            return None
        if not rows:
            # Taken off all rows, so that the products of large numbers do not swallow the variance.
            origin = x.mean(0)
            total, products = torch.zeros_like(origin), torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
        centred = x - origin
        rows += len(x)
        total += centred.sum(0)
        products += centred.T @ centred
    mean = total / rows
    covariance = products / rows - torch.outer(mean, mean)
    directions = torch.linalg.eigh(covariance).eigenvectors.flip(1).T
    components = directions[: min(size, rows, len(mean))].float().contiguous()
    return Baseline((origin + mean).float(), components)
