"""Raw rows as numbers of one scale: what an encoder sees of a mixed table, and what distances are measured in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from narrows.data.moments import Moments
from narrows.data.schema import Schema
from narrows.errors import unknown

Scaling = Literal["standard", "rank-normal"]

ROWS_AT_ONCE = 500
KNOTS = 1000
SCALINGS = ("standard", "rank-normal")
# Two rows that differ in one category are then at distance 1, as two that differ by a standard deviation are.
SYMBOL = math.sqrt(0.5)


@dataclass(frozen=True)
class Rule:
    """How the cells of one kind of column become features.

    Parameters
    ----------
    symbols : bool
        Whether cells are indices of categories: one feature a category and one for a value that is none of them.
    log : bool
        Whether a number is taken as ln(1 + number).
    whole : bool
        Whether numbers are whole ones.
    """

    symbols: bool = False
    log: bool = False
    whole: bool = False

    @property
    def real(self) -> bool:
        """Whether cells are real numbers, which have a density and are standardised."""
        return not self.symbols and not self.whole


RULES: Mapping[str, Rule] = {
    "numeric": Rule(),
    "count": Rule(log=True, whole=True),
    "binary": Rule(symbols=True),
    "category": Rule(symbols=True),
}


class Features(nn.Module):
    """Raw rows (n, x) -> features (n, f), each about as wide as the next.

    Numbers are standardised by the mean and standard deviation of the observed training cells (counts after
    ln(1 + count)); a number that never changed is divided by 1. A category is one-hot in units of sqrt(1/2), with one
    more feature for a value that no training row held. Every column of a mixed table ends in an indicator, 1 where the
    cell is missing, and its other features are then 0. Vectors are standardised by column and images by channel,
    flattened, without indicators.

    Parameters
    ----------
    schema : Schema
        Of the raw rows.
    scaling : {"standard", "rank-normal"}
        Whether numbers are standardised, or brought to a normal distribution by their rank among the training cells:
        z = Phi^-1(F(number)), where F is drawn through 1,000 quantiles, and the middle of its step at a tie. Beyond
        the outermost quantiles z goes on by one for each standard deviation.

    Attributes
    ----------
    owner : Tensor, shape (f,)
        The column (the flattened cell, where there are no columns) from which each feature comes.
    blank : Tensor, shape (f,)
        Features of a row all of whose cells are missing.
    """

    owner: Tensor
    blank: Tensor
    scale: Tensor
    knots: Tensor
    occurred: Tensor
    logs: Tensor
    number_columns: Tensor
    number_places: Tensor
    symbol_columns: Tensor
    table_starts: Tensor
    own_places: Tensor
    unseen_places: Tensor
    gap_places: Tensor

    def __init__(self, schema: Schema, scaling: Scaling = "standard") -> None:
        super().__init__()
        if scaling not in SCALINGS:
            raise unknown("scaling", scaling, SCALINGS)
        self.schema = schema
        self.scaling = scaling
        self.mixed = schema.columns is not None
        for name, values in _layout(schema).items():
            # On the processor even where a model is being built without memory, for no file brings them.
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64, device="cpu"), persistent=False)
        self.size = len(self.owner)
        blank = torch.zeros(self.size, device="cpu").index_fill_(0, self.gap_places, 1.0)
        self.register_buffer("blank", blank, persistent=False)
        groups = schema.shape[0] if schema.is_image else len(self.number_columns)
        self.moments = Moments(groups)
        self.register_buffer("scale", torch.ones(groups))
        self.register_buffer("occurred", torch.zeros(len(self.own_places), dtype=torch.bool))
        if scaling == "rank-normal":
            self.register_buffer("knots", torch.zeros(groups, KNOTS, dtype=torch.float64))

    def fit(self, rows: Tensor | Iterable[Tensor]) -> None:
        """Take the statistics of all training rows (n, x), given as one tensor or in chunks; forget earlier ones."""
        self.clear()
        kept: list[Tensor] = []
        for chunk in rows.split(ROWS_AT_ONCE) if isinstance(rows, Tensor) else rows:
            self.update(chunk)
            if self.scaling == "rank-normal":
                kept.append(self._numbers(chunk).cpu())
        if kept:
            values = torch.cat(kept).transpose(0, 1).flatten(1)
            self.knots.copy_(torch.stack([_quantiles(group) for group in values]))

    def clear(self) -> None:
        """Forget all rows."""
        self.moments.clear()
        self.occurred.zero_()

    @torch.no_grad()
    def update(self, rows: Tensor) -> None:
        """Add rows (n, x) to the running means and standard deviations, and to the categories that have occurred."""
        self.moments.add(self._numbers(rows))
        self.scale.copy_(self.moments.spread)
        if len(self.symbol_columns):
            index, observed = self.symbols(rows)
            self.occurred[index[observed]] = True
            self.occurred[self._unseen_entries] = False

    def forward(self, raw: Tensor) -> Tensor:
        """Features (n, f) of raw rows (n, x), in the type of the weights."""
        numbers = self._scaled(self._numbers(raw)).to(self.scale.dtype).flatten(1)
        if not self.mixed:
            return numbers
        features = numbers.new_zeros(raw.shape[0], self.size)
        # Not in place, which torch.vmap has no rule for.
        features = features.scatter(1, self.number_places.expand_as(numbers), numbers.nan_to_num(0.0))
        if len(self.symbol_columns):
            index, observed = self.symbols(raw)
            places = torch.where(self.occurred, self.own_places, self.unseen_places)
            features = features.scatter(1, places[index], SYMBOL * observed.to(features.dtype))
        return features.scatter(1, self.gap_places.expand_as(raw), raw.isnan().to(features.dtype))

    def _numbers(self, raw: Tensor) -> Tensor:
        """Cells that are numbers (n, groups, cells of one scale) in float64, counts as ln(1 + count)."""
        if not self.mixed:
            return raw.reshape(raw.shape[0], len(self.moments.mean), -1).double()
        cells = raw[:, self.number_columns].double()
        return torch.where(self.logs.bool(), cells.clamp_min(0).log1p(), cells).unsqueeze(2)

    def symbols(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Where each categorical cell is in the table of all categories (n, s), and whether it is observed."""
        cells = raw[:, self.symbol_columns]
        observed = ~cells.isnan()
        return cells.nan_to_num(0.0).long() + self.table_starts, observed

    def _scaled(self, numbers: Tensor) -> Tensor:
        scale = self.scale[:, None].double()
        if self.scaling == "standard":
            return torch.addcmul(-self.moments.mean[:, None] / scale, numbers, 1 / scale)
        lined = numbers.transpose(0, 1)
        return _rank_normal(lined.flatten(1), self.knots, scale).view(lined.shape).transpose(0, 1)

    @property
    def _unseen_entries(self) -> Tensor:
        """Entries of the table of all categories that stand for none of them."""
        return self.own_places == self.unseen_places


def _layout(schema: Schema) -> dict[str, list[int]]:
    """Which cells become which features.

    The table of all categories has for each column of symbols one entry a category and one for a value that is none.
    """
    names = ("owner", "logs", "number_columns", "number_places", "symbol_columns", "table_starts", "own_places")
    lists: dict[str, list[int]] = {name: [] for name in (*names, "unseen_places", "gap_places")}
    if schema.columns is None:
        cells = list(range(schema.size))
        return {**lists, "owner": cells, "number_columns": cells, "number_places": cells}
    place = 0
    for index, column in enumerate(schema.columns):
        rule = RULES[column.kind]
        width = len(column.categories) + 1 if rule.symbols else 1
        if rule.symbols:
            lists["symbol_columns"].append(index)
            lists["table_starts"].append(len(lists["own_places"]))
            lists["own_places"] += range(place, place + width)
            lists["unseen_places"] += [place + width - 1] * width
        else:
            lists["number_columns"].append(index)
            lists["number_places"].append(place)
            lists["logs"].append(int(rule.log))
        lists["gap_places"].append(place + width)
        lists["owner"] += [index] * (width + 1)
        place += width + 1
    return lists


def _quantiles(values: Tensor) -> Tensor:
    """Quantiles (KNOTS,) of the observed values (m,) at even probabilities from 0 to 1; 0 where there are none."""
    ordered = values[~values.isnan()].sort().values
    if not len(ordered):
        return values.new_zeros(KNOTS)
    position = torch.linspace(0, len(ordered) - 1, KNOTS, dtype=torch.float64)
    low = position.long()
    high = (low + 1).clamp_max(len(ordered) - 1)
    return torch.lerp(ordered[low], ordered[high], position - low)


def _rank_normal(values: Tensor, knots: Tensor, scale: Tensor) -> Tensor:
    """Phi^-1 of the rank of values (groups, m) among the knots (groups, KNOTS); NaN stays NaN."""
    inside = values.clamp(knots[:, :1], knots[:, -1:]).contiguous()
    # The two ends of a step differ only at a tie, whose middle is taken.
    left = _position(inside, knots)
    right = (KNOTS - 1) - _position(-inside, -knots.flip(1))
    # Ranks stop half a knot from 0 and 1, where a normal variable would be infinite.
    rank = ((left + right) / 2 + 0.5) / KNOTS
    return torch.special.ndtri(rank) + (values - inside) / scale


def _position(values: Tensor, knots: Tensor) -> Tensor:
    """Position of values among knots that rise, the lowest of equal ones, between two of them in proportion."""
    above = torch.searchsorted(knots, values.nan_to_num(0.0)).clamp(1, KNOTS - 1)
    low, high = knots.gather(1, above - 1), knots.gather(1, above)
    share = ((values - low) / (high - low).clamp_min(torch.finfo(torch.float64).tiny)).clamp(0, 1)
    return above - 1 + share
