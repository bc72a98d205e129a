"""A world whose features are known, and how well a dictionary and its codes tell them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import ndtri

FEATURES = 512
RANK, CORRELATED = 16, 0.3  # of the normals behind which features are on: common directions, and their share
ZIPF = 0.5
MOST = 0.4
SIZES = (0.5, 1.5)
NOISE = 0.02
CHILDREN = 3  # of a parent in the hierarchical world
ROWS_AT_ONCE = 20_000


@dataclass(frozen=True)
class World:
    """Rows x = z F + noise: of 512 unit features few are on, at sizes from 0.5 to 1.5.

    Feature i is on with a probability as i^-0.5 (Zipf), those of one row by a gaussian copula with common directions.
    In the hierarchical world each feature of the first quarter is a parent, and its three children can only be on
    where it is. Where it is, the copula chooses a child with the quotient of their rates, so that children are on
    about as often as in the flat world: chosen as there and kept with their parents, they would be on in one row of
    20,000.

    Parameters
    ----------
    dim : int
        Dimensions of x.
    active : float
        Features on in a row, on average.
    hierarchical : bool
        Whether children need their parents.
    seed : int
        Of the features; rows have seeds of their own.
    """

    dim: int
    active: float
    hierarchical: bool = False
    seed: int = 0

    @property
    def features(self) -> np.ndarray:
        """Unit rows (512, dim)."""
        drawn = np.random.default_rng(self.seed).standard_normal((FEATURES, self.dim))
        return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)

    def rates(self) -> np.ndarray:
        """How often each feature is on."""
        rates = np.arange(1, FEATURES + 1) ** -ZIPF
        for _ in range(50):
            rates = np.minimum(rates * (self.active / rates.sum()), MOST)
        return rates

    def chosen(self) -> np.ndarray:
        """How often the copula chooses each feature; of a child, where its parent is on."""
        rates = self.rates()
        if self.hierarchical:
            parents = FEATURES // (1 + CHILDREN)
            rates[parents:] /= np.tile(rates[:parents], CHILDREN)
        return rates

    def rows(self, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows (n, dim) and their codes (n, 512), float32."""
        draws = np.random.default_rng([self.seed, seed])
        common = np.random.default_rng([self.seed, 1]).standard_normal((FEATURES, RANK))
        common *= np.sqrt(CORRELATED) / np.linalg.norm(common, axis=1, keepdims=True)
        normal = draws.standard_normal((n, RANK)) @ common.T
        normal += np.sqrt(1 - CORRELATED) * draws.standard_normal((n, FEATURES), dtype=np.float32)
        on = normal < ndtri(self.chosen())
        if self.hierarchical:
            parents = FEATURES // (1 + CHILDREN)
            on[:, parents:] &= np.tile(on[:, :parents], CHILDREN)
        z = (on * draws.uniform(*SIZES, on.shape)).astype(np.float32)
        x = z @ self.features + NOISE * draws.standard_normal((n, self.dim), dtype=np.float32)
        return x.astype(np.float32), z

    def blocks(self, n: int, seed: int) -> Iterator[np.ndarray]:
        """Rows in blocks, for a file of them."""
        for number, start in enumerate(range(0, n, ROWS_AT_ONCE)):
            yield self.rows(min(ROWS_AT_ONCE, n - start), seed + number)[0]


def scores(
    features: np.ndarray, true: np.ndarray, atoms: np.ndarray, codes: np.ndarray, x: np.ndarray, rebuilt: np.ndarray
) -> dict[str, float]:
    """Say how well a dictionary and its codes tell the features.

    Parameters
    ----------
    features, true : array, shapes (512, dim) and (n, 512)
        The world's, and its codes of held-out rows.
    atoms, codes : array, shapes (m, dim) and (n, m)
        The dictionary's, and its codes of these rows.
    x, rebuilt : array, shape (n, dim)
        The rows, and what the dictionary makes of its codes.

    Returns
    -------
    dict
        mcc, the mean cosine of features and atoms matched one to one (Hungarian), 0 for a feature without a match; f1,
        the mean over features of the F1 of "matched unit is on" for "feature is on"; uniqueness, the share of features
        whose nearest atom is nearest to no other; l0, codes on a row; explained_variance about the mean; dead_share of
        units never on; shrinkage, the sum of matched codes over that of true ones where both are on.
    """
    unit = atoms / np.maximum(np.linalg.norm(atoms, axis=1, keepdims=True), 1e-12)
    cosine = features @ unit.T
    row, column = linear_sum_assignment(-cosine)
    on, found = true[:, row] > 0, codes[:, column] > 0
    both = (on & found).sum(0)
    f1 = 2 * both / np.maximum(on.sum(0) + found.sum(0), 1)
    nearest = cosine.argmax(1)
    sizes = (codes * np.linalg.norm(atoms, axis=1))[:, column]
    return {
        "mcc": float(cosine[row, column].sum() / len(features)),
        "f1": float(f1.sum() / len(features)),
        "uniqueness": float((np.bincount(nearest, minlength=len(unit))[nearest] == 1).mean()),
        "l0": float((codes > 0).sum(1).mean()),
        "explained_variance": float(1 - ((x - rebuilt) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()),
        "dead_share": float((~(codes > 0).any(0)).mean()),
        "shrinkage": float(sizes[on & found].sum() / max(true[:, row][on & found].sum(), 1e-12)),
    }


def non_negative(x: np.ndarray, atoms: np.ndarray, penalty: float, steps: int = 200) -> np.ndarray:
    """Non-negative codes (n, m) that minimise 1/2 |x - z A|^2 + penalty * sum z (FISTA; Beck and Teboulle 2009)."""
    gram, heard = atoms @ atoms.T, x @ atoms.T
    rate = 1 / float(np.linalg.eigvalsh(gram)[-1])
    z = ahead = np.zeros_like(heard)
    momentum = 1.0
    for _ in range(steps):
        newer = np.maximum(ahead - rate * (ahead @ gram - heard + penalty), 0)
        growing = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = newer + (momentum - 1) / growing * (newer - z)
        z, momentum = newer, growing
    return z
