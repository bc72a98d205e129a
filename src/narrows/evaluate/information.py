"""How much a code tells of its example."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from narrows.inference import clean_input
from narrows.model import Model
from narrows.noise import Noise
from narrows.sampling import sample

ROWS_AT_ONCE = 250
NUMBERS_AT_ONCE = 8_000_000
MOST_ROWS = 2000


def mutual_information(model: Model, values: Tensor, seed: int = 0) -> float:
    """I_q(x; z) = E log q(z | x) / q(z), q(z) = 1/n sum_i q(z | x_i) over the n rows at hand, in nats.

    Of these n rows it is an estimate without bias, by one draw a row, of what a code tells of *which* of them it came
    from. Of the distribution that the rows came from it says too little on average, and never more than ln n: a row is
    itself one of the n that its code is compared with. Near ln n it says only that a code tells its row from all
    others. Above it stands the rate, as rate = I_q(x; z) + KL(q(z) || p(z)) (Hoffman and Johnson 2016, section 2), so
    that the marginal divergence, taken as their difference, is too large by as much as I is too small.

    Parameters
    ----------
    model : Model
        With a random latent.
    values : Tensor, shape (n, x)
        Raw rows; of more than 2,000 an evenly spaced choice, as the work grows with n^2.
    seed : int
        Of the draws.
    """
    values = values[chosen(len(values))]
    noise = Noise(seed, model.device)
    with torch.inference_mode():
        chunks = values.split(ROWS_AT_ONCE)
        z = torch.cat([sample(_posterior(model, raw), 1, noise)[0] for raw in chunks])
        marginal = z.new_full((len(z),), -math.inf, dtype=torch.float64)
        own = []
        for place, raw in enumerate(chunks):
            scores = _scores(model, raw, z)
            own.append(scores[place * ROWS_AT_ONCE :].diagonal())
            marginal = torch.logaddexp(marginal, scores.logsumexp(1))
        return float((torch.cat(own) - marginal).mean()) + math.log(len(z))


def chosen(n: int) -> Tensor:
    """Numbers of the rows that are looked at, of n: all, or an evenly spaced choice."""
    return torch.linspace(0, n - 1, min(n, MOST_ROWS), dtype=torch.float64).round().long()


def _posterior(model: Model, raw: Tensor) -> torch.distributions.Distribution:
    return model.posterior(clean_input(model, raw.to(model.device)))


def _scores(model: Model, raw: Tensor, z: Tensor) -> Tensor:
    """log q(z_i | x_j) of all codes (m, d) and some raw rows (n, x): (m, n), in float64."""
    q = _posterior(model, raw)
    at_once = max(1, NUMBERS_AT_ONCE // (len(raw) * z[0].numel()))
    parts = [q.log_prob(some[:, None].expand(-1, len(raw), *z.shape[1:])).double() for some in z.split(at_once)]
    return torch.cat(parts)
