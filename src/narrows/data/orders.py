"""Places of rows by the million, worked out where they are asked for: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

LANES = 64  # a multiple of the usual numbers of workers, none of whom then reads a lane of another
POOLS_KEPT = 2  # that which is met, and the next one


class Order(Protocol):
    """The places of rows in the order in which they are met."""

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Those at consecutive positions."""


class Places(Protocol):
    """Places of rows, in rising order."""

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, which: slice | Tensor, /) -> Tensor:
        """Those at some positions."""


class Others:
    """All places but some, in rising order, as if they were a tensor.

    Parameters
    ----------
    count : int
        Places are those from 0 to ``count - 1``.
    without : Tensor, shape (h,)
        Those that are not among them, in rising order.
    """

    def __init__(self, count: int, without: Tensor) -> None:
        self._count = count - len(without)
        # Before each of those that are left out there are so many of the others.
        self._before = without - torch.arange(len(without))

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def __getitem__(self, which: slice | Tensor) -> Tensor:
        """Those at some positions in their order."""
        if isinstance(which, slice):
            start, stop, step = which.indices(self._count)
            positions = torch.arange(start, max(start, stop), step)
        else:
            positions = which
        return positions + torch.searchsorted(self._before, positions, right=True)


class PooledOrder:
    """The order of rows in one epoch: blocks of neighbours in a seeded order, and pools of these, each shuffled.

    Parameters
    ----------
    chosen : Places
        The rows.
    block : int
        Neighbours in a block.
    batch, pool : int
        Rows in a batch, and in a pool: whole batches.
    seed : int
        Of this epoch's order; each pool has one of its own, so that none depends on those before it.
    """

    def __init__(self, chosen: Places, block: int, batch: int, pool: int, seed: int) -> None:
        count = len(chosen)
        self._chosen, self._block, self._batch, self._pool_rows, self._seed = chosen, block, batch, pool, seed
        self._blocks = torch.randperm(-(-count // block), generator=torch.Generator().manual_seed(seed))
        self._lacking = len(self._blocks) * block - count  # rows that the last block is short of
        last = int((self._blocks == len(self._blocks) - 1).nonzero())
        self._short_ends = (last + 1) * block - self._lacking
        self._pools: dict[int, Tensor] = {}

    def __getitem__(self, rows: slice) -> Tensor:
        """Those at consecutive positions of one pool."""
        number = rows.start // self._pool_rows
        if number not in self._pools:
            self._pools = dict(list(self._pools.items())[1 - POOLS_KEPT :])
            self._pools[number] = self._mixed(number)
        first = number * self._pool_rows
        return self._pools[number][rows.start - first : rows.stop - first]

    def _mixed(self, number: int) -> Tensor:
        """The places of a pool, shuffled lane by lane where it is whole."""
        places = self._neighbours(number * self._pool_rows)
        batches = len(places) // self._batch if len(places) == self._pool_rows else 0
        bounds = [self._batch * lane // LANES for lane in range(LANES + 1)] if batches else [0, len(places)]
        generator = torch.Generator().manual_seed((self._seed * 1_000_003 + number) % 2**63)
        lanes = places.split([max(1, batches) * width for width in _widths(bounds)])
        mixed = [lane[torch.randperm(len(lane), generator=generator)] for lane in lanes]
        return torch.cat([lane.view(max(1, batches), -1) for lane in mixed if len(lane)], 1).flatten()

    def _neighbours(self, first: int) -> Tensor:
        """The places of a pool, block by block."""
        positions = torch.arange(first, min(first + self._pool_rows, len(self._chosen)))
        positions += self._lacking * (positions >= self._short_ends)
        return self._chosen[self._blocks[positions // self._block] * self._block + positions % self._block]


def _widths(bounds: Sequence[int]) -> list[int]:
    return [end - start for start, end in pairwise(bounds)]
