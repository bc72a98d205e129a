"""The order in which examples are met: full batch, mini-batch, one at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


class Batches:
    """Rows of one resident tensor in batches, in a new seeded order every epoch.

    The last batch of an epoch holds what is left over; no row is dropped. The position is two whole numbers, so
    training resumes anywhere.

    Parameters
    ----------
    values : Tensor, shape (m, x)
        Raw rows in their stored type.
    size : int
        Rows in a batch; ``n`` makes it full-batch gradient descent, 1 online descent.
    seed : int
        Of the orders.
    chosen : Tensor, shape (n,), optional
        Positions of the rows to take; all of them unless given. The others are not copied away, only never met.
    beside : Tensor, shape (m, x), optional
        What is seen of each row, where it is the user's own: batches then hold both, (b, 2 x[0], ...), see `paired`.
    """

    def __init__(
        self,
        values: Tensor,
        size: int,
        *,
        seed: int = 0,
        chosen: Tensor | None = None,
        beside: Tensor | None = None,
    ) -> None:
        self.values = values
        self.beside = beside
        self.chosen = chosen
        self.size = min(size, len(self))
        self.seed = seed
        self.epoch = 0
        self.position = 0
        self._order: Tensor | None = None

    def __len__(self) -> int:
        """Rows in one epoch."""
        return len(self.values if self.chosen is None else self.chosen)

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        return -(-len(self) // self.size)

    def __iter__(self) -> Iterator[Tensor]:
        """Give batches for ever, from the present position on."""
        while True:
            if self._order is None:
                self._order = self._order_of(self.epoch)
            rows = self._order[self.position : self.position + self.size]
            self.position += self.size
            if self.position >= len(self):
                self.epoch, self.position, self._order = self.epoch + 1, 0, None
            yield self._at(rows)

    def _at(self, rows: Tensor) -> Tensor:
        if self.beside is not None:
            return paired(self.values.index_select(0, rows), self.beside.index_select(0, rows))
        # A full batch needs no copy: its order does not matter.
        return self.values if len(rows) == len(self.values) else self.values.index_select(0, rows)

    def chunks(self, size: int, stride: int = 1) -> Iterator[Tensor]:
        """Give every ``stride``-th row once, in stored order, in chunks of ``size`` rows, and nothing beside them."""
        for start in range(0, len(self), size * stride):
            rows = slice(start, start + size * stride, stride)
            yield self.values[rows if self.chosen is None else self.chosen[rows]]

    def go_to(self, epoch: int, position: int) -> None:
        """Continue from a position taken earlier."""
        self.epoch, self.position = epoch, position
        self._order = None

    def _order_of(self, epoch: int) -> Tensor:
        # One generator an epoch: the order of an epoch does not depend on the ones before it.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self), generator=generator).to(self.values.device)
        return order if self.chosen is None else self.chosen[order]


def paired(values: Tensor, beside: Tensor) -> Tensor:
    """Rows (b, x) and what is seen of each (b, x) as one tensor, (b, 2 x[0], ...), which `Model.loss` takes apart."""
    return torch.cat([values, beside], 1)
