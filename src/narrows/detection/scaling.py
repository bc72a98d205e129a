"""How a view scales the standardised features: which differences count as large is most of what a distance says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from narrows.errors import unknown


class Rule(NamedTuple):
    """How a scaling is made: curve((rows - low) / span).

    Parameters
    ----------
    measure : callable, optional
        Low and span (f,) of each feature, from training rows (n, f); without it they are 0 and 1.
    curve : callable
        What is made of the result.
    """

    measure: Callable[[Tensor], tuple[Tensor, Tensor]] | None
    curve: Callable[[Tensor], Tensor]


def _asinh(rows: Tensor) -> Tensor:
    # By functions that torch computes many numbers at once with: five times as fast as its own asinh.
    size = rows.abs()
    return torch.log1p(size + size * (size / (1 + size.hypot(torch.ones_like(size))))).copysign(rows)


def _range(rows: Tensor) -> tuple[Tensor, Tensor]:
    low = rows.amin(0)
    return low, rows.amax(0) - low


def _median(rows: Tensor) -> tuple[Tensor, Tensor]:
    median = rows.median(0).values
    return median, (rows - median).abs().mean(0)


SCALINGS: Mapping[str, Rule] = {
    "standard": Rule(None, torch.positive),  # standard deviations
    "asinh": Rule(None, _asinh),  # the same near the mean, logarithms far from it: heavy tails are drawn in
    "range": Rule(_range, torch.positive),  # shares of the range seen in training: what hardly varies but once is small
    "median": Rule(_median, _asinh),  # as asinh, from median and mean deviation, which anomalies hardly move
}


class Scaling(nn.Module):
    """One of `SCALINGS`, fitted to training rows.

    Parameters
    ----------
    kind : {"standard", "asinh", "range", "median"}
        Which.
    """

    low: Tensor
    span: Tensor

    def __init__(self, kind: str) -> None:
        super().__init__()
        if kind not in SCALINGS:
            raise unknown("scaling", kind, SCALINGS)
        self.kind = kind
        self.register_buffer("low", torch.zeros(0))
        self.register_buffer("span", torch.zeros(0))

    def fit(self, rows: Tensor) -> None:
        """Take what the scaling needs of each feature of rows (n, f)."""
        measure = SCALINGS[self.kind].measure
        if measure is not None:
            self.low, span = measure(rows)
            # A feature that never moved in training is measured in the unit it has.
            self.span = torch.where(span > 0, span, 1.0)

    def forward(self, rows: Tensor) -> Tensor:
        """Scale rows (n, f)."""
        measure, curve = SCALINGS[self.kind]
        return curve(rows if measure is None else torch.addcmul(-self.low / self.span, rows, 1 / self.span))
