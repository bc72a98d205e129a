"""A detector: features of a row, the views on them, and their tails summed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from narrows.data.features import Features
from narrows.data.schema import Schema
from narrows.detection.calibration import p_values
from narrows.detection.near import Comparison, Near
from narrows.detection.tail import Tail
from narrows.detection.view import View
from narrows.threads import side_by_side

ROWS_AT_ONCE = 4096
LOOKED_AT = 10_000  # training rows that views learn from
# Rows scored at once: few where each is compared with many others, for one row costs as much as a block does.
BLOCK = 1024
BLOCK_WITHOUT_COMPARISON = 8192


class Detector(nn.Module):
    """Score = sum over views of -ln P(view's score is as high), in nats; the higher, the more anomalous.

    Each view sees the row differently scaled or compared; on the scale of tail probabilities they may be summed, as
    the log of independent tests is (Fisher 1925). The score of a row does not depend on the rows beside it.

    Parameters
    ----------
    schema : Schema
        Of the raw data.
    views : sequence of View
        Untrained.
    copies : bool
        Whether a training row equal to a row counts as its neighbour; not where training rows are scored themselves.
    """

    calibration: Tensor

    def __init__(self, schema: Schema, views: Sequence[View], *, copies: bool = True) -> None:
        super().__init__()
        self.features = Features(schema)
        self.views = nn.ModuleList(views)
        self.tails = nn.ModuleList(Tail() for _ in views)
        self.copies = copies
        self.block = BLOCK if any(view.k for view in views) else BLOCK_WITHOUT_COMPARISON
        # Views that compare in the same way share the comparison, which costs more than they do.
        self.asked = [f"{view.scaling}-{view.references}-{view.k}" for view in views]
        self.comparisons = nn.ModuleDict(
            {
                name: Comparison(view.scaling, view.references, view.k, copies=copies)
                for name, view in zip(self.asked, views, strict=True)
            }
        )
        self.register_buffer("calibration", torch.zeros(0, dtype=torch.float64))

    @property
    def schema(self) -> Schema:
        """The schema of the raw data."""
        return self.features.schema

    @torch.no_grad()
    def fit(self, rows: Tensor, held_out: Tensor, seed: int) -> None:
        """Learn from raw training rows (n, x), and calibrate on raw rows (m, x) that are not among them.

        All that is fitted, scaling, covariance, network and tails, knows the training rows alone. Where they are fewer
        than the references wanted, the calibration rows become references too, each but for itself. Against the
        exact promise of split-conformal a fresh row then differs in that it is no reference of the others: the chance
        that it would be among the k nearest of one is about k / n, and with k = 1 the promise holds as it is.
        """
        self.features.fit(rows.split(ROWS_AT_ONCE))
        chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:LOOKED_AT]
        seen = torch.cat([self.features(rows[some]) for some in chosen.split(ROWS_AT_ONCE)])
        outside = {name: comparison.fit(seen) for name, comparison in self._comparisons()}
        for name, view, tail in self._looks():
            tail.fit(view.fit(outside[name], seed))
        further = self.features(held_out)
        own = {name: comparison.extend(further) for name, comparison in self._comparisons()}
        self.calibration = self._in_blocks(held_out, self._scored, own).sort().values

    @property
    def learns(self) -> bool:
        """Whether all views can go on learning from a stream."""
        return all(view.learns for _, view, _ in self._looks())

    @torch.no_grad()
    def learn(self, rows: Tensor, memory: float) -> None:
        """Learn from further raw rows (n, x): the features' running statistics first, then each view by one step.

        Tails and calibration stay as they are.

        Parameters
        ----------
        rows : Tensor, shape (n, x)
            Raw rows, n > 0.
        memory : float
            Rows that all earlier ones together weigh at most in the statistics.
        """
        self.features.moments.fade(memory)
        self.features.update(rows)
        beside = self._beside(rows)
        for name, view, _ in self._looks():
            view.learn(beside[name])

    def scores(self, rows: Tensor, block: int | None = None) -> Tensor:
        """Nats (n,), float64, of raw rows (n, x).

        Parameters
        ----------
        rows : Tensor, shape (n, x)
            Raw rows.
        block : int, optional
            Rows taken at once: fewer, where there are few, cost less. The last bits of a score may depend on it.
        """
        return self._in_blocks(rows, self._scored, size=block)

    def forward(self, rows: Tensor) -> Tensor:
        """Nats (n,) of raw rows (n, x) all at once, for a graph of it: `scores`, up to their last bits."""
        return self._scored(self._beside(rows))

    def contributions(self, rows: Tensor, block: int | None = None) -> Tensor:
        """Shares (n, cells) of the scores of raw rows, which add up to them; a cell is a column, or a pixel's channel.

        As many rows are taken at once as `scores` takes.

        A view's score is a sum over features, and its tail, in nats, is shared out in proportion; the features of one
        column are then summed. A negative share speaks for the row.
        """
        return self._in_blocks(rows, self._shared, size=block)

    def _beside(self, rows: Tensor, own: Mapping[str, Tensor] = MappingProxyType({})) -> dict[str, Near]:
        """Raw rows (n, x) in each comparison, of which ``own`` may name the references that they are themselves."""
        seen = self.features(rows)
        return {name: comparison(seen, own.get(name)) for name, comparison in self._comparisons()}

    def _scored(self, beside: Mapping[str, Near]) -> Tensor:
        parts = [view.weight * tail(view(beside[name])) for name, view, tail in self._looks()]
        return torch.stack(parts).sum(0)

    def _shared(self, beside: Mapping[str, Near]) -> Tensor:
        cells = self.schema.size
        size = len(next(iter(beside.values())).rows)
        total = torch.zeros(size, cells, dtype=torch.float64, device=self.calibration.device)
        for name, view, tail in self._looks():
            parts = view.shares(beside[name])
            score = parts.sum(1)
            scale = torch.where(score > 0, view.weight * tail(score) / score.clamp_min(1e-300), 0.0)
            total.index_add_(1, self.features.owner, parts * scale[:, None])
        return total

    def p_values(self, scores: Tensor) -> Tensor:
        """Split-conformal p-values (n,) of scores; see `narrows.detection.calibration.p_values`."""
        return p_values(self.calibration, scores)

    def spec(self) -> list[dict[str, Any]]:
        """The views, as plain JSON values."""
        return [view.spec() for _, view, _ in self._looks()]

    def _comparisons(self) -> Iterable[tuple[str, Comparison]]:
        return self.comparisons.items()  # type: ignore[return-value]

    def _looks(self) -> Iterator[tuple[str, View, Tail]]:
        """What each view compares by, the view, and its tail."""
        return zip(self.asked, self.views, self.tails, strict=True)  # type: ignore[arg-type]

    def _in_blocks(
        self,
        rows: Tensor,
        function: Callable[[Mapping[str, Near]], Tensor],
        own: Mapping[str, Tensor] | None = None,
        size: int | None = None,
    ) -> Tensor:
        """Apply a function of compared rows to blocks of equal size, the last one filled up.

        The last bits of a matrix product depend on how many rows it has; so they are always as many. ``own`` names by
        comparison the reference that each row is itself.
        """
        if not len(rows):
            return torch.zeros(0, dtype=torch.float64)
        size = size or self.block

        @torch.inference_mode()
        def block(start: int) -> Tensor:
            some = slice(start, start + size)
            itself = {name: _filled(places[some], size) for name, places in (own or {}).items()}
            beside = self._beside(_filled(rows[some], size), itself)
            return function(beside)[: len(rows) - start]

        return torch.cat(side_by_side(block, range(0, len(rows), size)))


def _filled(rows: Tensor, size: int) -> Tensor:
    """As many rows as a block has, the last one standing in for those that are not there."""
    missing = size - len(rows)
    return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) if missing else rows
