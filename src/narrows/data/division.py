"""Rows divided into those that are trained on and those that are held out."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from narrows.data.batches import Batches
from narrows.data.filed import Filed
from narrows.data.held_out import HeldOut
from narrows.data.orders import Others
from narrows.data.pairs import Pairs, paired
from narrows.data.pools import FiledBatches, FiledRows
from narrows.errors import InputError
from narrows.plan import Plan
from narrows.tensors import data_fingerprint, tensor_of
from narrows.workers import Workers

HELD_OUT_CELLS = 10_000_000  # of rows that stay in their file, no more are held in memory
ORDERED_ROWS = 10_000_000  # the places of more rows are never all in memory
CELLS_AT_ONCE = 500_000
COMPARED_ROWS, COMPARED_CELLS = 1000, 4_000_000  # at each end


def divided(
    values: np.ndarray | Filed,
    noisy: np.ndarray | None,
    condition: Tensor | None,
    plan: Plan,
    device: torch.device,
    workers: Workers,
) -> tuple[Batches, HeldOut, str]:
    """Batches of the training rows, the held-out rows, and the fingerprint of all; of pairs, see `Pairs`.

    The fingerprint of rows that stay in their file is for the first worker alone, which reads all of them. Batches and
    held-out rows come with the classes of their rows where those of all rows (n,) are given.
    """
    condition = None if condition is None else condition.to(device)
    if isinstance(values, Filed):
        filed = FiledRows(values, device)
        others = _held_out_places(len(values), plan, HELD_OUT_CELLS // filed.cells)
        rest = Others(len(values), others)
        size = _batch_rows(plan, len(rest))
        blocks = FiledBatches(filed, size, seed=plan.seed, chosen=rest, condition=condition, workers=workers)
        fingerprint = data_fingerprint(filed) if workers.first else ""
        return blocks, HeldOut(filed[others], condition=None if condition is None else condition[others]), fingerprint
    rows = tensor_of(values)
    fingerprint = data_fingerprint(rows)
    rows = rows.to(device)
    others = _held_out_places(len(rows), plan, len(rows))
    chosen, others = Others(len(rows), others)[:].to(device), others.to(device)
    size = _batch_rows(plan, len(chosen))
    if noisy is None:
        batches = Batches(rows, size, seed=plan.seed, chosen=chosen, condition=condition, workers=workers)
        return batches, HeldOut(rows, others, condition=condition), fingerprint
    beside = tensor_of(noisy).to(device)
    pairs = Pairs(rows, beside, size, seed=plan.seed, chosen=chosen, condition=condition, workers=workers)
    held_out = HeldOut(rows, others, condition=condition, beside=beside)
    return pairs, held_out, data_fingerprint(paired(rows, beside))


def fingerprint_of_ends(values: np.ndarray | Filed) -> str:
    """SHA-256 of the first and the last rows, a thousand at most, by which workers know that they read the same."""
    compared = _at_once(values, COMPARED_CELLS, COMPARED_ROWS)
    last = max(0, len(values) - compared)
    if isinstance(values, Filed):
        ends = [values.read(0, compared), values.read(last, len(values))]
    else:
        ends = [values[:compared], values[last:]]
    return data_fingerprint(tensor_of(np.concatenate(ends)))


def check_rows(values: np.ndarray | Filed) -> None:
    """Raise `InputError` if there are too few rows, or nothing to learn from them."""
    if len(values) < 2:
        raise InputError(
            f"the data hold {len(values)} row{'s' * (len(values) != 1)} (1 sample); training needs at least 2"
        )
    rows = _at_once(values, CELLS_AT_ONCE, len(values))
    if isinstance(values, Filed):
        chunks, first = values.blocks(rows), values.read(0, 1)
    else:
        chunks = (values[start : start + rows] for start in range(0, len(values), rows))
        first = values[:1]
    if first.size and all((chunk == first).all() for chunk in chunks):
        raise InputError("every row of the data is the same, so there is nothing to learn; give rows that differ")


def _at_once(values: np.ndarray | Filed, cells: int, most: int) -> int:
    """How many rows have at most so many cells, one at least."""
    return max(1, min(most, cells // max(1, math.prod(values.shape[1:]))))


def _held_out_places(rows: int, plan: Plan, most: int) -> Tensor:
    """Places of held-out rows, at most so many, chosen by the seed, in rising order; of few rows there are none."""
    count = min(int(rows * plan.validation), most)
    if rows > ORDERED_ROWS:
        return torch.from_numpy(_drawn(rows, count, plan.seed))
    return torch.randperm(rows, generator=torch.Generator().manual_seed(plan.seed))[:count].sort().values


def _drawn(rows: int, count: int, seed: int) -> np.ndarray:
    """So many different places (count,) in rising order, in memory that does not grow with ``rows``."""
    random, places = np.random.default_rng(seed), np.empty(0, np.int64)
    while len(places) < count:
        places = np.union1d(places, random.integers(rows, size=count - len(places)))
    return places


def _batch_rows(plan: Plan, rows: int) -> int:
    return rows if plan.batch_size == "full" else int(plan.batch_size)
