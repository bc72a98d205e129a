"""How one set of rows lies beside another: distance of their gaussians, and who is among whose neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

NEIGHBOURS = 5
ROWS_AT_ONCE = 1000


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Frechet distance, squared, of gaussians fitted to rows (n, d) and (m, d).

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)) (Dowson and Landau 1982). Few rows make it larger: a second sample of the
    same law is about tr(S) (1/n + 1/m) away and more, so that figures compare at equal n and m.
    """
    first, second = np.atleast_2d(np.cov(one.T)), np.atleast_2d(np.cov(other.T))
    shift = float(((one.mean(0) - other.mean(0)) ** 2).sum())
    # (S S')^(1/2) has the trace of (S^(1/2) S' S^(1/2))^(1/2), whose argument is symmetric.
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    middle = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    return max(0.0, shift + float(np.trace(first) + np.trace(second) - 2 * middle))


@dataclass(frozen=True)
class Likeness:
    """How made rows lie among real ones, told by neighbourhoods: balls out to the k-th nearest row of the same set.

    Parameters
    ----------
    precision : float
        Share of the made rows that lie in the neighbourhood of a real one (Kynkaanniemi et al. 2019).
    recall : float
        Share of the real rows that lie in the neighbourhood of a made one.
    density : float
        How many real neighbourhoods a made row lies in, by k: 1 on average for rows of the same law, and less led
        astray by a single real row far out (Naeem et al. 2020).
    coverage : float
        Share of the real rows in whose neighbourhood a made one lies.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def likeness(real: np.ndarray, made: np.ndarray, k: int = NEIGHBOURS) -> Likeness:
    """Compare rows (n, d) and (m, d), as many of either for figures that compare; more than k of each."""
    reach, reach_made = radii(real, k), radii(made, k)
    holders = np.zeros(len(made))
    recalled = covered = 0
    for start in range(0, len(real), ROWS_AT_ONCE):
        chunk = slice(start, start + ROWS_AT_ONCE)
        apart = cdist(real[chunk], made)
        within = apart <= reach[chunk, None]
        holders += within.sum(0)
        covered += int(within.any(1).sum())
        recalled += int((apart <= reach_made).any(1).sum())
    n = len(real)
    return Likeness(float((holders > 0).mean()), recalled / n, float(holders.mean() / k), covered / n)


def radii(rows: np.ndarray, k: int) -> np.ndarray:
    """Distance of each row to its k-th nearest other one."""
    chunks = (rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE))
    return np.concatenate([np.partition(cdist(chunk, rows), k, axis=1)[:, k] for chunk in chunks])
