"""The order in which examples are met: full batch, mini-batch, one at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from narrows.data.orders import Order, Places
from narrows.values import Labelled
from narrows.workers import ALONE, Workers


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
    chosen : Tensor, shape (n,), or Others, optional
        Positions of the rows to take; all of them unless given. The others are not copied away, only never met.
    condition : Tensor, shape (m,), optional
        The class of each row: batches then bring those of their rows. Chunks hold the rows alone.
    workers : Workers
        Among whom each batch is dealt out: what comes are the rows of this one.

    Attributes
    ----------
    met : int
        Rows of the newest batch, those of other workers among them.
    """

    def __init__(
        self,
        values: Tensor,
        size: int,
        *,
        seed: int = 0,
        chosen: Places | None = None,
        condition: Tensor | None = None,
        workers: Workers = ALONE,
    ) -> None:
        self.values = values
        self.chosen = chosen
        self.condition = condition
        self.size = min(size, len(self))
        self.seed = seed
        self.workers = workers
        self.met = 0
        self.epoch = 0
        self.position = 0
        self._order: Order | None = None

    def __len__(self) -> int:
        """Rows in one epoch."""
        return len(self.values if self.chosen is None else self.chosen)

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        return -(-len(self) // self.size)

    def __iter__(self) -> Iterator[Tensor | Labelled]:
        """Give batches for ever, from the present position on."""
        while True:
            if self._order is None:
                self._order = self._order_of(self.epoch)
            rows = self._order[self.position : self.position + self.size]
            self.met, rows = len(rows), self.workers.mine(rows)
            batch = self._labelled(self._taken(rows, self._order), rows)
            self.position += self.size
            if self.position >= len(self):
                self.epoch, self.position, self._order = self.epoch + 1, 0, None
            yield batch

    def chunks(self, size: int, stride: int = 1) -> Iterator[Tensor]:
        """Give every ``stride``-th row once, in stored order, in chunks of ``size`` rows."""
        for start in range(0, len(self), size * stride):
            rows = slice(start, start + size * stride, stride)
            yield self.values[rows] if self.chosen is None else self._at(self.chosen[rows])

    def again(self, size: int) -> Batches:
        """Return the same rows from the start, in batches of another size, each whole."""
        return Batches(self.values, size, seed=self.seed, chosen=self.chosen, condition=self.condition)

    def go_to(self, epoch: int, position: int) -> None:
        """Continue from a position taken earlier."""
        self.epoch, self.position = epoch, position
        self._order = None

    def _labelled(self, batch: Tensor, rows: Tensor) -> Tensor | Labelled:
        """The batch of these rows with their classes, where there are such."""
        if self.condition is None:
            return batch
        return Labelled(batch, self.condition if batch is self.values else self.condition[rows])

    def _at(self, places: Tensor) -> Tensor:
        """Rows at places in rising order."""
        return self.values[places]

    def _taken(self, rows: Tensor, order: Order) -> Tensor:
        """Rows of the batch at the present position, ``rows`` of the order of this epoch."""
        # A full batch needs no copy.
        return self.values if len(rows) == len(self.values) else self.values.index_select(0, rows)

    def _order_of(self, epoch: int) -> Order:
        if self.size == len(self.values):
            return torch.arange(self.size, device=self.values.device)  # the order of a full batch does not matter
        # One generator an epoch: the order of an epoch does not depend on the ones before it.
        order = self._shuffled(torch.Generator().manual_seed(self.seed * 1_000_003 + epoch))
        return order if self.chosen is None else self.chosen[order]

    def _shuffled(self, generator: torch.Generator) -> Tensor:
        """Places of all rows in a new order."""
        return torch.randperm(len(self), generator=generator).to(self.values.device)
