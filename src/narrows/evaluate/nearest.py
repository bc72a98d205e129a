"""How near rows come to those of training: whether a model knows a law, or its training rows by heart."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS_AT_ONCE = 1000


def nearest_distances(rows: Tensor, training: Tensor) -> Tensor:
    """Root of the mean squared difference a cell between each row (n, d) and the training row (m, d) nearest to it."""
    places = torch.cat([_nearest(chunk, training) for chunk in rows.split(ROWS_AT_ONCE)])
    # Taken anew, since products of matrices leave an error where two rows are equal.
    return (rows - training[places]).square().mean(1).sqrt()


def _nearest(rows: Tensor, training: Tensor) -> Tensor:
    best = torch.full((len(rows),), torch.inf)
    places = torch.zeros(len(rows), dtype=torch.long)
    for start in range(0, len(training), ROWS_AT_ONCE):
        chunk = training[start : start + ROWS_AT_ONCE]
        least, place = (chunk.square().sum(1) - 2 * rows @ chunk.T).min(1)
        nearer = least < best
        best, places = torch.where(nearer, least, best), torch.where(nearer, place + start, places)
    return places
