"""Rows of a file as training meets them: in blocks, of which many are mixed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from narrows.data.batches import Batches
from narrows.data.filed import Filed
from narrows.data.orders import Order, Places, PooledOrder
from narrows.tensors import tensor_of
from narrows.workers import ALONE, Workers

POOL_BYTES = 2**25


class FiledRows:
    """Rows of a file as if they were a tensor on a device, so far as training asks it.

    Parameters
    ----------
    filed : Filed
        The rows.
    device : torch.device
        Where they are wanted.
    """

    def __init__(self, filed: Filed, device: torch.device) -> None:
        self.filed = filed
        self.device = device
        self.shape = filed.shape
        self.cells = math.prod(filed.shape[1:])
        self.dtype = tensor_of(filed.read(0, 0)).dtype

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.filed)

    def split(self, rows: int) -> Iterator[Tensor]:
        """All rows in order, so many at once."""
        return (tensor_of(block).to(self.device) for block in self.filed.blocks(rows))

    def __getitem__(self, places: Tensor) -> Tensor:
        """Rows at some places in rising order."""
        return tensor_of(self.filed.take(places.cpu().numpy())).to(self.device)


@dataclass(frozen=True)
class _Coming:
    """A pool that is being read: its epoch and start, the places of its rows, and these."""

    pool: tuple[int, int]
    places: Tensor
    rows: Future[np.ndarray]


class FiledBatches(Batches):
    """Rows of a file in batches, in a new seeded order every epoch.

    To pick each row anywhere in the file would take a seek for each. So blocks of neighbours, 1,024 or 256 KiB of them,
    are put in order, a pool of 32 MiB of blocks is read, and the rows of a pool are shuffled: a batch holds rows of
    many blocks. While training goes on with one pool, the next one of the epoch is read.

    A pool is 64 lanes of neighbours, each shuffled by itself, and each batch has its share of every lane. So the order
    does not depend on the number of workers, and one of W, whose rows are a W-th of each batch, reads and holds a W-th
    of a pool: lanes of its own. Only the last pool of an epoch, which may end in a shorter batch, is shuffled as one.

    Parameters
    ----------
    rows : FiledRows
        All rows.
    size, seed
        As in `Batches`.
    chosen : Tensor, shape (n,), or Others
        Places of the rows to take, in rising order, on the processor.
    condition, workers
        As in `Batches`.
    """

    def __init__(
        self,
        rows: FiledRows,
        size: int,
        *,
        seed: int,
        chosen: Places,
        condition: Tensor | None = None,
        workers: Workers = ALONE,
    ) -> None:
        none = torch.zeros(0, *rows.shape[1:])
        super().__init__(none, size, seed=seed, chosen=chosen, condition=condition, workers=workers)
        self._rows = rows
        batch = self.size * rows.cells * rows.dtype.itemsize
        self._pool_rows = self.size * max(1, POOL_BYTES // batch)  # whole batches, so that none lies in two pools
        self._held = (-1, -1)  # epoch and start of the pool in memory
        self._places, self._pool = torch.zeros(0, dtype=torch.int64), self.values
        self._coming: _Coming | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="pool")

    def again(self, size: int) -> FiledBatches:
        """The same rows from the start, in batches of another size, each whole."""
        assert self.chosen is not None
        return FiledBatches(self._rows, size, seed=self.seed, chosen=self.chosen, condition=self.condition)

    def _at(self, places: Tensor) -> Tensor:
        return self._rows[places]

    def _taken(self, rows: Tensor, order: Order) -> Tensor:
        pool = self.epoch, self.position // self._pool_rows * self._pool_rows
        if self._held != pool:
            self._pool = self.values  # the old pool goes before the new one comes
            self._places, self._pool = self._come(order, pool)
            self._held = pool
            self._send_for(order, pool[1] + self._pool_rows)
        return self._pool[torch.searchsorted(self._places, rows)].to(self._rows.device)

    def _come(self, order: Order, pool: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Places and rows of a pool: of that which was sent for, or read now at the start of an epoch or of a run."""
        coming, self._coming = self._coming, None
        if coming is None or coming.pool != pool:
            places = self._met(order, pool[1])
            return places, tensor_of(self._rows.filed.take(places.numpy()))
        return coming.places, tensor_of(coming.rows.result())

    def _send_for(self, order: Order, first: int) -> None:
        """Have the next pool of the epoch read while training goes on with this one."""
        if first < len(self):
            places = self._met(order, first)
            rows = self._reader.submit(self._rows.filed.take, places.numpy())
            self._coming = _Coming((self.epoch, first), places, rows)

    def _met(self, order: Order, first: int) -> Tensor:
        """Places of a pool that this worker meets, in rising order."""
        batches = order[first : first + self._pool_rows].split(self.size)
        return torch.cat([self.workers.mine(batch) for batch in batches]).sort().values

    def _order_of(self, epoch: int) -> PooledOrder:
        assert self.chosen is not None
        seed = self.seed * 1_000_003 + epoch
        return PooledOrder(self.chosen, self._rows.filed.block_rows, self.size, self._pool_rows, seed)
