"""How far out in the tail of the training scores a score lies: the one scale on which views are summed."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

KNOTS = 1000
BEND = 0.9  # beyond this quantile the tail has a formula, which tells far from farther past all scores seen
EXPONENTIAL = 1e-3  # a shape so small is none


class Tail(nn.Module):
    """-ln P(S >= s) in nats, for the scores S of training rows as seen from outside (left out, or held out).

    Up to the 90th percentile t the survival is the empirical one, (1 + #{S_i >= s}) / (n + 1), read between up to
    1,000 knots; beyond it is a generalised Pareto tail: ln 10 + ln(1 + c (s - t) / b) / c, whose shape c comes from
    probability-weighted moments (Hosking and Wallis 1987), is kept in [0, 0.9] and drawn towards 0, the exponential
    tail, as by 10 more observations: a heavy tail must neither be missed nor invented.
    """

    knots: Tensor
    nats: Tensor
    bend: Tensor
    shape: Tensor
    width: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, size in (("knots", (KNOTS,)), ("nats", (KNOTS,)), ("bend", ()), ("shape", ()), ("width", ())):
            self.register_buffer(name, torch.zeros(size, dtype=torch.float64))

    def fit(self, scores: Tensor) -> None:
        """Take the scores (n,) of training rows."""
        ordered = scores.double().sort().values
        n = len(ordered)
        self.bend = torch.quantile(ordered, BEND)
        beyond = ordered[ordered > self.bend] - self.bend
        # Scores that are all alike have no tail to measure: any step away from them is then far.
        least = max(1e-9 * float(self.bend.abs()), 1e-12)
        self.shape = _shape(beyond)
        self.width = (beyond.mean() if len(beyond) else self.bend).clamp_min(least) * (1 - self.shape)
        if not len(beyond):
            self.width = ordered.new_tensor(least)
        places = torch.linspace(0, n - 1, KNOTS, dtype=torch.float64).round().long()
        self.knots = ordered[places]
        survival = (1 + n - torch.searchsorted(ordered, self.knots)).double() / (n + 1)
        self.nats = -survival.log()

    def forward(self, scores: Tensor) -> Tensor:
        """Nats of scores (n,), float64; it never falls as the score rises."""
        s = scores.double()
        after = torch.searchsorted(self.knots, s.contiguous()).clamp(1, KNOTS - 1)
        low, high = self.knots.index_select(0, after - 1), self.knots.index_select(0, after)
        share = ((s - low) / (high - low).clamp_min(1e-300)).clamp(0, 1)
        within = torch.lerp(self.nats.index_select(0, after - 1), self.nats.index_select(0, after), share)
        ceiling = -math.log(1 - BEND)
        over = (s - self.bend).clamp_min(0) / self.width
        beyond = torch.log1p(self.shape * over) / self.shape if self.shape > EXPONENTIAL else over
        return torch.where(s > self.bend, ceiling + beyond, within.clamp_max(ceiling))


def _shape(excess: Tensor) -> Tensor:
    """Shape of the generalised Pareto distribution of excesses (k,), sorted upwards, drawn towards 0."""
    k = len(excess)
    if k < 2:
        return excess.new_zeros(())
    rank = torch.arange(1, k + 1, dtype=excess.dtype)
    mean, weighted = excess.mean(), (excess * (1 - (rank - 0.35) / k)).mean()
    shape = 2 - mean / (mean - 2 * weighted).clamp_min(1e-12 * mean)
    return shape.clamp(0, 0.9) * k / (k + 10)
