"""Normal distributions over codes, and their divergences in closed form."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Normal, kl_divergence, register_kl

# softplus(s + SHIFT) is 1 at s = 0, so that a code's training starts where posterior and prior agree.
SHIFT = 0.5413248546129181
SMALLEST_SCALE = 1e-4


def unscaled(scale: Tensor) -> Tensor:
    """The inverse of softplus(s + SHIFT) + SMALLEST_SCALE; a scale below the smallest possible one becomes that."""
    above = (scale - SMALLEST_SCALE).clamp_min(SMALLEST_SCALE)
    return above + (-torch.expm1(-above)).log() - SHIFT  # ln(e^y - 1), without overflow


class DiagonalNormal(Distribution):
    """N(mean, diag(scale^2)) over codes: torch's independent normals with a third of their small operations.

    Parameters
    ----------
    mean, scale : Tensor, shape (n, d) or (k, n, d)
        Of each number.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        self.loc = mean
        self.scale = scale
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    @classmethod
    def of(cls, numbers: Tensor) -> DiagonalNormal:
        """Make them of any numbers (..., 2 d): means, and what a softplus makes scales of."""
        mean, s = numbers.chunk(2, -1)
        return cls(mean, torch.nn.functional.softplus(s + SHIFT) + SMALLEST_SCALE)

    def at(self, index: Tensor) -> DiagonalNormal:
        """Those of the rows with these numbers."""
        return DiagonalNormal(self.loc[index], self.scale[index])

    def placed(self, noise: Tensor) -> Tensor:
        """Standard normal draws (k, n, d) -> draws from this one, by a differentiable path."""
        return torch.addcmul(self.loc, self.scale, noise)

    @property
    def mean(self) -> Tensor:
        """Mean (n, d)."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Variance (n, d)."""
        return self.scale.square()

    @property
    def base_dist(self) -> Normal:
        """The normals of single numbers."""
        return Normal(self.loc, self.scale, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of codes (k, n, d): (k, n)."""
        normal = ((value - self.loc) / self.scale).square().sum(-1)
        return -0.5 * normal - self.scale.log().sum(-1) - 0.5 * math.log(2 * math.pi) * self.event_shape.numel()


class FullNormal(Distribution):
    """N(mean, P^-1) over codes whose numbers depend on each other, P = L L^T.

    Parameters
    ----------
    mean : Tensor, shape (n, d)
        Of each number.
    factor : Tensor, shape (n, d, d)
        Lower triangular L, the Cholesky factor of the precision P, its diagonal positive.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, mean: Tensor, factor: Tensor) -> None:
        self.loc = mean
        self.factor = factor
        super().__init__(mean.shape[:1], mean.shape[1:], validate_args=False)

    def at(self, index: Tensor) -> FullNormal:
        """Those of the rows with these numbers."""
        return FullNormal(self.loc[index], self.factor[index])

    def placed(self, noise: Tensor) -> Tensor:
        """Standard normal draws (k, n, d) -> draws from this one, by a differentiable path."""
        # L^-T of a standard normal draw has covariance (L L^T)^-1.
        drawn = torch.linalg.solve_triangular(self.factor.mT, noise.permute(1, 2, 0), upper=True)
        return self.loc + drawn.permute(2, 0, 1)

    @classmethod
    def of(cls, numbers: Tensor, size: int) -> FullNormal:
        """Make it of any numbers (n, d + d (d + 1) / 2): mean, diagonal of L (by a softplus), L below it."""
        mean, diagonal, below = numbers.split([size, size, size * (size - 1) // 2], 1)
        scale = torch.nn.functional.softplus(diagonal + SHIFT) + SMALLEST_SCALE
        places = _below(size, numbers.device).expand_as(below)
        factor = numbers.new_zeros(numbers.shape[0], size * size).scatter(1, places, below).unflatten(1, (size, size))
        return cls(mean, factor + torch.diag_embed(scale))

    def numbers(self) -> Tensor:
        """The inverse of `of`; a diagonal below the smallest possible one becomes that."""
        flat, places = self.factor.flatten(1), _below(self.factor.shape[1], self.factor.device)
        below = flat.gather(1, places.expand(len(flat), -1))
        return torch.cat([self.loc, unscaled(self.factor.diagonal(dim1=1, dim2=2)), below], 1)

    @property
    def mean(self) -> Tensor:
        """Mean (n, d)."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """Variance of each number (n, d), the diagonal of P^-1."""
        unit = torch.eye(self.loc.shape[1], dtype=self.loc.dtype, device=self.loc.device)
        return torch.linalg.solve_triangular(self.factor, unit, upper=False).square().sum(1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of codes (k, n, d): (k, n)."""
        normal = torch.einsum("kni,nij->knj", value - self.loc, self.factor).square().sum(-1)
        return -0.5 * normal + self._half_log_det - 0.5 * math.log(2 * math.pi) * self.event_shape.numel()

    @property
    def _half_log_det(self) -> Tensor:
        """1/2 ln det P, (n,)."""
        return self.factor.diagonal(dim1=1, dim2=2).log().sum(-1)


def _below(size: int, device: torch.device) -> Tensor:
    """Places of the cells below the diagonal in a flattened matrix; by them is faster than by rows and columns."""
    row, column = torch.tril_indices(size, size, -1, device=device)
    return row * size + column


class StandardNormal(Distribution):
    """N(0, I) over codes of ``size`` numbers, for ``n`` examples."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, n: int, size: int, device: torch.device | str = "cpu") -> None:
        self.device = device
        super().__init__(torch.Size((n,)), torch.Size((size,)), validate_args=False)

    @property
    def base_dist(self) -> Normal:
        """The normals of single numbers."""
        return Normal(self.mean, self.variance, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """0, (n, d)."""
        return torch.zeros((), device=self.device).expand(self._extended_shape())

    @property
    def variance(self) -> Tensor:
        """1, (n, d)."""
        return torch.ones((), device=self.device).expand(self._extended_shape())

    def placed(self, noise: Tensor) -> Tensor:
        """Standard normal draws, as they are."""
        return noise

    def log_prob(self, value: Tensor) -> Tensor:
        """Nats of codes (k, n, d): (k, n)."""
        return -0.5 * value.square().sum(-1) - 0.5 * math.log(2 * math.pi) * self.event_shape.numel()


@register_kl(DiagonalNormal, StandardNormal)
def _to_standard(q: DiagonalNormal, _: StandardNormal) -> Tensor:
    """1/2 sum_j (mu_j^2 + sigma_j^2 - 1) - sum_j ln sigma_j (Kingma and Welling 2014, appendix B)."""
    by_unit = 0.5 * (q.loc.square() + q.scale.square()) - q.scale.log()
    return by_unit.sum(-1) - 0.5 * q.event_shape.numel()


@register_kl(FullNormal, StandardNormal)
def _full_to_standard(q: FullNormal, _: StandardNormal) -> Tensor:
    """1/2 (tr P^-1 + |mu|^2 - d + ln det P) (Kullback 1959, chapter 9)."""
    return 0.5 * ((q.variance + q.loc.square()).sum(-1) - q.event_shape.numel()) + q._half_log_det


@register_kl(FullNormal, FullNormal)
def _full_to_full(q: FullNormal, p: FullNormal) -> Tensor:
    """1/2 (tr P_p P_q^-1 + (mu_q - mu_p)^T P_p (mu_q - mu_p) - d) + 1/2 ln det P_q - 1/2 ln det P_p."""
    spread = torch.linalg.solve_triangular(q.factor, p.factor, upper=False).square().sum((1, 2))
    apart = torch.einsum("ni,nij->nj", q.loc - p.loc, p.factor).square().sum(1)
    return 0.5 * (spread + apart - q.event_shape.numel()) + q._half_log_det - p._half_log_det


@register_kl(StandardNormal, DiagonalNormal)
@register_kl(StandardNormal, StandardNormal)
@register_kl(DiagonalNormal, DiagonalNormal)
def _by_number(q: DiagonalNormal | StandardNormal, p: DiagonalNormal | StandardNormal) -> Tensor:
    return kl_divergence(q.base_dist, p.base_dist).sum(-1)
