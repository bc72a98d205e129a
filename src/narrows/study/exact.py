"""Expectations over codes without a draw: by enumeration where codes are few, by quadrature where they are gaussian.

    at = points(q)
    value = expected(objective, log_px, q, prior, at)      # log_px (m,), of the codes at.z (m, ...)
    gradient = torch.autograd.grad(value, parameters)

The gradient is the exact one, of which estimators with draws are estimates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from narrows.axes import Objective
from narrows.distributions import DiagonalNormal, FullNormal
from narrows.errors import InputError, at_least
from narrows.values import Clock, Terms

NODES = 40
MOST = 4_000_000  # codes, or tuples of codes, at once: 32 MB a column


@dataclass(frozen=True)
class Points:
    """Codes and weights that average a function of the code under q: E_q[f(z)] = sum_m weight_m f(z_m).

    Parameters
    ----------
    z : Tensor, shape (m, ...)
        The codes, cut off from the parameters of q.
    weight : Tensor, shape (m,)
        Their weights, which sum to 1.
    """

    z: Tensor
    weight: Tensor


@singledispatch
def points(q: Distribution, nodes: int = NODES) -> Points:
    """Points that average a function of the code of one example.

    Parameters
    ----------
    q : Distribution
        Of one example, batch shape (1,): bits, symbols or gaussian codes.
    nodes : int
        Of a gaussian code: nodes of the Gauss-Hermite rule along each number. It is exact where the function is a
        polynomial of a degree below ``2 * nodes``, and quickly converges where it is smooth.

    Returns
    -------
    Points
        All codes of a discrete q; ``nodes**d`` codes of a gaussian q of d numbers.

    Raises
    ------
    InputError
        If there are more than four million of them.
    TypeError
        If there is no rule for such a distribution.
    """
    raise TypeError(f"no points are known for {type(q).__name__}: take a code of bits, of symbols, or a gaussian one")


@points.register
def _(q: Independent, nodes: int = NODES) -> Points:
    """Every code, with its probability."""
    units, *unit_shape = q.event_shape
    values = q.base_dist.enumerate_support(expand=False)
    values = values.reshape(len(values), *unit_shape)
    z = values[_tuples(len(values), units)]
    return Points(z, q.log_prob(z[:, None]).detach().exp()[:, 0])


@points.register
def _(q: DiagonalNormal, nodes: int = NODES) -> Points:
    z, weight = _standard(nodes, q.loc)
    return Points(q.loc.detach() + q.scale.detach() * z, weight)


@points.register
def _(q: FullNormal, nodes: int = NODES) -> Points:
    z, weight = _standard(nodes, q.loc)
    # z' = L^-1 z is a row of L^-T z, whose covariance is (L L^T)^-1.
    return Points(
        q.loc.detach() + torch.linalg.solve_triangular(q.factor.detach()[0], z, upper=False, left=False), weight
    )


def expected(
    objective: Objective,
    log_px: Tensor,
    posterior: Distribution,
    prior: Distribution,
    at: Points,
    clock: Clock | None = None,
) -> Tensor:
    """Return the mean of an objective over the draws of one example's codes, in nats, with its exact gradient.

    E[L] = sum over k-tuples of codes of prod_i weight_i L(z_1, ..., z_k); where L is the mean of the costs of single
    draws, k = 1 will do. For the gradient each weight is multiplied by q(z) / q(z), the denominator held fixed.

    Parameters
    ----------
    objective : Objective
        One for which what a draw costs depends on that draw alone.
    log_px : Tensor, shape (m,)
        log p(x | z) of the codes ``at.z``, in nats.
    posterior, prior : Distribution
        q(z | x) and p(z) of the example, batch shape (1,).
    at : Points
        Those of ``posterior``.
    clock : Clock, optional
        For schedules; without one they are at their end.

    Returns
    -------
    Tensor, shape ()
        Differentiable in everything that q, the prior and log_px depend on.

    Raises
    ------
    InputError
        If there are more than four million tuples, or draws depend on each other.
    """
    if not objective.separate:
        raise InputError(
            f"objective {objective.kind} ties the draws of an example to each other, and has no exact value here; take "
            f"objective.free_nats=0"
        )
    terms = Terms(log_px[:, None], at.z[:, None], posterior, prior)
    cost = objective.cost(terms, clock or Clock.at_end(log_px.device)).expand(len(log_px), 1)[:, 0]
    weight = at.weight * (terms.log_q - terms.log_q.detach()).exp()[:, 0]
    averages = type(objective).combine is Objective.combine
    picked = _tuples(len(cost), 1 if averages else objective.samples)
    return (weight[picked].prod(1) * objective.combine(cost[picked].T)).sum()


def _standard(nodes: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (m, d) and weights (m,) that average a function under N(0, I), d being that of ``like`` (1, d)."""
    at_least("nodes", nodes, 1)
    node, weight = (torch.from_numpy(part).to(like) for part in np.polynomial.hermite_e.hermegauss(nodes))
    picked = _tuples(nodes, like.shape[1])
    return node[picked], (weight / math.sqrt(2 * math.pi))[picked].prod(1)


def _tuples(of: int, k: int) -> Tensor:
    """All k-tuples of the numbers below ``of``, in order, shape (of**k, k)."""
    if of**k > MOST:
        raise InputError(
            f"an exact sum over {of}^{k} codes or tuples of codes is too long, the most is {MOST:,}; take a smaller "
            f"latent.size or objective.samples, or fewer nodes"
        )
    return torch.cartesian_prod(*[torch.arange(of)] * k).view(-1, k)
