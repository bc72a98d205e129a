"""Rows divided into those that are trained on and those that are held out."""

from __future__ import annotations

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
ROWS_AT_ONCE = 500
COMPARED_ROWS = 1000


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
    """SHA-256 of the first and the last thousand rows, by which workers know that they read the same data."""
    last = max(0, len(values) - COMPARED_ROWS)
    if isinstance(values, Filed):
        ends = [values.read(0, COMPARED_ROWS), values.read(last, len(values))]
    else:
        ends = [values[:COMPARED_ROWS], values[last:]]
    return data_fingerprint(tensor_of(np.concatenate(ends)))


def check_rows(values: np.ndarray | Filed) -> None:
    """Raise `InputError` if there are too few rows, or nothing to learn from them."""
    if len(values) < 2:
        raise InputError(
            f"the data hold {len(values)} row{'s' * (len(values) != 1)} (1 sample); training needs at least 2"
        )
    if isinstance(values, Filed):
        chunks, first = values.blocks(ROWS_AT_ONCE), values.read(0, 1)
    else:
        chunks = (values[start : start + ROWS_AT_ONCE] for start in range(0, len(values), ROWS_AT_ONCE))
        first = values[:1]
    if first.size and all((chunk == first).all() for chunk in chunks):
        raise InputError("every row of the data is the same, so there is nothing to learn; give rows that differ")


def _held_out_places(rows: int, plan: Plan, most: int) -> Tensor:
    """Places of held-out rows, at most so many, chosen by the seed, in rising order; of few rows there are none."""
    count = min(int(rows * plan.validation), most)
    if rows > ORDERED_ROWS:
        return torch.from_numpy(np.sort(np.random.default_rng(plan.seed).choice(rows, count, replace=False)))
    return torch.randperm(rows, generator=torch.Generator().manual_seed(plan.seed))[:count].sort().values


def _batch_rows(plan: Plan, rows: int) -> int:
    return rows if plan.batch_size == "full" else int(plan.batch_size)
