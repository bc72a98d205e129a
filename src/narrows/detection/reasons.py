"""Alarms in words: which cells a score comes from, what they hold, and what training rows held there."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from narrows.data.schema import Column, Schema
from narrows.data.wording import cut

SAMPLE = 20_000
TYPICAL = (0.025, 0.975)
COMMON = 3
NAMED = 3
SHARE = 0.1  # a cell that brings less of the score is not worth a word


class Typical(nn.Module):
    """What training rows hold, cell by cell: the middle 95 % of numbers, the commonest three of categories.

    A category that fewer than 2.5 % of the rows hold is not expected, unless it is the commonest.

    Parameters
    ----------
    schema : Schema
        Of the raw data.
    """

    low: Tensor
    high: Tensor
    common: Tensor

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self.schema = schema
        self.register_buffer("low", torch.zeros(schema.size, dtype=torch.float64))
        self.register_buffer("high", torch.zeros(schema.size, dtype=torch.float64))
        self.register_buffer("common", torch.full((schema.size, COMMON), -1, dtype=torch.int64))

    def fit(self, rows: Tensor) -> None:
        """Take the ranges of raw rows (n, x), or of 20,000 spread over them."""
        some = rows[:: math.ceil(len(rows) / SAMPLE)].flatten(1).double()
        levels = torch.tensor(TYPICAL, dtype=torch.float64)
        self.low, self.high = torch.nanquantile(some, levels, dim=0, interpolation="nearest")
        for place, column in enumerate(self.schema.columns or ()):
            if column.categories:
                cells = some[:, place]
                counts = torch.bincount(cells[~cells.isnan()].long(), minlength=len(column.categories) + 1)
                counts, order = (part[:COMMON] for part in counts[:-1].sort(descending=True, stable=True))
                expected = counts > TYPICAL[0] * len(cells)
                expected[0] = counts[0] > 0
                self.common[place, : len(order)] = order.where(expected, -1)

    def sentence(self, raw: Tensor, shares: Tensor) -> str:
        """Name the cells of one raw row (x) that its score comes from, by their shares (cells,) of it."""
        raw = raw.flatten()
        total = float(shares.clamp_min(0).sum())
        first = shares.topk(min(NAMED, len(shares))).indices.tolist()
        told = [place for place in first if float(shares[place]) > SHARE * total] or first[:1]
        return "; ".join(self._cell(place, float(raw[place])) for place in told)

    def _cell(self, place: int, value: float) -> str:
        column = self.schema.columns[place] if self.schema.columns else None
        if column is not None and column.categories:
            usual = value in self.common[place].tolist()
            told = "unusual beside the rest" if usual else f"expected {self._expected(column, place)}"
            return f"{column.name} = {category_name(column, value)}, {told}"
        low, high = float(self.low[place]), float(self.high[place])
        name = cell_name(self.schema, place)
        if math.isnan(value):
            return f"{name} is missing"
        if low <= value <= high:
            return f"{name} = {number(value)}, unusual beside the rest"
        return f"{name} = {number(value)}, expected {number(low)}" + (f" to {number(high)}" if high > low else "")

    def _expected(self, column: Column, place: int) -> str:
        names = [cut(column.categories[index]) for index in self.common[place].tolist() if index >= 0]
        return " or ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} or {names[-1]}"


def cell_name(schema: Schema, place: int) -> str:
    """Name one cell of an example: its column, or its channel, row and column in an image."""
    if schema.names:
        return schema.names[place]
    if not schema.is_image:
        return f"c{place}"
    _, height, width = schema.shape
    channel, rest = divmod(place, height * width)
    pixel = f"pixel {rest // width},{rest % width}"
    return pixel if schema.shape[0] == 1 else f"{pixel} of channel {channel}"


def cell_names(schema: Schema) -> Iterator[str]:
    """Name all cells of an example."""
    return (cell_name(schema, place) for place in range(schema.size))


def number(value: float) -> str:
    """Write a number for a person: ``4,300``, ``0.0123``, ``9.1e6``."""
    size = abs(value)
    if size < 1e6 and (value % 1 == 0 or size >= 999.5):
        return f"{value:,.0f}"
    if 1e-3 <= size < 1e6:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def category_name(column: Column, value: float) -> str:
    """Write what an index of a category stands for: its name, a value not seen in training, or nothing."""
    if math.isnan(value):
        return "missing"
    index = int(value)
    return cut(column.categories[index]) if index < len(column.categories) else "a value not seen in training"
