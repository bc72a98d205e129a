"""The divergence taken apart: what a code tells of its example, and how its numbers hang together."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows.axes import Latent, Objective
from narrows.errors import at_least
from narrows.values import Clock, Terms

NUMBERS_AT_ONCE = 4_000_000


class Divergence(NamedTuple):
    """The three parts of each draw's log q(z | x) - log p(z), in nats, each (k, n).

    Attributes
    ----------
    information : Tensor
        log q(z | x) - log q(z): on average the mutual information of code and example.
    correlation : Tensor
        log q(z) - sum_j log q(z_j): the total correlation, how far the numbers of a code are from independent.
    marginal : Tensor
        sum_j log q(z_j) - log p(z): how far each number, over all examples, is from its prior.
    """

    information: Tensor
    correlation: Tensor
    marginal: Tensor


class TotalCorrelation(Objective, kind="total-correlation"):
    """Minus the elbo, and a price on codes whose numbers hang together: the beta-TC-VAE (Chen et al. 2018, eq. 4).

    -log p(x | z) + KL(q(z | x) || p(z)) + (beta - 1) TC, with TC = KL(q(z) || prod_j q(z_j)), q(z) the mean posterior
    of all examples. Unlike a weight on the whole KL it does not make the code forget its example. With beta = 1 it is
    the elbo; with beta > 1, TC being no less than 0, a bound on the mean log p(x), but for the error of its estimate.

    log q(z) comes from the batch by stratified weights (Chen et al. 2018, appendix C.2): the example's own posterior
    counts for 1 / N, N training rows, and the others of the batch for (N - 1) / N together. That estimate of q(z) is
    unbiased, its logarithm is not: too low, by less the larger the batch.

    Parameters
    ----------
    beta : float
        Weight of the total correlation.
    samples : int
        Codes drawn for each example.
    """

    besides = "price of the total correlation"

    rows: Tensor

    def __init__(self, beta: float = 4.0, samples: int = 1) -> None:
        super().__init__()
        at_least("objective.beta", beta, 0)
        at_least("objective.samples", samples, 1)
        self.beta = beta
        self.samples = samples
        self.register_buffer("rows", torch.zeros((), dtype=torch.int64))

    @property
    def compares(self) -> bool:
        """Always: q(z) comes from the whole batch."""
        return True

    @property
    def by_unit(self) -> bool:
        """Always."""
        return True

    def adapt(self, rows: int) -> None:
        """Take the number N of training rows; a stream has none, and each batch then stands for all of them."""
        self.rows.fill_(rows)

    def cost(self, terms: Terms, clock: Clock) -> Tensor:
        """Distortion, divergence, and the weighted total correlation of each draw, (k, n)."""
        return terms.kl - terms.log_px + (self.beta - 1) * self.parts(terms).correlation

    def parts(self, terms: Terms) -> Divergence:
        """Take the divergence of each draw apart; the three add up to ``terms.log_ratio``."""
        whole, by_unit = self._aggregate(terms.posterior, terms.z)
        log_prior = terms.log_q - terms.log_ratio
        return Divergence(terms.log_q - whole, whole - by_unit, by_unit - log_prior)

    def refuses_latent(self, latent: Latent) -> str | None:
        """Codes that are not drawn, or whose divergence is no sum over units."""
        if latent.random and latent.splits:
            return super().refuses_latent(latent)
        return (
            f"objective {self.kind} takes the divergence apart unit by unit, and that of {latent.kind} codes with this "
            f"prior does not split; take latent=gaussian with latent.prior=standard, or objective=elbo"
        )

    def _aggregate(self, q: Distribution, z: Tensor) -> tuple[Tensor, Tensor]:
        """log q(z) and sum_j log q(z_j) of each draw, both (k, n)."""
        units, n = q.base_dist, z.shape[1]  # type: ignore[attr-defined]
        log_weights = self._log_weights(n, z)
        at_once = max(1, NUMBERS_AT_ONCE // z[0].numel())
        wholes, sums = [], []
        own = torch.arange(n, device=z.device).expand(len(z), n).reshape(-1)
        for codes, places in zip(z.flatten(0, 1).split(at_once), own.split(at_once), strict=True):
            # Every code under every posterior, (m, n, d).
            log_q = units.log_prob(codes[:, None])
            weights = log_weights[places]
            wholes.append(torch.logsumexp(log_q.sum(-1) + weights, 1))
            sums.append(torch.logsumexp(log_q + weights[..., None], 1).sum(-1))
        return torch.cat(wholes).view(-1, n), torch.cat(sums).view(-1, n)

    def _log_weights(self, n: int, like: Tensor) -> Tensor:
        """Log of what each posterior of a batch counts for in q(z), for the code of each example, (n, n)."""
        if n == 1:
            return like.new_zeros(1, 1)
        rows = self.rows.clamp_min(n).to(like.dtype)
        others = torch.log((rows - 1) / rows) - math.log(n - 1)
        return others.expand(n, n).diagonal_scatter((-rows.log()).expand(n))
