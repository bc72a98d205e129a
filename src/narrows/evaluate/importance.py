"""Log p(x) by importance sampling from q(z | x), and what the weights say of its error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.errors import InputError
from narrows.model import Model
from narrows.noise import Noise
from narrows.sampling import sample

NUMBERS_AT_ONCE = 1_000_000  # parameters of the likelihood
ROWS_AT_ONCE = 250


@dataclass(frozen=True)
class Weighed:
    """Log p(x) of many rows, each the log of a mean of weights.

    With relative variance v of a row's weights, k / effective = 1 + v, and to first order in 1 / k (the delta method)
    the log of their mean has variance v / k and lies v / 2k below log p(x) on average. Both are found from the weights
    themselves: where few draws are effective, weights that were never drawn are missing from both, and they say too
    little.

    Parameters
    ----------
    log_px : Tensor, shape (n,)
        In nats of the raw data, float64.
    effective : Tensor, shape (n,)
        Effective number of draws, (sum w)^2 / sum w^2.
    draws : int
        Draws k for each row.
    """

    log_px: Tensor
    effective: Tensor
    draws: int

    @property
    def mean(self) -> float:
        """Mean over rows, in nats."""
        return float(self.log_px.double().mean())

    @property
    def draws_error(self) -> float | None:
        """Standard error of the mean that comes of the draws alone, in nats; None for one draw, which has no spread."""
        return float(self._spread.sum().sqrt() / len(self.log_px)) if self.draws > 1 else None

    @property
    def bias(self) -> float | None:
        """How far the mean lies from that of log p(x) on average, in nats, never above 0; None for one draw."""
        return -0.5 * float(self._spread.mean()) if self.draws > 1 else None

    @property
    def _spread(self) -> Tensor:
        """Variance v / k of each row's figure, (n,)."""
        return (1 / self.effective.double() - 1 / self.draws).clamp_min(0)


def check_drawn(model: Model) -> None:
    """Raise `InputError` if codes are not drawn, so that there are no weights."""
    latent = model.latent
    if latent.random:
        return
    if latent.bounds:
        raise InputError(
            f"latent {latent.kind} has no code to draw, and its elbo is log p(x) itself; leave out the draws and the "
            f"annealing"
        )
    raise InputError(
        f"{latent.kind} codes have a price and no code length, so the model gives no log likelihood; leave out the "
        f"draws and the annealing, or train preset variational"
    )


def log_likelihood(model: Model, values: Tensor, draws: int, seed: int) -> Weighed:
    """Importance-sampled log p(x) of each raw row, with exactly ``draws`` draws (Burda et al. 2016, eq. 8).

    log 1/k sum_i p(x, z_i) / q(z_i | x): a lower bound on average, which closes as k grows.
    """
    noise = Noise(seed, model.device)
    numbers = math.prod(model.param_shape)
    rows = max(1, min(ROWS_AT_ONCE, NUMBERS_AT_ONCE // numbers))
    parts = []
    with torch.inference_mode():
        for raw in values.split(rows):
            batch = model.batch(raw.to(model.device), noise)
            q = model.posterior(batch.seen)
            prior = model.prior(len(raw))
            at_once = max(1, NUMBERS_AT_ONCE // (numbers * len(raw)))
            sums: list[Tensor] = []
            for start in range(0, draws, at_once):
                z = sample(q, min(at_once, draws - start), noise)
                log_w = model.decode(z).log_prob(batch.x) + prior.log_prob(z) - q.log_prob(z)
                sums.append(_sums(log_w))
            parts.append(_mean_and_effective(torch.logsumexp(torch.stack(sums), 0), draws).cpu())
    log_px, effective = torch.cat(parts, 1)
    return Weighed(log_px + model.transform.log_dets(values), effective, draws)


def weigh(log_w: Tensor) -> Tensor:
    """Log of the mean weight, and effective number of draws, (2, n), from the log weights (k, n)."""
    return _mean_and_effective(_sums(log_w), len(log_w))


def _sums(log_w: Tensor) -> Tensor:
    """Log of the sum of the weights and of their squares, (2, n), in float64."""
    log_w = log_w.double()
    return torch.stack([torch.logsumexp(log_w, 0), torch.logsumexp(2 * log_w, 0)])


def _mean_and_effective(sums: Tensor, draws: int) -> Tensor:
    """Log of the mean weight, and effective number of draws, (2, n), from the logs of the sums."""
    first, second = sums
    return torch.stack([first - math.log(draws), (2 * first - second).exp()])
