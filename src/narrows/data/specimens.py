"""A few rows of every kind of data, on which the contract of the parts is checked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from narrows.data.schema import Column, Schema
from narrows.noise import Noise

ROWS = 12
MIXED = Schema(
    (6,),
    0.0,
    0.0,
    columns=(
        Column("length", "numeric"),
        Column("visits", "count"),
        Column("member", "binary", ("no", "yes")),
        Column("colour", "category", ("red", "green", "blue")),
        Column("weight", "numeric"),
        Column("town", "category", tuple(f"town {i}" for i in range(12))),
    ),
)


@dataclass(frozen=True)
class Example:
    """A few rows of one kind of data.

    Parameters
    ----------
    name : str
        Such as ``"image-levels"``.
    schema : Schema
        Of the rows.
    values : Tensor, shape (n, x)
        The rows, in the type they would be stored in.
    """

    name: str
    schema: Schema
    values: Tensor


@cache
def examples() -> list[Example]:
    """Rows of every kind of values, as vectors of 6 columns and as images of 1 x 8 x 8 cells; and a mixed table."""
    made = []
    for what, shape in (("vector", (6,)), ("image", (1, 8, 8))):
        uniform = Noise(0).uniform((ROWS, *shape), rows=0)
        made += [
            Example(f"{what}-binary", Schema(shape, 0.0, 1.0, 1.0), (uniform * 2).to(torch.uint8)),
            Example(f"{what}-levels", Schema(shape, 0.0, 4.0, 1.0), (uniform * 5).to(torch.uint8)),
            Example(f"{what}-counts", Schema(shape, 0.0, float("inf"), 1.0), (uniform * 9).long()),
            Example(f"{what}-reals", Schema(shape, -1.0, 3.0), 4 * uniform - 1),
        ]
    return [*made, Example("table-mixed", MIXED, _mixed_rows())]


def _mixed_rows() -> Tensor:
    """Rows of `MIXED`: some cells missing, one row with none left, some values that are none of the categories."""
    uniform = Noise(1).uniform((ROWS, 6), rows=0)
    rows = torch.cat([4 * uniform[:, :1] - 1, uniform[:, 1:] * torch.tensor([9.0, 2.0, 4.0, 1.0, 12.0])], 1)
    rows[:, [1, 2, 3, 5]] = rows[:, [1, 2, 3, 5]].floor()
    rows[Noise(2).uniform(rows.shape, rows=0) < 0.2] = torch.nan
    rows[3] = torch.nan
    return rows
