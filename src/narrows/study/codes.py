"""How codes lie beside their prior, and how images lie beside real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from narrows.evaluate.likeness import frechet, likeness

COMPONENTS = 32
NEIGHBOURS = 5


@dataclass(frozen=True)
class Spread:
    """How the codes of many rows lie together, beside N(0, I).

    Parameters
    ----------
    model : str
        Whose codes.
    largest_mean : float
        Largest absolute mean of a number.
    smallest_deviation, largest_deviation : float
        Standard deviations of numbers.
    correlation : float
        Largest absolute correlation of two numbers.
    divergence_nats : float
        KL of the gaussian with their mean and covariance from N(0, I): at most the KL of the codes themselves from it.
    """

    model: str
    largest_mean: float
    smallest_deviation: float
    largest_deviation: float
    correlation: float
    divergence_nats: float


def spread_of(model: str, codes: Tensor) -> Spread:
    """Measure codes (n, d).

    The divergence is 1/2 (tr S + |m|^2 - d - ln det S); of all laws with mean m and covariance S the gaussian is
    nearest to N(0, I).
    """
    z = codes.double()
    mean, covariance = z.mean(0), z.T.cov()
    deviation = z.std(0)
    correlation = z.T.corrcoef().fill_diagonal_(0).abs().max()
    nats = 0.5 * (covariance.trace() + mean.square().sum() - len(mean) - covariance.logdet())
    figures = (mean.abs().max(), deviation.min(), deviation.max(), correlation, nats)
    return Spread(model, *(float(figure) for figure in figures))


class Manifold:
    """Real images, in their first principal components, to compare others with.

    Parameters
    ----------
    images : array, shape (n, x)
        Raw images that no model was trained on.
    """

    def __init__(self, images: np.ndarray) -> None:
        flat = images.reshape(len(images), -1).astype(np.float64)
        self._mean, self._scale = flat.mean(0), flat.std()
        rows = (flat - self._mean) / self._scale
        self._axes = np.linalg.eigh(rows.T @ rows)[1][:, -COMPONENTS:]
        self._real = rows @ self._axes

    def compare(self, images: np.ndarray) -> tuple[float, float, float]:
        """Compare images (m, x) with the real ones.

        Returns
        -------
        distance : float
            Frechet distance of the gaussians fitted to either, the root of `frechet`, in standard deviations of a
            pixel.
        realistic : float
            Share of the images that lie within the distance of a real one to its 5th nearest real one (precision,
            Kynkaanniemi et al. 2019).
        covered : float
            The same of real images among these (recall).
        """
        rows = (images.reshape(len(images), -1) - self._mean) / self._scale @ self._axes
        near = likeness(self._real, rows, NEIGHBOURS)
        return frechet(rows, self._real) ** 0.5, near.precision, near.recall
