"""Rows that come with what is seen of each."""

from __future__ import annotations

import torch
from torch import Tensor

from narrows.data.batches import Batches
from narrows.data.orders import Order, Places
from narrows.workers import ALONE, Workers


class Pairs(Batches):
    """Rows and what is seen of each, side by side in a batch, (b, 2 x[0], ...), which `Model.loss` takes apart.

    Chunks hold the rows alone.

    Parameters
    ----------
    values, beside : Tensor, shape (m, x)
        Raw rows, and what is seen of them, in their stored types.
    size, seed, chosen, condition, workers
        As in `Batches`.
    """

    def __init__(
        self,
        values: Tensor,
        beside: Tensor,
        size: int,
        *,
        seed: int,
        chosen: Places,
        condition: Tensor | None = None,
        workers: Workers = ALONE,
    ) -> None:
        super().__init__(values, size, seed=seed, chosen=chosen, condition=condition, workers=workers)
        self.beside = beside

    def again(self, size: int) -> Pairs:
        """The same pairs from the start, in batches of another size."""
        assert self.chosen is not None
        return Pairs(self.values, self.beside, size, seed=self.seed, chosen=self.chosen, condition=self.condition)

    def _taken(self, rows: Tensor, order: Order) -> Tensor:
        return paired(self.values.index_select(0, rows), self.beside.index_select(0, rows))


def paired(values: Tensor, beside: Tensor) -> Tensor:
    """Rows (b, x) and what is seen of each (b, x) as one tensor, (b, 2 x[0], ...)."""
    return torch.cat([values, beside], 1)
