"""Codes as points of a plane, and the classes by which they are coloured, whatever draws them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from narrows.errors import InputError

MOST_CLASSES = 18  # that colours tell apart; the rarest of more are drawn as one
LONGEST = 24  # letters of a name


@dataclass(frozen=True)
class Plane:
    """Where codes lie.

    Parameters
    ----------
    points : array, shape (n, 2)
        Codes of two numbers, or the first two principal components of longer ones: (z - centre) directions'.
    axes : tuple of str
        What either axis is.
    shown : str
        What the whole is.
    centre : array, shape (d,)
        The code in the middle of the plane.
    directions : array, shape (2, d)
        Codes of length 1 along either axis.
    """

    points: np.ndarray
    axes: tuple[str, str]
    shown: str
    centre: np.ndarray
    directions: np.ndarray


@dataclass(frozen=True)
class Classes:
    """Values as classes.

    Parameters
    ----------
    names : list of str
        Of the commonest ones, at most 18.
    places : array, shape (n,)
        Place of each value among the names; -1 for the others.
    others : str
        What those are, in words; empty where there are none.
    """

    names: list[str]
    places: np.ndarray
    others: str


def plane(z: np.ndarray) -> Plane:
    """Lay codes (n, d) out on a plane.

    Raises
    ------
    InputError
        If codes are of fewer than two numbers, or there are fewer than two of them.
    """
    from sklearn.decomposition import PCA

    rows, size = z.shape
    if size < 2 or rows < 2:
        raise InputError(
            f"a map wants at least two codes of at least two numbers, and here are {rows} of {size}; leave it out, or "
            f"train with --set latent.size=2"
        )
    if size == 2:
        return Plane(z, ("z0", "z1"), f"{rows:,} codes of two numbers", np.zeros(2), np.eye(2))
    components = PCA(2).fit(z)
    shares = components.explained_variance_ratio_
    said = tuple(f"principal component {i + 1} of the codes ({share:.0%})" for i, share in enumerate(shares))
    shown = (
        f"{rows:,} codes of {size} numbers along their first two principal components, {sum(shares):.0%} of variance"
    )
    return Plane(components.transform(z), (said[0], said[1]), shown, components.mean_, components.components_)


def is_scale(values: np.ndarray) -> bool:
    """Whether values are numbers on a scale, more than 18 of them, and no classes."""
    return values.dtype.kind == "f" and len(np.unique(values[np.isfinite(values)])) > MOST_CLASSES


def classes(values: np.ndarray) -> Classes:
    """Take values (n,), text or numbers, as classes; a missing one is empty or NaN."""
    missing = np.isnan(values) if values.dtype.kind == "f" else values.astype(str) == ""
    found, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    common = np.argsort(-counts, kind="stable")
    common = np.sort(common[~np.isin(common, places[missing])][:MOST_CLASSES])
    rank = np.full(len(found), -1)
    rank[common] = np.arange(len(common))
    less = len(found) - len(common) - bool(missing.any())
    said = [f"{less:,} others"] * bool(less) + ["none"] * bool(missing.any())
    names = [f"{value:g}" if found.dtype.kind == "f" else str(value) for value in found[common]]
    return Classes(names, rank[places], ", ".join(said))


def short_name(name: str) -> str:
    """A name on one line, as it fits into a legend."""
    name = " ".join(name.split())
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
