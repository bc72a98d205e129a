"""The likelihood of counts."""

from __future__ import annotations

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution, Independent

from narrows.axes import Likelihood
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
        return (
            f"likelihood poisson scores counts 0, 1, 2, ..., and the data are {schema.describe()}; take "
            f"likelihood=gaussian, or say --values counts if they are counts"
        )

    def build(self, schema: Schema) -> None:
        """Take the number of axes of an example."""
        self.n_axes = len(schema.shape)

    def forward(self, params: Tensor) -> Distribution:
        """Log rates (k, n, 1, x) -> independent counts."""
        log_rate = LARGEST_LOG_RATE * torch.tanh(params.squeeze(2) / LARGEST_LOG_RATE)
        counts = distributions.Poisson(log_rate.exp(), validate_args=False)
        return Independent(counts, self.n_axes, validate_args=False)
