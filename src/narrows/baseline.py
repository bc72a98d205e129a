"""The standing baseline: principal components of the training rows, at the same code size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_FIT = 40_000_000  # cells; more rows than that are sampled
EXACT_BELOW = 1500  # columns up to which the covariance is diagonalised


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


def fit_baseline(x: Tensor, size: int) -> Baseline | None:
    """Fit ``size`` principal components to rows (n, ...); None where one row alone is too large to bother.

    Parameters
    ----------
    x : Tensor
        Training rows in the unit of reported errors.
    size : int
        Number of components; no more than rows and columns allow.
    """
    from sklearn.decomposition import PCA

    rows = x.flatten(1).double().cpu()
    size = min(size, *rows.shape)
    if size * rows.shape[1] > LARGEST_FIT:
        return None
    solver = "covariance_eigh" if rows.shape[1] <= EXACT_BELOW else "randomized"
    pca = PCA(size, svd_solver=solver, random_state=0).fit(rows.numpy())
    return Baseline(torch.from_numpy(pca.mean_).float(), torch.from_numpy(pca.components_).float().contiguous())


def rows_for_fit(n: int, cells: int) -> int:
    """Rows of ``cells`` cells, out of ``n``, that a fit takes."""
    return min(n, max(LARGEST_FIT // cells, 2))
