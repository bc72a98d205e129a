"""From probabilities, which are floats, to frequencies, which are whole numbers: once, when a model file is made."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from narrows.errors import InputError, at_least, at_most

HIGHEST_PRECISION = 16


def check_precision(precision: int) -> None:
    """Check that frequencies may add up to 2^precision, which is 2 to 2^16."""
    at_least("precision", precision, 1)
    at_most("precision", precision, HIGHEST_PRECISION)


def quantised(probabilities: ArrayLike, precision: int) -> NDArray[np.uint32]:
    """Cumulative frequencies that come near to probabilities, in steps of 2^-p and none of them 0.

    Frequencies f with sum 2^p and all f_s >= 1 whose code length, -sum_s P_s log2(f_s / 2^p) bits, is close to the
    least: f_s = max(1, c P_s) for the one c with the right sum, rounded down, and the largest remainders up (of equal
    ones the first). Floats decide about the result; hence what is written into a file is the result, and whoever
    decodes reads it there.

    Parameters
    ----------
    probabilities : array, shape (..., symbols)
        At least 0, and not all 0; they need not add up to 1.
    precision : int
        p, from 1 to 16; 2^p is at least the number of symbols.

    Returns
    -------
    array of uint32, shape (..., symbols + 1)
        Upwards from 0 to 2^p: symbol s has [C_s, C_(s + 1)).

    Raises
    ------
    InputError
        If there are too many symbols for the precision, or the numbers are no probabilities.
    """
    check_precision(precision)
    P = np.asarray(probabilities, dtype=np.float64)
    if P.ndim < 1 or not 1 <= P.shape[-1] <= 1 << precision:
        raise InputError(
            f"probabilities of shape {P.shape} cannot be told in steps of 2^-{precision}; "
            f"give 1 to {1 << precision} symbols along the last axis"
        )
    totals = P.sum(axis=-1, keepdims=True)
    if not (np.isfinite(totals).all() and (P >= 0).all() and (totals > 0).all()):
        raise InputError("probabilities hold negative, infinite or undefined numbers, or nothing but zeros")
    freqs = _rounded(_raised(P / totals, 1 << precision), 1 << precision)
    return np.concatenate([np.zeros_like(freqs[..., :1]), freqs.cumsum(axis=-1)], axis=-1).astype(np.uint32)


@dataclass(frozen=True, eq=False)
class Tables:
    """Cumulative frequencies of one alphabet under one or several distributions, checked.

    Attributes
    ----------
    cumulative : array of uint32, shape (tables, symbols + 1)
        Given as that, or as one row: in table k symbol s has frequency C[k, s + 1] - C[k, s]. Read-only.
    precision : int
        The frequencies of each table add up to 2^precision.

    Raises
    ------
    InputError
        If a row does not rise from 0 to 2^precision at every step: a file may bring anything.
    """

    cumulative: NDArray[np.uint32] = field(repr=False)
    precision: int

    def __post_init__(self) -> None:
        check_precision(self.precision)
        given = np.asarray(self.cumulative)
        rows = given[None] if given.ndim == 1 else given
        if rows.dtype.kind not in "iu" or rows.ndim != 2 or rows.shape[1] < 2:
            raise InputError(
                f"frequency tables are {given.dtype} of shape {given.shape}; allowed: whole numbers, in rows"
            )
        if not ((rows[:, 0] == 0).all() and (rows[:, -1] == 1 << self.precision).all()):
            raise InputError(f"a frequency table does not go from 0 to 2^{self.precision}, as each must")
        if not (rows[:, 1:] > rows[:, :-1]).all():
            raise InputError("a frequency table does not rise at every symbol, as each must")
        # A view of its own, so that the flag is not set on the array of the giver.
        checked = np.ascontiguousarray(rows, dtype=np.uint32).view()
        checked.flags.writeable = False
        object.__setattr__(self, "cumulative", checked)

    def __len__(self) -> int:
        return len(self.cumulative)

    @property
    def symbols(self) -> int:
        """How many symbols there are."""
        return self.cumulative.shape[1] - 1


def _raised(P: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    """Frequencies before rounding, max(1, c P) with sum ``total`` (..., symbols); those below 1 are yet to be raised.

    If the k smallest are raised to 1, c = (total - k) / (sum of the others); k is the smallest for which no other one
    falls below 1.
    """
    symbols = P.shape[-1]
    upwards = np.sort(P, axis=-1)
    others = upwards[..., ::-1].cumsum(axis=-1)[..., ::-1]
    scale = (total - np.arange(symbols)) / others
    enough = scale * upwards >= 1
    enough[..., -1] = True  # one alone takes what is left, at least 1, whatever rounding says
    k = enough.argmax(axis=-1)[..., None]
    return np.take_along_axis(scale, k, axis=-1) * P


def _rounded(wanted: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Whole frequencies of at least 1 with sum ``total`` (..., symbols): largest remainders."""
    freqs = np.maximum(np.floor(wanted), 1).astype(np.int64)
    missing = total - freqs.sum(axis=-1, keepdims=True)
    order = np.argsort(freqs - wanted, axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    return freqs + (rank < missing)
