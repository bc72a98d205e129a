"""The likelihood of counts."""

from __future__ import annotations

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution, Independent

from narrows.axes import Likelihood, usual_likelihood
from narrows.data.schema import Schema

LARGEST_LOG_RATE = 20.0


class Poisson(Likelihood, kind="poisson"):
    """Counts: log p(x | z) = sum_i [x_i ln r_i - r_i - ln x_i!] nats, ln r = the decoder's output.

    The log rate is bounded smoothly at 20 (half a billion).
    """

    def refuses(self, schema: Schema) -> str | None:
        """Values that are not whole numbers from 0."""
        if schema.step == 1 and schema.low == 0:
            return None
        say = "" if schema.columns else ", or say --values counts if they are counts"
        return (
            f"likelihood poisson scores counts 0, 1, 2, ..., and the data are {schema.describe()}; take "
            f"likelihood={usual_likelihood(schema)}{say}"
        )

    def build(self, schema: Schema) -> None:
        """Take the number of axes of an example."""
        self.n_axes = len(schema.shape)

    def forward(self, params: Tensor) -> Distribution:
        """Log rates (k, n, 1, x) -> independent counts."""
        return Independent(counts(params.squeeze(2)), self.n_axes, validate_args=False)


def counts(log_rate: Tensor) -> Distribution:
    """Poisson counts of such log rates, bounded."""
    bounded = LARGEST_LOG_RATE * torch.tanh(log_rate / LARGEST_LOG_RATE)
    return distributions.Poisson(bounded.exp(), validate_args=False)
