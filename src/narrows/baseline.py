"""The standing baseline: principal components of the training rows, at the same code size; mean and mode of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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

    def codes(self, x: Tensor) -> Tensor:
        """Coordinates of rows (n, ...) along the components: (n, d)."""
        return (x.flatten(1) - self.mean) @ self.components.T

    def rebuilt(self, x: Tensor) -> Tensor:
        """Rows (n, ...) projected on the components: as near as they come."""
        return (self.mean + self.codes(x) @ self.components).view_as(x)

    def errors(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Squared errors a cell of the projection and of the mean alone, each (n,), for rows (n, ...)."""
        centred = x.flatten(1) - self.mean
        rest = centred - self.codes(x) @ self.components
        return rest.square().mean(1), centred.square().mean(1)


@dataclass(frozen=True)
class Typical:
    """The baseline of a mixed table: the mean of each number, and the commonest value of each other column.

    Parameters
    ----------
    row : Tensor, shape (c,)
        In the unit of the target x.
    """

    row: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """The one tensor by name."""
        return {"row": self.row}


def fit_typical(chunks: Iterable[Tensor], symbols: Tensor) -> Typical:
    """Fit the typical row to target rows (n, c) with gaps; ``symbols`` (c,) says which cells are indices of values."""
    width = len(symbols)
    total, count = torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    votes = torch.zeros(width, 1)
    for x in chunks:
        observed = ~x.isnan()
        total += x.double().nansum(0)
        count += observed.sum(0)
        index = torch.where(observed & symbols, x, 0.0).long()
        votes = nn.functional.pad(votes, (0, max(0, int(index.max()) + 1 - votes.shape[1])))
        votes.scatter_add_(1, index.T, (observed & symbols).T.to(votes.dtype))
    mean = (total / count.clamp_min(1.0)).float()
    return Typical(torch.where(symbols, votes.argmax(1).float(), mean))


def baseline_from(tensors: Mapping[str, Tensor]) -> Baseline | Typical | None:
    """The inverse of ``tensors``; None of nothing."""
    if not tensors:
        return None
    return Typical(**tensors) if "row" in tensors else Baseline(**tensors)


def fit_baseline(chunks: Iterable[Tensor], size: int) -> Baseline | None:
    """Fit ``size`` principal components; None where one row is so large that the fit would not pay.

    None, too, of rows with NaN, for a gap has no place on a line; of a mixed table see `fit_typical`.

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
        x = chunk.flatten(1).to(torch.float64, copy=True)
        if x.shape[1] > LARGEST_ROW or bool(x.isnan().any()):
            return None
        if not rows:
            # Taken off all rows, so that the products of large numbers do not swallow the variance.
            origin = x.mean(0)
            side = x.shape[1] if size else 0
            total, products = torch.zeros_like(origin), torch.zeros(side, side, dtype=torch.float64)
        x -= origin
        rows += len(x)
        total += x.sum(0)
        if size:
            products.addmm_(x.T, x)
    mean = total / rows
    if not size:
        return Baseline((origin + mean).float(), torch.zeros(0, len(mean)))
    # In place: what is as large as the covariance is what the fit takes of memory.
    covariance = products.div_(rows).addr_(mean, mean, alpha=-1)
    kept = min(size, rows, len(mean))
    directions = torch.linalg.eigh(covariance).eigenvectors[:, len(mean) - kept :]
    components = directions.flip(1).T.float().contiguous()
    return Baseline((origin + mean).float(), components)
