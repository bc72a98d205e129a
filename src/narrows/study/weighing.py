"""How many draws ln p(x) takes, by where they come from: the prior, or an encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows.model import Model
from narrows.noise import Noise
from narrows.sampling import sample
from narrows.values import Batch

DRAWS = 8192  # of each example
AT_ONCE = 1024
KS = tuple(2**i for i in range(0, 11, 2))
COMPONENTS = (1, 2, 4, 8, 16, 32)
COMPONENT_DRAWS = 1024


@dataclass(frozen=True)
class Estimate:
    """How far the logarithm of a mean of k weights is from ln p(x), over many repeats and some examples.

    Parameters
    ----------
    proposal : str
        Where the codes were drawn from.
    draws : int
        How many, k.
    mean_error_nats, deviation_nats : float
        Mean of the error, and root mean square over examples of its standard deviation.
    """

    proposal: str
    draws: int
    mean_error_nats: float
    deviation_nats: float


@dataclass(frozen=True)
class Reach:
    """What the prior's draws come to in a linear model of so many codes, whose ln p(x) has a closed form.

    Parameters
    ----------
    components : int
        Numbers in a code.
    from_prior_nats : float
        Mean KL(p(z | x) || p(z)).
    draws : int
        Draws from the prior for each example.
    mean_error_nats : float
        Mean of the logarithm of their mean weight, less ln p(x).
    """

    components: int
    from_prior_nats: float
    draws: int
    mean_error_nats: float


@torch.no_grad()
def estimates(model: Model, batch: Batch, log_px: Tensor, seed: int) -> list[Estimate]:
    """Weigh draws from the prior and from the encoder: ln 1/k sum_i p(x, z_i) / r(z_i), r where they come from."""
    q, prior = model.posterior(batch.seen), model.prior(len(batch.x))
    rows = []
    for name, proposal in {"prior p(z)": prior, "encoder q(z | x)": q}.items():
        log_w = log_weights(model, batch, proposal, Noise(seed))
        for k in KS:
            error = log_w.view(-1, k, len(batch.x)).logsumexp(1) - math.log(k) - log_px
            deviation = error.var(0).mean().sqrt()
            rows.append(Estimate(name, k, float(error.mean()), float(deviation)))
    return rows


def log_weights(model: Model, batch: Batch, proposal: Distribution, noise: Noise) -> Tensor:
    """Log weights ln p(x, z) / r(z) of draws from a proposal r, (DRAWS, n)."""
    prior, parts = model.prior(len(batch.x)), []
    for _ in range(DRAWS // AT_ONCE):
        z = sample(proposal, AT_ONCE, noise).double()
        parts.append(model.decode(z).log_prob(batch.x) + prior.log_prob(z) - proposal.log_prob(z))
    return torch.cat(parts)


def reaches(training: np.ndarray, examples: np.ndarray, seed: int) -> list[Reach]:
    """Draw from the prior of probabilistic principal components (Tipping and Bishop 1999), d = 1 to 32 of them.

    x = mu + W z + noise with W = U (L - s^2)^(1/2): U the first d eigenvectors of the covariance, L their eigenvalues,
    s^2 the mean of the others. In the coordinates y = U^T (x - mu) every code is on its own: y_j ~ N(0, l_j), and
    z_j | y_j ~ N(w_j y_j / l_j, s^2 / l_j), w_j^2 = l_j - s^2.

    Parameters
    ----------
    training, examples : array, shape (n, x)
        Rows whose covariance is taken, and rows that are weighed.
    seed : int
        Of the draws.
    """
    rows = training - training.mean(0)
    eigenvalues, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
    y = torch.from_numpy((examples - training.mean(0)) @ vectors[:, : max(COMPONENTS)])
    return [_reach(y[:, :d], torch.from_numpy(eigenvalues.copy()), d, seed) for d in COMPONENTS]


def _reach(y: Tensor, eigenvalues: Tensor, d: int, seed: int) -> Reach:
    variance, noise = eigenvalues[:d], eigenvalues[d:].mean()
    loading = (variance - noise).sqrt()
    mean, spread = y * loading / variance, noise / variance
    from_prior = 0.5 * (spread - 1 - spread.log() + mean.square()).sum(1)
    # The part of x outside of the components has the same density whatever the code is, and leaves the ratio alone.
    log_px = _log_normal(y, variance).sum(1)
    z = Noise(seed).normal((COMPONENT_DRAWS, 1, d), rows=1).double()
    log_w = torch.cat([_log_normal(row - loading * z[:, 0], noise).sum(1, keepdim=True) for row in y], 1)
    error = log_w.logsumexp(0) - math.log(COMPONENT_DRAWS) - log_px
    return Reach(d, float(from_prior.mean()), COMPONENT_DRAWS, float(error.mean()))


def _log_normal(x: Tensor, variance: Tensor) -> Tensor:
    """ln of the density of N(0, variance)."""
    return -0.5 * (x.square() / variance + variance.log() + math.log(2 * math.pi))


def needed(nats: float) -> float:
    """Draws of a proposal that a posterior so many nats away takes, about e^nats (Chatterjee and Diaconis 2018)."""
    return math.exp(nats)


def curve(rows: Sequence[Estimate], proposal: str) -> tuple[list[int], list[float]]:
    """Draws, and how far below ln p(x) their mean is, of one proposal."""
    own = [row for row in rows if row.proposal == proposal]
    return [row.draws for row in own], [-row.mean_error_nats for row in own]
