"""Nearest training rows, fast and the same in every batch."""

from __future__ import annotations

import math
import threading

import torch
from torch import Tensor, nn

from narrows.tensors import pieces

SPARE = 2  # candidates beyond those wanted: a matrix product in float32 may misplace near ties
HANDICAP = 1e-4
CELLS_AT_ONCE = 4_000_000
COLUMNS_PER_CANDIDATE = 64  # from so many on, the k largest are found by a heap in one pass

_room = threading.local()


class References(nn.Module):
    """Rows that others are compared with.

    Candidates come from one matrix product, |a|^2 / 2 - a.b; the distances to them are then taken from differences in
    float64, so that what is small is not lost between what is large. Each reference has a handicap, far above the
    rounding of the product and far below what matters, so that among references equally far the same ones are taken
    in every batch.
    """

    rows: Tensor
    centre: Tensor
    handicap: Tensor
    offsets: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(0, 0))
        self.register_buffer("centre", torch.zeros(0))
        self.register_buffer("handicap", torch.zeros(0))
        # What is added to the products with the rows to give closeness.
        self.register_buffer("offsets", torch.zeros(0))

    def fit(self, rows: Tensor) -> None:
        """Keep rows (r, f)."""
        self.centre = rows.double().mean(0).float()
        self.rows = rows[:0]
        self.extend(rows)

    def extend(self, rows: Tensor) -> None:
        """Keep more rows (r, f)."""
        self.rows = torch.cat([self.rows, rows - self.centre])
        # Multiples of the golden ratio without their whole part: no two are near each other, however many there are.
        share = torch.arange(len(self.rows), dtype=torch.float64) * (math.sqrt(5) - 1) / 2 % 1
        halves = 0.5 * self.rows.square().sum(1)
        self.handicap = HANDICAP * halves.mean() * share.float()
        self.offsets = -(halves + self.handicap)

    def nearest(self, rows: Tensor, k: int, own: Tensor | None = None, *, copies: bool = True) -> Tensor:
        """Compare rows (n, f) with their ``k`` nearest references.

        Parameters
        ----------
        rows : Tensor, shape (n, f)
            Rows.
        k : int
            How many references count.
        own : Tensor, shape (n,), optional
            The reference that each row is itself, which is passed over; -1 for none.
        copies : bool
            Whether a reference equal to the row counts; if not, one such is passed over.

        Returns
        -------
        Tensor, shape (n, f)
            Row minus the mean of its k nearest references, in float64.
        """
        there = len(self.rows) - (own is not None)
        k = min(k, there)
        shift = not copies and own is None and there > 1  # the copy is the first, if there is one
        wanted = min(k + shift, there)
        candidates = min(wanted + SPARE, there)
        size = max(1, CELLS_AT_ONCE // (len(self.rows) + 2 * candidates * rows.shape[1]))
        chunks = pieces(rows - self.centre, size)
        owns = [None] * len(chunks) if own is None else own.split(size)
        means = []
        for chunk, itself in zip(chunks, owns, strict=True):
            places = self._places(chunk, candidates, wanted, itself)
            if shift:
                copied = (chunk == self._picked(places[:, :1])[:, 0]).all(1, keepdim=True)
                places = torch.where(copied, places[:, wanted - k :], places[:, :k])
            means.append(chunk.double() - self._picked(places).double().mean(1))
        return torch.cat(means)

    def _places(self, rows: Tensor, candidates: int, wanted: int, own: Tensor | None) -> Tensor:
        """Places of so many nearest references (n, wanted), the nearest first."""
        room = None if torch.compiler.is_exporting() else _kept_room(len(rows), self.rows)
        closeness = torch.addmm(self.offsets, rows, self.rows.T, out=room)
        if own is not None:
            at = (own >= 0).nonzero().flatten()
            closeness[at, own[at]] = -torch.inf
        places = _largest(closeness, candidates)
        far = 0.5 * (rows[:, None].double() - self._picked(places)).square().sum(2) + self.handicap[places]
        return places.gather(1, far.topk(wanted, dim=1, largest=False).indices)

    def _picked(self, places: Tensor) -> Tensor:
        """References (n, k, f) at places (n, k)."""
        return self.rows.index_select(0, places.flatten()).unflatten(0, places.shape)


def _kept_room(n: int, references: Tensor) -> Tensor:
    """Room for what n rows have with each reference (n, r), the same one for every block of a thread.

    The system takes longer to hand out new room of that size than the product takes to fill it.
    """
    kept: Tensor | None = getattr(_room, "cells", None)
    cells = n * len(references)
    if kept is None or len(kept) < cells or kept.device != references.device:
        with torch.inference_mode(False):
            kept = _room.cells = references.new_empty(cells)
    return kept[:cells].view(n, len(references))


def _largest(values: Tensor, k: int) -> Tensor:
    """Places (n, k) of the ``k`` largest of each row of values (n, r), in any order.

    Where a row is written as a matrix, the largest lie in the ``k`` columns with the largest maxima: so only those
    are looked through, and all else is one maximum.
    """
    n, r = values.shape
    height = r // (COLUMNS_PER_CANDIDATE * k)
    if height < 2:
        return values.topk(k, dim=1, sorted=False).indices
    columns = r // height
    tops = values[:, : height * columns].unflatten(1, (height, columns)).amax(1).topk(k, dim=1, sorted=False).indices
    places = tops[:, None, :] + columns * torch.arange(height, device=values.device)[None, :, None]
    places = torch.cat([places.flatten(1), torch.arange(height * columns, r, device=values.device).expand(n, -1)], 1)
    return places.gather(1, values.gather(1, places).topk(k, dim=1, sorted=False).indices)
