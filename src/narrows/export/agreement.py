"""How far a graph is from the package itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.errors import InputError

ABSOLUTE = 1e-5
RELATIVE = 1e-5
MOST_APART = 0.01  # of the rows


@dataclass(frozen=True)
class Agreement:
    """Figures of one comparison.

    Parameters
    ----------
    rows : int
        Rows compared.
    rows_apart : int
        Those in which a number differs by more than 1e-5 (of pixels: of their range) + 1e-5 of its size.
    max_absolute_error : float
        Largest |graph - own|.
    max_relative_error : float
        Largest |graph - own| / |own|, of numbers of at least 1 in size (of pixels, of the range): of smaller ones the
        absolute error says more.
    """

    rows: int
    rows_apart: int
    max_absolute_error: float
    max_relative_error: float


def agreement(name: str, made: Tensor, own: Tensor, unit: float = 1.0) -> Agreement:
    """Compare what a graph gives with the package's own figures.

    Raises
    ------
    InputError
        If in more than a hundredth of the rows a number differs by more than 1e-5 ``unit`` + 1e-5 of its size.
    """
    if made.shape != own.shape:
        raise InputError(f"the graph {name} gives {tuple(made.shape)}, and the model {tuple(own.shape)}")
    a, b = made.double().flatten(), own.double().flatten()
    same = (a == b) | (a.isnan() & b.isnan())
    error = torch.where(same, 0.0, (a - b).abs().nan_to_num(torch.inf))
    size = b.abs().nan_to_num(0.0, posinf=0.0)
    apart = int((error > ABSOLUTE * unit + RELATIVE * size).view(len(made), -1).any(1).sum())
    if apart > MOST_APART * len(made):
        raise InputError(
            f"the graph {name} differs from the model by {float(error.max()):.2g} on {apart} of {len(made)} rows, more "
            f"than {ABSOLUTE * unit:g} + {RELATIVE:g} of the number, and was not written; take other rows to compare on"
        )
    relative = torch.where(size >= unit, error / size, 0.0)
    return Agreement(len(made), apart, float(error.max()), float(relative.max()))
