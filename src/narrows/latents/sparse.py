"""Codes of which most numbers are zero: a dictionary's. Units that have died are called back by what is left untold."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from narrows.distributions import Nested, Point
from narrows.errors import at_least, at_most
from narrows.latents.exact import Exact
from narrows.values import Clock
from narrows.workers import batch_rows, each, whole

SAMPLED_ROWS = 128
THRESHOLD_MOMENTUM = 0.05
DEAD_AFTER = 10_000  # examples
FIRST_TIMES = 4.0  # of k, which training begins with
FLOOR_PACE = 2.0  # a silent unit's threshold halves in 0.35 / floor steps


def keep(h: Tensor, k: float, of: int | None = None) -> tuple[Tensor, Tensor]:
    """Keep the k n largest numbers of h (n, d) that are above 0, whatever their rows; the others become 0.

    Of a batch of 256 rows or more, the bound is that of rows spread over it, and k n are kept but for its error: a
    selection from all numbers would take as long as the rest of a training step.

    Returns
    -------
    z : Tensor, shape (n, d)
        What is kept.
    smallest : Tensor, shape ()
        The bound: the smallest number that is kept, or 0; where ``of`` is given, what it would be if so many were.
    """
    rows = whole(h.detach(), max(1, batch_rows(h) // SAMPLED_ROWS))
    largest = rows.flatten().topk(round(k * len(rows))).values.clamp_min(0.0)
    below = torch.nextafter(largest[-1].float(), largest.new_tensor(-1.0).float())
    z = nn.functional.threshold(h, max(float(below), 0.0), 0.0)
    return z, largest[-1] if of is None else largest[of * len(rows) - 1]


class Sparse(Exact):
    """Codes of which few numbers are not zero.

    A unit is dead once it has not fired for ``dead_after`` examples of training. Then training also descends a
    thirty-second of -log p(x | z'), z' being the code, held, in which the dead units speak as well, up to half as many
    as x has cells, on average: they come to tell what the code leaves untold (AuxK, Gao et al. 2024, section 2.4). No
    figure reports it.

    Attributes
    ----------
    law : type of Point
        What a code is as a distribution.
    idle : Tensor, shape (size,)
        Examples since each unit last fired; only where ``dead_after`` is not 0.
    """

    sparse = True
    narrow = True
    zeros_learn = False
    law: ClassVar[type[Point]] = Point
    idle: Tensor

    def __init__(self, size: int, dead_after: int) -> None:
        super().__init__()
        at_least("latent.size", size, 1)
        at_least("latent.dead_after", dead_after, 0)
        self.size = size
        self.dead_after = dead_after
        if dead_after:
            self.register_buffer("idle", torch.zeros(size, dtype=torch.int64))

    @property
    def instead(self) -> str:
        """What leaves the dead alone: whether any are revived hangs on whether there are any."""
        return "latent.dead_after=0" if self.dead_after else ""

    @property
    def asks_host(self) -> bool:
        """Whether there may be units to revive: how many are dead decides on what is computed."""
        return bool(self.dead_after)

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Take the number of cells."""
        self.revived_at_once = max(1, math.prod(seen_shape) // 2)

    @abstractmethod
    def select(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Map h (n, d) to its code (n, d), and what that costs, (n,) or ()."""

    def posterior(self, h: Tensor) -> Distribution:
        """All mass at the code, whose price is in float32 at least."""
        z, price = self.select(h)
        price = price.to(torch.promote_types(h.dtype, torch.float32)).expand(h.shape[0])
        return self.law(z, price, self._revived(h, z) if self.training and self.dead_after else None)

    def revived(self, q: Distribution) -> Tensor | None:
        """Return the code in which dead units speak."""
        return q.revived if isinstance(q, Point) else None

    def used(self, codes: Tensor) -> Tensor:
        """Whether each unit ever fires."""
        return (codes != 0).any(0)

    def _revived(self, h: Tensor, z: Tensor) -> Tensor | None:
        with torch.no_grad():
            # A sum takes an eighth of the time that comparisons do, and is 0 by chance never.
            self.idle.add_(batch_rows(z)).masked_fill_((each(z.sum(0)) != 0).any(0), 0)
            dead = self.idle > self.dead_after
            many = int(dead.sum())
        if not many:
            return None
        said = h.relu() * dead
        return z.detach() + (said if many <= self.revived_at_once else keep(said, self.revived_at_once)[0])


class L1(Sparse, kind="l1"):
    """Non-negative codes that pay for their size: z = relu(h), price = weight * sum_j |z_j| nats.

    The penalty of the lasso (Tibshirani 1996), applied to codes. It shrinks the codes that it keeps; `TopK` does not.

    Parameters
    ----------
    size : int
        Numbers in one code.
    weight : float
        Nats for each unit of code.
    dead_after : int
        Examples without firing after which a unit is dead; 0 leaves the dead alone.
    """

    remedy = "take a smaller latent.weight, or train longer"

    def __init__(self, size: int = 16, weight: float = 1.0, dead_after: int = 0) -> None:
        super().__init__(size, dead_after)
        at_least("latent.weight", weight, 0)
        self.weight = weight

    def select(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """relu(h), at its price."""
        z = h.relu()
        return z, self.weight * z.sum(1, dtype=torch.promote_types(h.dtype, torch.float32))


class OfK(Sparse):
    """Codes of which about k numbers are kept, at no price."""

    remedy = "take a larger latent.k or a smaller latent.size, or train longer with latent.dead_after=10000"

    def __init__(self, size: int, k: int, dead_after: int) -> None:
        super().__init__(size, dead_after)
        at_least("latent.k", k, 0)
        at_most("latent.k", k, size)
        self.k = k

    @property
    def kept(self) -> int:
        """Numbers that are kept: k, or a quarter of all where that is 0."""
        return self.k or (self.size + 3) // 4


def only(h: Tensor, k: int) -> Tensor:
    """H (n, d) with all but the k numbers of each row that are largest in magnitude set to 0."""
    places = h.abs().topk(k, dim=1, sorted=False).indices
    return torch.zeros_like(h).scatter(1, places, h.gather(1, places))


class TopK(OfK, kind="top-k"):
    """Codes of which only the ``k`` numbers largest in magnitude are kept; the rest are zero.

    The k-sparse autoencoder (Makhzani and Frey 2014), with signed codes, or with those of relu(h) as a dictionary has
    them (Gao et al. 2024). It has no weight to tune and no shrinkage.

    Parameters
    ----------
    size : int
        Numbers in one code.
    k : int
        Numbers kept; 0 keeps a quarter of them.
    signed : bool
        Whether a code may hold numbers below 0.
    dead_after : int
        Examples without firing after which a unit is dead; 0 leaves the dead alone.
    """

    def __init__(self, size: int = 16, k: int = 0, signed: bool = True, dead_after: int = 0) -> None:
        super().__init__(size, k, dead_after)
        self.signed = signed

    def select(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """H with all but k of its numbers set to zero."""
        return only(h if self.signed else h.relu(), self.kept), h.new_zeros(())


class BatchTopK(OfK, kind="batch-top-k"):
    """Non-negative codes of which ``k`` a row are kept on average: the largest of a whole batch (Bussmann et al. 2024).

    A row that is hard to tell takes more of them, an easy one fewer. In use the numbers above a threshold are kept,
    the running mean of the smallest of k a row in training, so that the code of a row does not depend on its batch.

    Training may begin with more: four times k, which falls to k like k * 4^(1 - t), t from 0 to 1 over its first
    part. Among random atoms the few largest numbers are mostly wrong, and an atom that is not kept does not learn:
    where k is small against the units, many end as copies and mixtures of others. Held-out figures are those of k.

    Where there are more units than the data have features, some never come to be kept. With ``floor`` no unit falls
    silent: one that fires in a smaller share of rows has a threshold of its own, t_j, which follows the quantile of
    its numbers that lets through so many (Robbins and Monro 1951): after each batch ln t_j += 2 (share fired - floor),
    and t_j is at most the threshold of all. What is let through so comes on top of k.

    Parameters
    ----------
    size : int
        Numbers in one code.
    k : int
        Numbers kept, a row; 0 keeps a quarter of all.
    dead_after : int
        Examples without firing after which a unit is dead; 0 leaves the dead alone.
    anneal : float
        Share of the training, in [0, 1], over which the number kept falls to k; 0 keeps k from the start.
    floor : float
        Share of rows, in [0, 0.5], in which each unit fires at least; 0 sees to none.
    """

    remedy = "take latent.floor=0.002, which lets no unit fall silent, a larger latent.k, or a smaller latent.size"
    instead = "latent=top-k"  # how many numbers a batch keeps hangs on their values
    asks_host = True  # the threshold of a batch
    threshold: Tensor
    own: Tensor

    def __init__(
        self, size: int = 64, k: int = 0, dead_after: int = DEAD_AFTER, anneal: float = 0.5, floor: float = 0.0
    ) -> None:
        super().__init__(size, k, dead_after)
        at_least("latent.anneal", anneal, 0)
        at_most("latent.anneal", anneal, 1)
        at_least("latent.floor", floor, 0)
        at_most("latent.floor", floor, 0.5)
        self.anneal = anneal
        self.floor = floor
        self.now = float(self.kept)
        self.register_buffer("threshold", torch.zeros(()))
        if floor:
            self.register_buffer("own", torch.full((size,), math.inf))

    def see(self, clock: Clock) -> None:
        """Take the number that is kept at a time of the training."""
        left = max(0.0, 1 - float(clock.progress) / self.anneal) if self.anneal else 0.0
        self.now = min(self.kept * FIRST_TIMES**left, self.size)

    def settled(self, share: float) -> bool:
        """Whether no more are kept in training than in use: before, the figure of those in use may rise for long."""
        return share >= self.anneal

    def select(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """The largest of the batch in training; in use those above the threshold."""
        if not self.training:
            return self._in_use(h), h.new_zeros(())
        z, smallest = keep(h, self.now, self.kept)
        smallest = smallest.to(self.threshold.dtype)
        begun = self.threshold > 0
        self.threshold.copy_(torch.where(begun, self.threshold.lerp(smallest, THRESHOLD_MOMENTUM), smallest))
        return self._floored(h, z) if self.floor else z, h.new_zeros(())

    def _in_use(self, h: Tensor) -> Tensor:
        bound = float(self.threshold)
        if not bound:  # before the first step, where no more numbers may be kept than after it
            return only(h.relu(), self.kept)
        return torch.where(h > self.own, h, 0.0) if self.floor else nn.functional.threshold(h, bound, 0.0)

    def _floored(self, h: Tensor, z: Tensor) -> Tensor:
        """What is kept, z, and what is above its unit's own threshold; thresholds learn from how often they fired."""
        z = torch.where(h > self.own, h, z)
        share = each((z > 0).sum(0, dtype=torch.float32)).sum(0) / batch_rows(z)
        # A threshold of 0, of a batch that had too few numbers above it, is none: nothing grows from 0 again.
        most = torch.where(self.threshold > 0, self.threshold, math.inf)
        self.own.mul_(torch.exp(FLOOR_PACE * (share - self.floor))).clamp_max_(most)
        return z


class Matryoshka(BatchTopK, kind="matryoshka"):
    """Codes of which every prefix is a code: batch-top-k, trained on several nested ones (Bussmann et al. 2025).

    Of ``objective.samples`` draws the last is the whole code, and each one before it the first half of the next, so
    that the objective is the mean over nested dictionaries. What is common comes to stand in front, told by units of
    its own, and is not taken over by the units of what is rare.

    Parameters
    ----------
    size : int
        Numbers in one code.
    k : int
        Numbers kept, a row; 0 keeps a quarter of all.
    dead_after : int
        Examples without firing after which a unit is dead; 0 leaves the dead alone.
    anneal : float
        Share of the training, in [0, 1], over which the number kept falls to k, as in batch-top-k.
    floor : float
        Share of rows, in [0, 0.5], in which each unit fires at least, as in batch-top-k; 0 sees to none.
    """

    nested = True
    law = Nested
