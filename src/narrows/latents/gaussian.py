"""Gaussian codes: the variational autoencoder's."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import softplus

from narrows.axes import Latent
from narrows.distributions import DiagonalNormal, StandardNormal
from narrows.errors import at_least

# softplus(h + SHIFT) is 1 at h = 0, so training starts where posterior and prior agree.
SHIFT = 0.5413248546129181
SMALLEST_SCALE = 1e-4


_prior = lru_cache(maxsize=64)(StandardNormal)  # it has no weights: one of each size serves all


class Gaussian(Latent, kind="gaussian"):
    """q(z | x) = N(mu(x), diag(sigma(x)^2)), p(z) = N(0, I) (Kingma and Welling 2014).

    KL(q || p) = 1/2 sum_j (mu_j^2 + sigma_j^2 - 1 - ln sigma_j^2) nats (their appendix B). The encoder gives mu and s;
    sigma = softplus(s + 0.54) + 1e-4, which is 1 at s = 0 and cannot overflow.

    Parameters
    ----------
    size : int
        Numbers in one code.
    """

    random = True
    remedy = (
        "the divergence outweighs what they would tell: lower objective.beta, set objective.warm_up=0.3, or take fewer"
    )

    def __init__(self, size: int = 16) -> None:
        super().__init__()
        at_least("latent.size", size, 1)
        self.size = size

    @property
    def n_params(self) -> int:
        """Mean and scale of each number."""
        return 2 * self.size

    def posterior(self, h: Tensor) -> Distribution:
        """N(mu, sigma^2) from h (n, 2 * size)."""
        mean, s = h.chunk(2, dim=1)
        return DiagonalNormal(mean, softplus(s + SHIFT).add_(SMALLEST_SCALE))

    def prior(self, n: int, device: torch.device) -> Distribution:
        """N(0, I) for n examples."""
        return _prior(n, self.size, device)
