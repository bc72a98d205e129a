"""How a view scales the standardised features: which differences count as large is most of what a distance says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from narrows.errors import unknown


def _standard(rows: Tensor, low: Tensor, span: Tensor) -> Tensor:
    return rows


def _asinh(rows: Tensor, low: Tensor, span: Tensor) -> Tensor:
    return torch.asinh(rows)


def _range(rows: Tensor, low: Tensor, span: Tensor) -> Tensor:
    return (rows - low) / span


SCALINGS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "standard": _standard,  # standard deviations
    "asinh": _asinh,  # the same near the mean, logarithms far from it: heavy tails are drawn in
    "range": _range,  # shares of the range seen in training: columns that hardly vary but once count little
}


class Scaling(nn.Module):
    """One of `SCALINGS`, fitted to training rows.

    Parameters
    ----------
    kind : {"standard", "asinh", "range"}
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
        """Take the range of each feature of rows (n, f)."""
        self.low, high = rows.amin(0), rows.amax(0)
        span = high - self.low
        # A feature that never moved in training is measured in the unit it has.
        self.span = torch.where(span > 0, span, 1.0)

    def forward(self, rows: Tensor) -> Tensor:
        """Scale rows (n, f)."""
        return SCALINGS[self.kind](rows, self.low, self.span)
