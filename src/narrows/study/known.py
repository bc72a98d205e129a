"""Models so small that log p(x) and the posterior p(z | x) are known: codes of a few bits, or of one number."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows.distributions import divergence
from narrows.model import Model
from narrows.values import Batch

REACH = 8.0  # standard deviations of the prior; beyond lies 1e-15 of it
NODES = 1001
OWN_NODES = 401


class Codes(Protocol):
    """Codes that a sum over all codes runs over.

    Attributes
    ----------
    codes : Tensor, shape (m, d)
        The codes, in float64.
    log_volume : float
        ln of the volume that each one stands for: the integral of f over codes is the sum of f times it.
    """

    codes: Tensor
    log_volume: float

    def under(self, q: Distribution) -> tuple[Tensor, Tensor]:
        """Codes (m, n, d) and weights (m, n) whose weighted sums are expectations under q(z | x) of n examples."""
        ...


class EveryCode:
    """All 2^d codes of d bits: a sum over them is exact.

    Parameters
    ----------
    size : int
        Bits in a code.
    """

    log_volume = 0.0

    def __init__(self, size: int) -> None:
        self.codes = torch.tensor(list(itertools.product((0.0, 1.0), repeat=size)), dtype=torch.float64)

    def under(self, q: Distribution) -> tuple[Tensor, Tensor]:
        """Every code, weighted by its probability."""
        z = self.codes[:, None].expand(-1, *q.batch_shape, -1)
        return z, q.log_prob(z).exp()


class Line:
    """Even steps over all codes of one number, for sums by the trapezoidal rule.

    For a smooth density of standard deviation s its error falls like exp(-2 (pi s / step)^2) (Trefethen and Weideman
    2014): with a step of 0.016 nothing is left of it at s = 0.02.

    Parameters
    ----------
    nodes : int
        How many.
    """

    def __init__(self, nodes: int = NODES) -> None:
        self.codes = torch.linspace(-REACH, REACH, nodes, dtype=torch.float64)[:, None]
        self.log_volume = math.log(2 * REACH / (nodes - 1))

    def under(self, q: Distribution) -> tuple[Tensor, Tensor]:
        """Even steps of its own over each q, which know nothing of those over all codes."""
        nodes = torch.linspace(-REACH, REACH, OWN_NODES, dtype=torch.float64)
        weights = torch.softmax(-0.5 * nodes.square(), 0)
        return q.mean + q.variance.sqrt() * nodes[:, None, None], weights[:, None].expand(-1, *q.batch_shape)


@dataclass(frozen=True)
class Known:
    """Of n examples, all in nats.

    Parameters
    ----------
    log_px : Tensor, shape (n,)
        ln p(x) = ln sum_z p(x | z) p(z).
    elbo : Tensor, shape (n,)
        E_q[ln p(x | z)] - KL(q(z | x) || p(z)), by other nodes than those of the sums.
    gap : Tensor, shape (n,)
        KL(q(z | x) || p(z | x)).
    from_prior : Tensor, shape (n,)
        KL(p(z | x) || p(z)).
    log_posterior, log_q : Tensor, shape (m, n)
        ln of the mass that each code has under p(z | x) and q(z | x).
    """

    log_px: Tensor
    elbo: Tensor
    gap: Tensor
    from_prior: Tensor
    log_posterior: Tensor
    log_q: Tensor


@torch.no_grad()
def known(model: Model, batch: Batch, over: Codes) -> Known:
    """Sum over all codes.

    Parameters
    ----------
    model : Model
        In float64, with a gaussian code of one number or few bits.
    batch : Batch
        Examples.
    over : Codes
        What the sums run over.
    """
    n, z = len(batch.x), over.codes[:, None]
    p, q = model.decode(z), model.posterior(batch.seen)
    log_prior = model.prior(1).log_prob(z) + over.log_volume
    joint = torch.cat([p.log_prob(x[None]) for x in batch.x], 1) + log_prior
    log_px = joint.logsumexp(0)
    log_posterior = joint - log_px
    log_q = q.log_prob(z.expand(-1, n, -1)) + over.log_volume
    nodes, weights = over.under(q)
    rate = divergence(q, model.prior(n))
    assert rate is not None
    return Known(
        log_px=log_px,
        elbo=(weights * model.decode(nodes).log_prob(batch.x)).sum(0) - rate,
        gap=relative(log_q, log_posterior),
        from_prior=relative(log_posterior, log_prior),
        log_posterior=log_posterior,
        log_q=log_q,
    )


def relative(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) of masses (m, n), given as logarithms: (n,)."""
    return (log_p.exp() * (log_p - log_q)).sum(0)
