"""The trained view: a masked autoencoder of what tells a row from its neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from narrows.descent import Adam
from narrows.detection.near import Near
from narrows.detection.view import REFERENCES, View
from narrows.errors import at_least, at_most

RATE = 2e-3
LIMIT = 5.0  # deviations beyond which neither context nor target pulls harder
LOG_RANGE = 5.0
CONTEXT_NOISE = 0.1
CELLS = 400  # features up to which the full number of updates is made; fewer beyond, so that time stays bounded
FEWEST_UPDATES = 50
BATCH = 256
ROWS_AT_ONCE = 512
GROUP = 8  # features of a group are filled up to a multiple: mean and variance of it then fill a register of 16 floats
MEMBERS = 4  # networks, groups of features, and folds of the rows


class Masked(View, kind="masked"):
    """Predicts hidden features of r = x - m, m the mean of the k nearest references, from m and those not hidden.

    With k = 0 there is no m: hidden features of the row itself are predicted from the others.

    For each feature a network gives a mean mu and a variance v. Score: sum over features of
    (r_j - mu_j)^2 / v_j + ln(v_j / least), taken while the group of features that j is in is hidden: the gaussian
    -ln p, twice, above the least that it can be, so that no share is negative. The variance has the floor step^2 / 12
    of a value known to a step (the median gap between the values of the column): the density of a discrete value has
    no bound, its probability has. An ensemble of 4, trained as one batched model; each judges one group of
    features and leaves out one fold of the rows, from which the scores seen from outside come.

    Parameters
    ----------
    width : int
        Units of the two hidden layers.
    updates : int
        Steps of training, on batches of 256 rows.
    keep : float
        Share of the rows of each batch that the loss counts, those that it is least for: with less than 1, what few
        rows share is not learnt, and anomalies among the training rows stay anomalies (trimmed loss; Shen and Sanghavi
        2019).
    """

    def __init__(
        self,
        scaling: str = "asinh",
        references: int = REFERENCES,
        k: int = 5,
        weight: float = 0.5,
        width: int = 96,
        updates: int = 400,
        keep: float = 1.0,
    ) -> None:
        super().__init__(scaling, references, k, weight)
        at_least("view.width", width, 1)
        at_least("view.updates", updates, 1)
        at_least("view.keep", keep, 0.5)
        at_most("view.keep", keep, 1)
        self.width = width
        self.updates = updates
        self.keep = keep
        for name in ("centre", "spread", "unit", "least"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.float64))
        for name in ("w0", "w1", "w2", "b0", "b1", "b2"):
            self.register_buffer(name, torch.zeros(0))
        self.register_buffer("position", torch.zeros(0, dtype=torch.int64))

    def fit(self, near: Near, seed: int) -> Tensor:
        """Train the ensemble; return the scores of rows by the member that never met them."""
        generator = torch.Generator().manual_seed(seed)
        self._measure(near)
        groups = torch.randperm(near.rows.shape[1], generator=generator) % MEMBERS
        folds = torch.arange(len(near.rows)) % MEMBERS
        context, target = self._inputs(near)
        with torch.enable_grad():
            weights = self._trained(context.float(), target.float(), folds, generator)
        outside = target.new_zeros(len(target))
        for member in range(MEMBERS):
            self._fold(weights, groups, torch.full((MEMBERS,), member))
            rows = (folds == member).nonzero().flatten()
            for some in rows.split(ROWS_AT_ONCE):
                outside[some] = self._judged(context[some], target[some]).sum(1)
        self._fold(weights, groups, torch.arange(MEMBERS))
        return outside

    def shares(self, near: Near) -> Tensor:
        """What each feature adds, (n, f), judged by the member of its group."""
        return self._judged(*self._inputs(near))

    def _measure(self, near: Near) -> None:
        """Take the units of context and target, and the least variance of each feature."""
        mean = near.mean.double()
        power = mean.square()
        floor = quantisation(near.rows).square() / 12 + 1e-4 * power.mean() + 1e-12
        scale = (power.mean(0) + floor).sqrt()
        context = near.rows - mean
        spread = context.std(0, unbiased=False)
        self.centre = context.mean(0)
        self.spread = spread.clamp_min(1e-3 * float(spread.square().mean().sqrt()) + 1e-9)
        self.unit = scale
        self.least = floor / scale.square() + math.exp(-LOG_RANGE)

    def _inputs(self, near: Near) -> tuple[Tensor, Tensor]:
        """Context m and target r, (n, f), each about as wide as the next."""
        mean = near.mean.double()
        context = (near.rows - mean - self.centre) / self.spread
        return context.clamp(-LIMIT, LIMIT), mean / self.unit

    def _trained(self, context: Tensor, target: Tensor, folds: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Let each member learn from all folds but its own; 10 to 60 % of a row's features are hidden each time."""
        weights = self._initial(context.shape[1], generator)
        few = len(context) <= MEMBERS
        pools = [(folds != member).nonzero().flatten() if not few else folds * 0 for member in range(MEMBERS)]
        updates = max(min(self.updates, self.updates * CELLS // context.shape[1]), min(self.updates, FEWEST_UPDATES))
        batch = min(BATCH, max(16, len(context)))
        optimizer = Adam([(weights, 1.0)], RATE, betas=(0.9, 0.99), decay=1e-4)
        least = self.least.float()
        for update in range(updates):
            optimizer.rate = RATE * min(1, (update + 1) / 20) * (1 - update / updates)
            rows = torch.stack([pool[torch.randint(len(pool), (batch,), generator=generator)] for pool in pools])
            x, r = context[rows], target[rows]
            kept = 0.4 + 0.5 * torch.rand(*rows.shape, 1, generator=generator)
            seen = (torch.rand(r.shape, generator=generator) < kept).float()
            x = x + CONTEXT_NOISE * torch.randn(x.shape, generator=generator)
            w0, w1, w2, b0, b1, b2 = weights
            h = _hidden(torch.baddbmm(b0, torch.cat([x, _drawn_in(r) * seen, seen], -1), w0), w1, b1)
            mean, variance = _normal(torch.baddbmm(b2, h, w2), least)
            loss = (r.clamp(-LIMIT, LIMIT) - mean).square() / variance + variance.log()
            hidden = 1 - seen
            counted = hidden * self._least((loss.detach() * hidden).sum(2) / hidden.sum(2).clamp_min(1))
            loss = (loss * counted).sum() / counted.sum().clamp_min(1) * MEMBERS
            optimizer.forget()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 5.0)
            optimizer.step()
        return [weight.detach() for weight in weights]

    def _least(self, losses: Tensor) -> Tensor:
        """1 for the rows that are kept, those with the least losses (members, n), and 0 for others, (members, n, 1)."""
        places = losses.topk(math.ceil(self.keep * losses.shape[1]), dim=1, largest=False).indices
        return torch.zeros_like(losses).scatter_(1, places, 1.0).unsqueeze(2)

    def _initial(self, features: int, generator: torch.Generator) -> list[Tensor]:
        """First weights of the three layers, and their biases."""
        sizes = [(3 * features, self.width, 1.4), (self.width, self.width, 1.4), (self.width, 2 * features, 0.14)]
        weights = [
            torch.randn(MEMBERS, before, after, generator=generator) * (gain / math.sqrt(before))
            for before, after, gain in sizes
        ]
        biases = [torch.zeros(MEMBERS, 1, after) for _, after, _ in sizes]
        return [tensor.requires_grad_() for tensor in (*weights, *biases)]

    def _fold(self, weights: Sequence[Tensor], groups: Tensor, judges: Tensor) -> None:
        """Keep what judging needs when ``judges[g]`` is the member that judges group g, whose features it is not shown.

        What is shown is then fixed: the weights of hidden features are 0, those of the indicators part of the bias, and
        of the last layer only the outputs of the group remain.
        """
        features = len(groups)
        w0, w1, w2, b0, b1, b2 = (weight[judges] for weight in weights)
        seen = (groups != torch.arange(MEMBERS)[:, None]).to(w0.dtype)[:, :, None]
        of_context, of_shown, of_seen = w0.split(features, 1)
        self.w0 = torch.cat([of_context, of_shown * seen], 1).transpose(0, 1).flatten(1)
        self.b0 = (b0 + (of_seen * seen).sum(1, keepdim=True)).flatten()
        self.w1, self.b1 = w1, b1
        # Groups are filled up to one size with feature 0, so that one batched product serves all: to a size of which
        # products in float32 are the same wherever in a block a row stands.
        places = [(groups == group).nonzero().flatten() for group in range(MEMBERS)]
        size = GROUP * -(-max(len(place) for place in places) // GROUP)
        filled = torch.stack([F.pad(place, (0, size - len(place))) for place in places])
        both = torch.cat([filled, filled + features], 1)[:, None]
        self.w2, self.b2 = w2.gather(2, both.expand(-1, self.width, -1)), b2.gather(2, both)
        # Where among the outputs, group after group, each feature is judged.
        position = torch.zeros(features, dtype=torch.int64)
        for group, place in enumerate(places):
            position[place] = group * size + torch.arange(len(place))
        self.position = position

    def _judged(self, context: Tensor, target: Tensor) -> Tensor:
        """What each feature adds, (n, f)."""
        inputs = torch.cat([context, _drawn_in(target)], 1).float()
        first = torch.addmm(self.b0, inputs, self.w0).unflatten(1, (MEMBERS, self.width)).transpose(0, 1)
        outputs = torch.baddbmm(self.b2, _hidden(first, self.w1, self.b1), self.w2).double()
        mean, spread = (part.transpose(0, 1).flatten(1)[:, self.position] for part in outputs.chunk(2, -1))
        mean, variance = _normal(torch.cat([mean, spread], 1), self.least)
        return (target - mean).square() / variance + (variance / self.least).log()


def _drawn_in(target: Tensor) -> Tensor:
    """What is shown of the target: no deviation so large that it drowns the others."""
    return 3 * torch.tanh(target / 3)


def _hidden(first: Tensor, w1: Tensor, b1: Tensor) -> Tensor:
    """Hidden units (members, n, width) from the sums of the first layer."""
    # In place where nothing is learnt: room for each step takes as long to get as the step itself.
    in_place = not torch.is_grad_enabled()
    h = F.silu(first, inplace=in_place)
    return F.silu(torch.baddbmm(b1, h, w1), inplace=in_place).add_(h)


def _normal(outputs: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (..., f), never below the least, from outputs (..., 2f)."""
    mean, log_variance = outputs.chunk(2, -1)
    return mean, least + torch.exp(LOG_RANGE * torch.tanh(log_variance / LOG_RANGE))


def quantisation(rows: Tensor) -> Tensor:
    """Median gap (f,) between neighbouring values of each feature: large where values are few."""
    steps = []
    for feature in rows.T.double():
        gaps = feature.unique().diff()
        steps.append(gaps.median() if len(gaps) else gaps.new_zeros(()))
    return torch.stack(steps)
