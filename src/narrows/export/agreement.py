"""How far a graph is from the package itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.errors import InputError

ABSOLUTE = 1e-5
RELATIVE = 1e-5


@dataclass(frozen=True)
class Agreement:
    """Figures of one comparison.

    Parameters
    ----------
    rows : int
        Rows compared.
    max_absolute_error : float
        Largest |graph - own|.
    max_relative_error : float
        Largest |graph - own| / |own|, of numbers of at least 1e-5 / 1e-5 = 1 in size: smaller ones may differ by 1e-5.
    """

    rows: int
    max_absolute_error: float
    max_relative_error: float


def agreement(name: str, made: Tensor, own: Tensor) -> Agreement:
    """Compare what a graph gives with the package's own figures.

    Raises
    ------
    InputError
        If a number differs by more than 1e-5 + 1e-5 of its size.
    """
    if made.shape != own.shape:
        raise InputError(f"the graph {name} gives {tuple(made.shape)}, and the model {tuple(own.shape)}")
    a, b = made.double().flatten(), own.double().flatten()
    same = (a == b) | (a.isnan() & b.isnan())
    error = torch.where(same, 0.0, (a - b).abs().nan_to_num(torch.inf))
    size = b.abs()
    if bool((error > ABSOLUTE + RELATIVE * size.nan_to_num(0.0, posinf=0.0)).any()):
        apart = int((error.view(len(made), -1) > (ABSOLUTE + RELATIVE * size).view(len(made), -1)).any(1).sum())
        raise InputError(
            f"the graph {name} differs from the model by {float(error.max()):.2g} on {apart} of {len(made)} rows, more "
            f"than {ABSOLUTE:g} + {RELATIVE:g} of the number, and was not written; take other rows, or tell us of it"
        )
    relative = torch.where(size >= ABSOLUTE / RELATIVE, error / size, 0.0)
    return Agreement(len(made), float(error.max()), float(relative.max()))
