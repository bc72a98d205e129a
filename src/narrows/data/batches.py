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
    values : Tensor, shape (n, x)
        Raw rows in their stored type.
    size : int
        Rows in a batch; ``n`` makes it full-batch gradient descent, 1 online descent.
    seed : int
        Of the orders.
    """

    def __init__(self, values: Tensor, size: int, *, seed: int = 0) -> None:
        self.values = values
        self.size = min(size, len(values))
        self.seed = seed
        self.epoch = 0
        self.position = 0
        self._order: Tensor | None = None

    @property
    def per_epoch(self) -> int:
        """Batches in one epoch."""
        return -(-len(self.values) // self.size)

    def __iter__(self) -> Iterator[Tensor]:
        """Give batches for ever, from the present position on."""
        while True:
            if self._order is None:
                self._order = self._order_of(self.epoch)
            rows = self._order[self.position : self.position + self.size]
            self.position += self.size
            if self.position >= len(self.values):
                self.epoch, self.position, self._order = self.epoch + 1, 0, None
            # A full batch needs no copy: its order does not matter.
            yield self.values if len(rows) == len(self.values) else self.values.index_select(0, rows)

    def go_to(self, epoch: int, position: int) -> None:
        """Continue from a position taken earlier."""
        self.epoch, self.position = epoch, position
        self._order = None

    def _order_of(self, epoch: int) -> Tensor:
        # One generator an epoch: the order of an epoch does not depend on the ones before it.
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(len(self.values), generator=generator).to(self.values.device)
