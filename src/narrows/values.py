"""Frozen values that pass between the layers. Letters: k samples, n examples, d code size, x data shape."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows.distributions import divergence, divergence_given
from narrows.filling import filled


@dataclass(frozen=True)
class Scale:
    """Where raw values lie in what is seen; each is broadcastable to it.

    Parameters
    ----------
    unit : Tensor
        What one unit of the raw data is.
    low, high : Tensor
        Where the lowest and the highest value are; not finite where there is no end to them.
    """

    unit: Tensor
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class Batch:
    """What the likelihood scores and what the encoder gets to see.

    Parameters
    ----------
    x : Tensor, shape (n, x)
        The target, in the likelihood's own unit; NaN where the cell of a mixed table is missing.
    seen : Tensor, shape (n, x), of a mixed table (n, f)
        The standardised, perhaps corrupted, input of the encoder.
    owner : Tensor, shape (f,), optional
        Of a mixed table: the cell that each number of ``seen`` tells of.
    blank : Tensor, shape (f,), optional
        Of a mixed table: what is seen of a row all of whose cells are missing.
    whole : Tensor, shape (n, f), optional
        Where only hidden cells are scored: what is seen when nothing is hidden. The posterior is told of that, and
        ``seen`` gives the prior.
    scored : Tensor, shape (n, x), optional
        Which cells alone are scored.
    scale : Scale, optional
        Where raw values lie in what is seen; of a mixed table, whose columns have each their own, there is none.
    condition : Tensor, shape (n,), optional
        The class of each example, where it is known.
    fills : bool
        Whether hidden pixels become what those around them tell, for networks that add to what they see.
    """

    x: Tensor
    seen: Tensor
    owner: Tensor | None = None
    blank: Tensor | None = None
    whole: Tensor | None = None
    scored: Tensor | None = None
    scale: Scale | None = None
    condition: Tensor | None = None
    fills: bool = False

    def hide(self, hidden: Tensor) -> Batch:
        """Hide cells, a mask (n, x), from the encoder: they become 0, the mean; in a mixed table they are missing."""
        if self.fills:
            return dataclasses.replace(self, seen=filled(self.seen, hidden))
        if self.owner is None or self.blank is None:
            return dataclasses.replace(self, seen=self.seen.masked_fill(hidden, 0.0))
        return dataclasses.replace(self, seen=torch.where(hidden[:, self.owner], self.blank, self.seen))


@dataclass(frozen=True)
class Labelled:
    """Raw rows, and the class that each is of.

    Parameters
    ----------
    rows : Tensor, shape (n, x)
        As a model takes them without classes.
    condition : Tensor, shape (n,)
        Places of the classes among those that the latent knows.
    """

    rows: Tensor
    condition: Tensor

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def split(self, size: int) -> Iterator[Labelled]:
        """All rows in order, so many at once."""
        return map(Labelled, self.rows.split(size), self.condition.split(size))


def apart(raw: Tensor | Labelled) -> tuple[Tensor, Tensor | None]:
    """Raw rows, and the class of each where it is known."""
    return (raw.rows, raw.condition) if isinstance(raw, Labelled) else (raw, None)


@dataclass(frozen=True)
class Terms:
    """The parts every objective is made of.

    Parameters
    ----------
    log_px : Tensor, shape (k, n)
        log p(x | z) in nats.
    z : Tensor, shape (k, n, ...)
        The codes drawn.
    posterior : Distribution
        q(z | x), as the gradient estimator wants it scored.
    prior : Distribution
        p(z).
    seen : Tensor, shape (n, x), optional
        What the posterior was told of.
    """

    log_px: Tensor
    z: Tensor
    posterior: Distribution
    prior: Distribution
    seen: Tensor | None = None

    @cached_property
    def log_q(self) -> Tensor:
        """log q(z | x), shape (k, n)."""
        return self.posterior.log_prob(self.z)

    @cached_property
    def log_ratio(self) -> Tensor:
        """log q(z | x) - log p(z), shape (k, n): one draw's share of the divergence."""
        return self.log_q - self.prior.log_prob(self.z)

    @cached_property
    def kl(self) -> Tensor:
        """KL(q || p) in nats, broadcastable to (k, n): exact where a closed form is known, else one draw's share."""
        exact = divergence(self.posterior, self.prior)
        if exact is not None:
            return exact[None]
        share = divergence_given(self.posterior, self.prior, self.z)
        return self.log_ratio if share is None else share


@dataclass(frozen=True)
class Scores:
    """What a step says of its examples, as it came: many steps are put in a table at once.

    Parameters
    ----------
    nats : Tensor, shape (n,)
        The objective.
    log_px : Tensor, shape (k, n)
        log p(x | z) of each draw.
    kl : Tensor, shape (k, n) or (1, n)
        Divergence, or price.
    """

    nats: Tensor
    log_px: Tensor
    kl: Tensor

    def of(self, rows: slice) -> Scores:
        """Scores of some of the examples."""
        return Scores(self.nats[rows], self.log_px[:, rows], self.kl[:, rows])


def table(scores: Sequence[Scores]) -> Tensor:
    """Nats, distortion and rate of every example, shape (3, examples)."""
    rows = [
        torch.cat([score.nats for score in scores]),
        -torch.cat([score.log_px for score in scores], 1).mean(0),
        torch.cat([score.kl for score in scores], 1).mean(0),
    ]
    return torch.stack(rows)


class Clock:
    """How far training has come, as 0-dim tensors, so that schedules may live inside a compiled interval.

    Parameters
    ----------
    device : torch.device or str
        Where the hands of the clock are kept.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.step = torch.zeros((), dtype=torch.int64, device=device)
        self.progress = torch.zeros((), dtype=torch.float64, device=device)

    def set(self, step: int, progress: float) -> None:
        """Set the number of steps taken and the share of the training done, in [0, 1]."""
        self.step.fill_(step)
        self.progress.fill_(progress)

    @classmethod
    def at_end(cls, device: torch.device | str = "cpu") -> Clock:
        """Make a clock that says that training is over: every schedule has reached its final value."""
        clock = cls(device)
        clock.set(0, 1.0)
        return clock


@dataclass(frozen=True)
class Figures:
    """Means over examples, all in nats per example.

    Parameters
    ----------
    nats : float
        The objective with every schedule at its end: for the elbo, distortion + beta * rate; for iwae(k), minus
        the k-sample bound.
    distortion : float
        -log p(x | z).
    rate : float
        KL(q || p), or the price of a deterministic code.
    """

    nats: float
    distortion: float
    rate: float


@dataclass(frozen=True)
class Progress:
    """Where training stands at the end of an interval.

    Parameters
    ----------
    step, examples : int
        Updates made and examples seen since the start.
    epoch : float
        Passes over the training rows.
    share : float
        Share of the training done, in [0, 1].
    seconds : float
        Time spent in training since the start, earlier sessions included.
    rate : float
        Learning rate of the last step.
    training : Figures
        Means over the interval.
    validation : Figures or None
        The same figures on held-out rows, on the same scale; None between the ends of epochs.
    """

    step: int
    examples: int
    epoch: float
    share: float
    seconds: float
    rate: float
    training: Figures
    validation: Figures | None = None
    epoch_ended: bool = False


@dataclass(frozen=True)
class Finding:
    """Something the doctor noticed: what is wrong, how it shows, what to do."""

    name: str
    what: str
    remedy: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.name}: {self.what}; {self.remedy}"
