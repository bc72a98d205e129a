"""Rows that are not trained on, by which the best weights are chosen."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from narrows.data.pairs import paired
from narrows.values import Labelled


class HeldOut:
    """Rows of a resident tensor that stay where they are: they are copied only as they are met.

    Parameters
    ----------
    values : Tensor, shape (m, x)
        Raw rows in their stored type.
    places : Tensor, shape (n,), optional
        Positions of those that are held out; all of them unless given.
    condition : Tensor, shape (m,), optional
        The class of each row.
    beside : Tensor, shape (m, x), optional
        What is seen of each row; see `Pairs`.
    """

    def __init__(
        self,
        values: Tensor,
        places: Tensor | None = None,
        *,
        condition: Tensor | None = None,
        beside: Tensor | None = None,
    ) -> None:
        self.values = values
        self.places = torch.arange(len(values), device=values.device) if places is None else places
        self.condition = condition
        self.beside = beside

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.places)

    def split(self, size: int) -> Iterator[Tensor | Labelled]:
        """All rows in order, so many at once, as `Batches` gives them: as pairs, and with their classes."""
        for places in self.places.split(size):
            rows = self.values[places] if self.beside is None else paired(self.values[places], self.beside[places])
            yield rows if self.condition is None else Labelled(rows, self.condition[places])
