"""What a graph is: a function of rows with a free number of them, and the figures that it must give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from narrows.data.schema import Schema

ROWS = "rows"


@dataclass(frozen=True)
class Port:
    """What goes into a graph, or what comes out.

    Parameters
    ----------
    name : str
        Its name.
    shape : tuple of int or str
        Its sides; those with a name are free.
    meaning : str
        What it holds, and in which unit.
    """

    name: str
    shape: tuple[int | str, ...]
    meaning: str


@dataclass(frozen=True)
class Graph:
    """One function of a model.

    Parameters
    ----------
    name : str
        Its name.
    module : nn.Module
        What is traced.
    takes, gives : Port
        Its input and its output.
    sample : Tensor
        Input on which it is measured.
    own : callable
        What the package itself gives for such input, by the functions that its verbs and estimators call.
    grain : int
        Free sides other than the number of rows are multiples of this.
    unit : float
        What an absolute error is measured by: the range of what comes out, where that is pixels, else 1.
    """

    name: str
    module: nn.Module
    takes: Port
    gives: Port
    sample: Tensor
    own: Callable[[Tensor], Tensor]
    grain: int = 1
    unit: float = 1.0


def rows_of(schema: Schema, values: Tensor) -> Tensor:
    """Return rows (n, *shape) of values in the user's layout, as the package keeps what it reads.

    `Schema.from_user` for tensors of any size; and numbers that are not whole are rounded to float32, as those of a
    file are (`narrows.data.matrices.float_matrix`).
    """
    values = torch.where(values == values.round(), values, values.float().to(values.dtype))
    if schema.layout == "hw":
        return values.unsqueeze(1)
    return values.movedim(3, 1) if schema.layout == "hwc" else values


def users(schema: Schema, rows: Tensor) -> Tensor:
    """Return values in the user's layout: the inverse of `rows_of`."""
    if schema.layout == "hw":
        return rows.squeeze(1)
    return rows.movedim(1, 3) if schema.layout == "hwc" else rows


def usual_dtype(schema: Schema) -> torch.dtype:
    """Return the type that graphs compute in, which is that of the estimators: float32 for images, else float64."""
    return torch.float32 if schema.is_image else torch.float64
