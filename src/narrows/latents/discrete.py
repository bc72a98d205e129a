"""Discrete codes: bits, and symbols from a small alphabet."""

from __future__ import annotations

import torch
from torch import Tensor, distributions
from torch.distributions import Distribution, Independent

from narrows.axes import Latent
from narrows.distributions import OneHot, one_hot
from narrows.errors import at_least


class Bernoulli(Latent, kind="bernoulli"):
    """Codes of independent bits: q(z_j = 1 | x) = sigmoid(h_j), p(z_j = 1) = 1/2.

    KL(q || p) = sum_j [q_j ln 2 q_j + (1 - q_j) ln 2 (1 - q_j)] nats, at most ln 2 a bit.

    Parameters
    ----------
    size : int
        Bits in one code.
    """

    instead = "latent=gaussian"  # in torch the divergence of discrete codes hangs on where a probability is 0
    random = True
    discrete = True

    def __init__(self, size: int = 16) -> None:
        super().__init__()
        at_least("latent.size", size, 1)
        self.size = size

    def posterior(self, h: Tensor) -> Distribution:
        """Bits with logits h (n, size)."""
        return Independent(distributions.Bernoulli(logits=h, validate_args=False), 1, validate_args=False)

    def code(self, posterior: Distribution) -> Tensor:
        """Return the likelier value of each bit."""
        return (posterior.mean > 0.5).to(posterior.mean.dtype)

    def prior(self, n: int, device: torch.device) -> Distribution:
        """Fair bits for n examples."""
        return self.posterior(torch.zeros((), device=device).expand(n, self.size))


class Categorical(Latent, kind="categorical"):
    """Codes of independent symbols, each one of ``categories``, written one-hot; the prior is uniform.

    KL(q || p) = sum_j [ln categories - H(q_j)] nats.

    Parameters
    ----------
    symbols : int
        Symbols in one code.
    categories : int
        Size of the alphabet.
    """

    instead = "latent=gaussian"  # in torch the divergence of discrete codes hangs on where a probability is 0
    random = True
    discrete = True

    def __init__(self, symbols: int = 8, categories: int = 8) -> None:
        super().__init__()
        at_least("latent.symbols", symbols, 1)
        at_least("latent.categories", categories, 2)
        self.symbols = symbols
        self.categories = categories
        self.size = symbols * categories

    def posterior(self, h: Tensor) -> Distribution:
        """Symbols with logits h (n, symbols * categories); a draw has shape (symbols, categories)."""
        logits = h.reshape(-1, self.symbols, self.categories)
        return Independent(OneHot(logits), 1, validate_args=False)

    def code(self, posterior: Distribution) -> Tensor:
        """Return the likeliest symbols, one-hot and side by side."""
        likeliest = posterior.mean.argmax(-1)
        return one_hot(likeliest, self.categories, posterior.mean.dtype).flatten(1)

    def prior(self, n: int, device: torch.device) -> Distribution:
        """Even symbols for n examples."""
        return self.posterior(torch.zeros((), device=device).expand(n, self.size))
