"""Codes by principal components, with and without a kernel: what a person would use instead of a model's."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.distance import pdist
from sklearn.decomposition import KernelPCA
from sklearn.kernel_ridge import KernelRidge
from torch import Tensor

from narrows.baseline import Baseline
from narrows.inference import in_chunks
from narrows.model import Model

KERNEL_ROWS = 2000  # the kernel has the square of that
HELD_OUT = 0.2
WIDTHS = (0.25, 1.0, 4.0)  # of the kernel, in medians of the squared distance
RIDGES = (1e-3, 1e-2, 1e-1)
ROWS_AT_ONCE = 2000


@dataclass(frozen=True)
class Coded:
    """Codes of rows, and of reference rows where there are such.

    Parameters
    ----------
    name : str
        Whose they are.
    codes : array, shape (n, d)
        Of the rows.
    reference : array, shape (m, d), or None
        Of the reference rows.
    squared_error : float or None
        Mean squared error a cell of what is decoded from the rows' codes, in the unit of reported errors.
    """

    name: str
    codes: np.ndarray
    reference: np.ndarray | None
    squared_error: float | None


def principal(
    baseline: Baseline, model: Model, rows: Tensor, reference: Tensor | None, squared_error: float | None
) -> Coded:
    """Codes of raw rows (n, x) along the principal components that are kept beside a model."""

    def coordinates(raw: Tensor) -> Tensor:
        return baseline.codes(model.transform.comparable(model.transform(raw).x).cpu())

    there = None if reference is None else in_chunks(model, reference, coordinates).numpy()
    return Coded("PCA", in_chunks(model, rows, coordinates).numpy(), there, squared_error)


def comparable(model: Model, rows: Tensor) -> np.ndarray:
    """Raw rows (n, x) in the unit of reported errors, (n, cells), in float64."""

    def scaled(raw: Tensor) -> Tensor:
        return model.transform.comparable(model.transform(raw).x).flatten(1)

    return in_chunks(model, rows, scaled).double().numpy()


class KernelComponents:
    """Kernel PCA with a gaussian kernel, and kernel ridge regression from its codes back to rows.

    The kernel is k(x, y) = exp(-|x - y|^2 / (width m)), m the median of the squared distances (Schoelkopf et al. 1998);
    rows are decoded by regression on the codes, with such a kernel of width 1 (Bakir et al. 2004).

    Parameters
    ----------
    x : array, shape (m, cells)
        Training rows.
    size : int
        Components; as many as there are where that is fewer.
    width : float
        Of the kernel.
    ridge : float
        Of the regression.
    """

    def __init__(self, x: np.ndarray, size: int, width: float, ridge: float) -> None:
        self.mean = x.mean(0)
        self.components = KernelPCA(min(size, len(x)), kernel="rbf", gamma=_precision(x) / width, random_state=0)
        z = self.components.fit_transform(x)
        self.decoder = KernelRidge(alpha=ridge, kernel="rbf", gamma=_precision(z)).fit(z, x - self.mean)

    def codes(self, x: np.ndarray) -> np.ndarray:
        """Codes (n, d) of rows (n, cells)."""
        blocks = np.array_split(x, range(ROWS_AT_ONCE, len(x), ROWS_AT_ONCE))
        return np.concatenate([self.components.transform(block) for block in blocks])

    def squared_error(self, x: np.ndarray) -> float:
        """Mean squared error a cell of rows (n, cells) decoded from their codes."""
        z = self.codes(x)
        total = 0.0
        for start in range(0, len(x), ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            total += float(np.square(x[part] - self.mean - self.decoder.predict(z[part])).sum())
        return total / x.size


def kernel_principal(model: Model, rows: Tensor, reference: Tensor, seed: int) -> Coded:
    """Codes of raw rows (n, x) by kernel PCA of as many numbers, fitted to some reference rows.

    Width and ridge are those with the smallest error on a fifth of these; the fit is then to all of them.
    """
    chosen = np.random.default_rng(seed).permutation(len(reference))[:KERNEL_ROWS]
    x, size = comparable(model, reference[chosen]), model.latent.size
    held, kept = np.split(x, [max(1, int(HELD_OUT * len(x)))])
    choices = itertools.product(WIDTHS, RIDGES)
    best = min(choices, key=lambda choice: KernelComponents(kept, size, *choice).squared_error(held))
    fitted = KernelComponents(x, size, *best)
    given = comparable(model, rows)
    there = in_chunks(model, reference, lambda raw: torch.from_numpy(fitted.codes(comparable(model, raw))))
    return Coded("kernel PCA", fitted.codes(given), there.numpy(), fitted.squared_error(given))


def _precision(x: np.ndarray) -> float:
    """One by the median squared distance of rows that differ; 1 where none do."""
    squared = pdist(x, "sqeuclidean")
    squared = squared[squared > 0]
    return 1 / float(np.median(squared)) if len(squared) else 1.0
