"""Laws of the cells of a mixed table: one small class a kind of column."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import singledispatch
from typing import Any, ClassVar

import torch
from torch import Tensor, distributions, nn
from torch.distributions import Distribution
from torch.nn.functional import softplus

from narrows.data.schema import Column
from narrows.distributions import one_hot
from narrows.likelihoods.counts import counts
from narrows.likelihoods.reals import FLOOR_REACHED, SMALLEST_SIGMA
from narrows.noise import Noise
from narrows.sampling import draw, gumbel_argmax
from narrows.values import Finding

LEAST_FREEDOM = 2.0


class Law(nn.Module):
    """How the cells of columns of one kind are distributed, given their parameters.

    Parameters
    ----------
    columns : list of int
        Their places in the table.
    members : list of Column
        What they hold.
    """

    columns: Tensor

    def __init__(self, columns: list[int], members: list[Column]) -> None:
        super().__init__()
        # On the processor even where a model is being built without memory, for no file brings it.
        self.register_buffer("columns", torch.tensor(columns, device="cpu"), persistent=False)
        self.size = len(columns)

    @staticmethod
    def alike(column: Column) -> int:
        """Columns of equal numbers are kept together."""
        return 0

    def diagnose(self) -> Iterator[Finding]:
        """Say what is wrong with the fitted law, with the remedy."""
        return iter(())

    @abstractmethod
    def targets(self, cells: Tensor) -> Tensor:
        """Parameters (n, size) under which cells (n, columns) are about likeliest, NaN where they are missing."""

    def start(self, variances: Tensor) -> None:
        """Take mean squared distances (size,) from the targets as a first measure of the spread."""

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution:
        """Parameters (k, n, size) -> distribution of batch shape (k, n, columns)."""


class Normals(Law):
    """Standardised numbers: gaussian about the parameter, sigma_j = sqrt(0.001^2 + exp(2 s_j)) learned by column."""

    def __init__(self, columns: list[int], members: list[Column]) -> None:
        super().__init__(columns, members)
        self.names = [column.name for column in members]
        self.log_sigma = nn.Parameter(torch.zeros(len(columns)))

    @property
    def scale(self) -> Tensor:
        """Sigma of each column, in its standard deviations."""
        return (SMALLEST_SIGMA**2 + (2 * self.log_sigma).exp()).sqrt()

    def targets(self, cells: Tensor) -> Tensor:
        """The cells themselves, the centre of their law."""
        return cells

    def start(self, variances: Tensor) -> None:
        """Let sigma be the root of the mean squared distance."""
        self.log_sigma.copy_(0.5 * (variances - SMALLEST_SIGMA**2).clamp_min(SMALLEST_SIGMA**2).log())

    def diagnose(self) -> Iterator[Finding]:
        """Say which columns' sigma rests on its floor."""
        floored = self.scale.detach() < FLOOR_REACHED * SMALLEST_SIGMA
        if bool(floored.any()):
            names = [name for name, low in zip(self.names, floored.tolist(), strict=True) if low]
            yield Finding(
                "sigma at its floor",
                f"the learned sigma of {', '.join(names[:3])}{' and others' * (len(names) > 3)} fell to "
                f"{SMALLEST_SIGMA:g} standard deviations",
                "the density says no more than that the fit is exact: compare errors instead",
            )

    def forward(self, params: Tensor) -> Distribution:
        """Means (k, n, a) -> gaussian cells."""
        return distributions.Normal(params, self.scale.expand_as(params), validate_args=False)


class Students(Normals):
    """Standardised numbers: Student's t about the parameter, learned scale and degrees of freedom 2 + softplus(f_j)."""

    def __init__(self, columns: list[int], members: list[Column]) -> None:
        super().__init__(columns, members)
        self.freedom = nn.Parameter(torch.full((len(columns),), 3.0))

    def start(self, variances: Tensor) -> None:
        """Let the law's variance, sigma^2 f / (f - 2) of f degrees of freedom, be the mean squared distance."""
        spare = softplus(self.freedom)
        super().start(variances * spare / (LEAST_FREEDOM + spare))

    def forward(self, params: Tensor) -> Distribution:
        """Centres (k, n, a) -> cells with heavy tails."""
        freedom = (LEAST_FREEDOM + softplus(self.freedom)).expand_as(params)
        return distributions.StudentT(freedom, params, self.scale.expand_as(params), validate_args=False)


@draw.register
def _(q: distributions.StudentT, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    # sqrt(f (u^(-2/f) - 1)) cos(2 pi v) of uniform u and v is exactly Student's t (Bailey 1994).
    radius = (q.df * torch.expm1(-2 / q.df * torch.log1p(-noise.uniform(shape, rows=rows)))).sqrt()
    return torch.addcmul(q.loc, q.scale, radius * torch.cos(2 * torch.pi * noise.uniform(shape, rows=rows)))


class Counts(Law):
    """Whole numbers from 0: Poisson, its log rate the parameter, bounded as that of likelihood poisson."""

    def targets(self, cells: Tensor) -> Tensor:
        """ln(count + 1/2), which a count of 0 has too."""
        return (cells + 0.5).log()

    def forward(self, params: Tensor) -> Distribution:
        """Log rates (k, n, a) -> counts."""
        return counts(params)


class Categories(Law):
    """Values of a list: a softmax over the list and a last class for every value that is not on it."""

    unused: Tensor
    unnamed: Tensor

    def __init__(self, columns: list[int], members: list[Column]) -> None:
        super().__init__(columns, members)
        classes = torch.tensor([len(column.categories) + 1 for column in members], device="cpu")
        self.width = int(classes.max())
        self.size = len(columns) * self.width
        # Lists of unlike length stand side by side, filled up to the longest with classes that never are.
        place = torch.arange(self.width, device="cpu")
        self.register_buffer("unused", place >= classes[:, None], persistent=False)
        self.register_buffer("unnamed", place >= classes[:, None] - 1, persistent=False)

    @staticmethod
    def alike(column: Column) -> int:
        """Columns are kept together where the longest list is at most twice as long as the shortest."""
        return len(column.categories).bit_length()

    def targets(self, cells: Tensor) -> Tensor:
        """Log probabilities (n, a * classes) of which nine tenths are the cell's own class's."""
        index = cells.nan_to_num(0.0).long()
        own = one_hot(index, self.width, cells.dtype)
        logits = torch.lerp(torch.full_like(own, math.log(0.1 / self.width)), own.new_full((), math.log(0.9)), own)
        return logits.masked_fill(cells.isnan().unsqueeze(-1), torch.nan).flatten(1)

    def forward(self, params: Tensor) -> Distribution:
        """Logits (k, n, a * classes) -> indices of values."""
        logits = params.unflatten(-1, (-1, self.width)).masked_fill(self.unused, -torch.inf)
        return Symbols(logits.log_softmax(-1), self.unnamed)


class Symbols(Distribution):
    """Independent indices 0, 1, ..., of which the last class has no name.

    Parameters
    ----------
    log_probs : Tensor, shape (k, n, a, classes)
        ln p of each class.
    unnamed : Tensor, shape (a, classes)
        Which classes have no name.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, log_probs: Tensor, unnamed: Tensor) -> None:
        self.log_probs = log_probs
        self.unnamed = unnamed
        super().__init__(log_probs.shape[:-1], validate_args=False)

    @property
    def named(self) -> Tensor:
        """ln p of the classes that have a name, minus infinity of the last one."""
        return self.log_probs.masked_fill(self.unnamed, -torch.inf)

    @property
    def mean(self) -> Tensor:
        """Index of the most probable class that has a name, (k, n, a)."""
        return self.named.argmax(-1).to(self.log_probs.dtype)

    @property
    def variance(self) -> Tensor:
        """1 - sum p^2, the chance that two draws differ, (k, n, a)."""
        return 1 - self.log_probs.exp().square().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of indices (n, a) or (k, n, a): (k, n, a)."""
        index = value.expand(self.batch_shape if value.dim() < 3 else value.shape).long().unsqueeze(-1)
        return self.log_probs.expand(*index.shape[:-1], -1).gather(-1, index).squeeze(-1)


@draw.register
def _(q: Symbols, shape: Sequence[int], rows: int, noise: Noise) -> Tensor:
    # A draw is one of the values that have a name, so that it can be written down.
    return gumbel_argmax(q.named, (*shape, q.log_probs.shape[-1]), rows, noise).to(q.log_probs.dtype)


@singledispatch
def mixture_mean(law: Distribution) -> Tensor:
    """Mean (n, a) of cells drawn from one of the k laws of each row, each as likely as the next."""
    return law.mean.mean(0)


@mixture_mean.register
def _(law: Symbols) -> Tensor:
    # Of symbols the most probable one that has a name.
    shares = law.log_probs.exp().mean(0)
    return shares.masked_fill(law.unnamed, -1.0).argmax(-1).to(shares.dtype)


NUMERIC: Mapping[str, type[Law]] = {"gaussian": Normals, "student-t": Students}
LAWS: Mapping[str, type[Law]] = {"count": Counts, "binary": Categories, "category": Categories}
