"""Rows to measure graphs on where none are given: drawn evenly from the range that the data have."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.data.schema import Column, Schema

MOST_ROWS = 1000
MOST_CELLS = 2_000_000
COUNTS = 10.0  # the end of a range that has none, above its beginning
GAPS = 0.05


def rows_compared(schema: Schema) -> int:
    """How many rows graphs are measured on: 1,000, of large images fewer."""
    return min(MOST_ROWS, max(8, MOST_CELLS // schema.size))


def drawn_rows(schema: Schema, low: Tensor, high: Tensor, seed: int) -> Tensor:
    """Draw raw rows (n, *shape).

    Parameters
    ----------
    schema : Schema
        Of the raw data. Values with a step lie on it. Of a mixed table cells are whole where they stand for categories,
        one of which is none that training rows held, and a twentieth of the cells are missing.
    low, high : Tensor, shape () or (c,)
        Ends of the range of each cell; those that are not finite are replaced.
    seed : int
        Equal seeds give equal rows.
    """
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(rows_compared(schema), *schema.shape, generator=generator, dtype=torch.float64)
    low, high = low.double().nan_to_num(0.0, neginf=0.0, posinf=0.0), high.double()
    high = torch.where(high.isfinite(), high, low + COUNTS)
    if schema.columns is not None:
        columns = [_cells(column, uniform[:, i], low[i], high[i]) for i, column in enumerate(schema.columns)]
        missing = torch.rand(uniform.shape, generator=generator) < GAPS
        return torch.stack(columns, 1).masked_fill(missing, torch.nan).float()
    if not schema.step:
        return torch.lerp(low.expand_as(uniform), high.expand_as(uniform), uniform).float()
    steps = (high - low) / schema.step + 1
    return (low + schema.step * (uniform * steps.round()).floor()).float()


def _cells(column: Column, uniform: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Cells (n,) of one column of a mixed table."""
    if column.categories:
        return (uniform * (len(column.categories) + 1)).floor()
    cells = low + uniform * (high - low)
    return cells.floor() if column.kind == "count" else cells
