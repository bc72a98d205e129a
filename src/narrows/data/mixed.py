"""The fitted map of a mixed table: raw cells to what the likelihood scores and the encoder sees, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from narrows.data.features import RULES, Features
from narrows.data.moments import Moments
from narrows.data.schema import Schema
from narrows.noise import Noise
from narrows.plan import Binarize
from narrows.values import Batch

ROWS_AT_ONCE = 500


class MixedTransform(nn.Module):
    """Raw cells -> target x and the features ``seen``; what `Transform` is to data of one kind.

    In x numeric columns are standardised over their observed cells, counts and indices of categories are as they are,
    and missing cells are NaN; ``seen`` are `Features`.

    Parameters
    ----------
    schema : Schema
        Of the raw data, with columns.
    """

    binarize: Binarize = "none"
    scale: Tensor
    lowest: Tensor
    highest: Tensor
    is_numeric: Tensor
    is_symbol: Tensor
    open_nats: Tensor

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self.schema = schema
        self.features = Features(schema)
        self.moments = Moments(schema.size)
        self.register_buffer("scale", torch.ones(schema.shape))
        self.register_buffer("lowest", torch.full(schema.shape, torch.inf))
        self.register_buffer("highest", torch.full(schema.shape, -torch.inf))
        rules = [RULES[column.kind] for column in schema.columns or ()]
        masks = {"is_numeric": [rule.real for rule in rules], "is_symbol": [rule.symbols for rule in rules]}
        for name, mask in masks.items():
            self.register_buffer(name, torch.tensor(mask, device="cpu"), persistent=False)
        left_open = [alphabet.open_bits * math.log(2) for alphabet in schema.alphabets]
        nats = torch.tensor(np.concatenate([np.empty(0), *left_open]), dtype=torch.float32, device="cpu")
        self.register_buffer("open_nats", nats, persistent=False)

    @property
    def modelled(self) -> Schema:
        """The schema of what the likelihood scores: that of the raw data."""
        return self.schema

    @property
    def grid(self) -> bool:
        """Whether every column holds counts or categories, so that a row has a mass and not a density."""
        return not bool(self.is_numeric.any())

    @property
    def seen_shape(self) -> tuple[int, ...]:
        """Shape of one example as the encoder sees it."""
        return (self.features.size,)

    @property
    def count(self) -> Tensor:
        """Observed cells of each column, (c,)."""
        return self.moments.count

    @property
    def mean(self) -> Tensor:
        """Mean of each column's observed cells, of indices too, (c,)."""
        return self.moments.mean

    @property
    def squares(self) -> Tensor:
        """Sum of squared distances from the mean of each column, (c,)."""
        return self.moments.squares

    @property
    def shift(self) -> Tensor:
        """What is taken off each column, (c,), in float64: the mean of a numeric one."""
        return torch.where(self.is_numeric, self.moments.mean, 0.0)

    def fit(self, values: Tensor | Iterable[Tensor]) -> None:
        """Take the statistics of all rows (n, c), given as one tensor or in chunks, and forget earlier ones."""
        self.moments.clear()
        self.features.clear()
        self.lowest.fill_(torch.inf)
        self.highest.fill_(-torch.inf)
        for rows in values.split(ROWS_AT_ONCE) if isinstance(values, Tensor) else values:
            self.update(rows)

    @torch.no_grad()
    def update(self, rows: Tensor) -> None:
        """Add rows (n, c) to the running statistics."""
        self.features.update(rows)
        self.moments.add(rows)
        self.scale.copy_(torch.where(self.is_numeric, self.moments.spread, 1.0))
        self.lowest.copy_(torch.minimum(self.lowest, rows.nan_to_num(torch.inf).amin(0)))
        self.highest.copy_(torch.maximum(self.highest, rows.nan_to_num(-torch.inf).amax(0)))

    def forward(self, raw: Tensor, noise: Noise | None = None) -> Batch:
        """Raw rows (n, c) -> target and clean features."""
        # In float64, which holds whole numbers and small differences between large ones.
        x = ((raw.double() - self.shift) / self.scale.double()).to(self.scale.dtype)
        return Batch(x, self.features(raw), self.features.owner, self.features.blank)

    def inverse(self, x: Tensor) -> Tensor:
        """Target unit -> raw unit, for example for the mean of p(x | z)."""
        return x * self.scale + self.shift.to(x.dtype)

    def within(self, raw: Tensor) -> Tensor:
        """Raw cells (..., c), none below or above all observed ones of its column, where there are any."""
        held = torch.minimum(torch.maximum(raw, self.lowest), self.highest)
        return torch.where(self.lowest <= self.highest, held, raw)

    def comparable(self, x: Tensor) -> Tensor:
        """Numbers in standard deviations of their column; NaN for categories, which have no differences."""
        spread = self.moments.spread.to(x.dtype)
        numbers = (self.inverse(x) - self.moments.mean.to(x.dtype)) / spread
        return numbers.masked_fill(self.is_symbol, torch.nan)

    def squared_errors(self, x: Tensor, rebuilt: Tensor) -> Tensor:
        """Squared errors of cells (n, c): in variances of a number, 1 for a wrong category, NaN where x is missing."""
        wrong = torch.where(x.isnan(), torch.nan, (x != rebuilt).to(x.dtype))
        numbers = (self.comparable(x) - self.comparable(rebuilt)).square()
        return torch.where(self.is_symbol, wrong, numbers)

    @property
    def error_unit(self) -> str:
        """Name the unit of `squared_errors` for a person."""
        return "variances of a number, 1 for a wrong category, over observed cells"

    @property
    def log_det(self) -> float:
        """ln |dx / draw| in nats of a row with no missing cell."""
        return -float(self.scale.double().log().sum())

    def log_dets(self, raw: Tensor) -> Tensor:
        """ln |dx / draw| in nats of each row (n,): over its observed numeric cells.

        Of a table in symbols, minus what those of numbers leave open; nothing for texts that have no symbol.
        """
        if len(self.open_nats):
            return -self.open_nats[self.features.symbols(raw)[0]].sum(1)
        return -torch.where(raw.isnan(), 0.0, self.scale.to(raw.device).log()).sum(1)

    @property
    def resolution(self) -> float:
        """Distance between neighbouring raw values in the unit of x; 0, for columns have no common one."""
        return 0.0
