"""Gaussian codes: the variational autoencoder's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import softplus

from narrows.axes import Latent
from narrows.distributions import SHIFT, SMALLEST_SCALE, DiagonalNormal, FullNormal
from narrows.errors import at_least
from narrows.latents.priors import Prior, Standard
from narrows.parts import Part

STANDARD = Standard()  # stands for one of the latent's own


class Gaussian(Latent, kind="gaussian"):
    """q(z | x) = N(mu(x), diag(sigma(x)^2)), p(z) = N(0, I) unless another is chosen (Kingma and Welling 2014).

    Under N(0, I) KL(q || p) = 1/2 sum_j (mu_j^2 + sigma_j^2 - 1 - ln sigma_j^2) nats (their appendix B); under a
    learned prior it is estimated, one draw's log q(z | x) - log p(z). The encoder gives mu and s; sigma =
    softplus(s + 0.54) + 1e-4, which is 1 at s = 0 and cannot overflow.

    Parameters
    ----------
    size : int
        Numbers in one code.
    prior : Prior
        p(z): standard, or one that is learned, mixture, vamp or flow.
    """

    random = True
    remedy = (
        "the divergence outweighs what they would tell: lower objective.beta, set objective.warm_up=0.3, or take fewer"
    )

    prior: Prior

    def __init__(self, size: int = 16, prior: Prior = STANDARD) -> None:
        super().__init__()
        at_least("latent.size", size, 1)
        self.size = size
        self.prior = Standard() if prior is STANDARD else prior
        self.prior.size = size

    @property
    def n_params(self) -> int:
        """Mean and scale of each number."""
        return 2 * self.size

    @property
    def learned(self) -> bool:
        """Whether the prior has weights."""
        return self.prior.learned

    @property
    def splits(self) -> bool:
        """Whether the prior is one of independent numbers."""
        return self.prior.splits

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make the weights of the prior."""
        self.prior.build(seen_shape)

    def start(self, seen: Callable[[], Tensor]) -> None:
        """Let the prior take its first weights from training rows."""
        self.prior.start(seen)

    def posterior(self, h: Tensor) -> Distribution:
        """N(mu, sigma^2) from h (n, 2 * size)."""
        mean, s = h.chunk(2, dim=1)
        return DiagonalNormal(mean, softplus(s + SHIFT).add_(SMALLEST_SCALE))

    def prior_given(self, encode: Callable[[Tensor], Distribution], n: int, device: torch.device) -> Distribution:
        """Return the prior for n examples."""
        return self.prior.given(encode, n, device)

    def source(
        self, encode: Callable[[Tensor], Distribution], n: int, device: torch.device, label: str | None = None
    ) -> Distribution:
        """Return the prior for n examples, or that of one class."""
        return self.prior_given(encode, n, device) if label is None else self.prior.of_class(label, n)

    def under(self, prior: Part) -> Gaussian:
        """Return such codes under another prior."""
        return self.fresh(prior=prior)


class FullGaussian(Gaussian, kind="full-gaussian"):
    """q(z | x) = N(mu(x), P(x)^-1), p(z) = N(0, I) or learned: gaussian codes whose numbers depend on each other.

    What a row with gaps says of its code ties the numbers of the code together, and with them the cells that are
    filled from it; independent numbers cannot say so. The encoder gives mu and the Cholesky factor L of the precision
    P = L L^T. Under N(0, I) KL(q || p) = 1/2 (tr P^-1 + |mu|^2 - d) + sum_j ln L_jj nats. A step costs d^3 / 3
    products a row.

    Parameters
    ----------
    size : int
        Numbers in one code.
    prior : Prior
        p(z): standard, or one that is learned, mixture, vamp or flow.
    """

    full = True
    splits = False  # its numbers depend on each other

    @property
    def n_params(self) -> int:
        """Mean of each number, and the factor's lower triangle."""
        return self.size + self.size * (self.size + 1) // 2

    def posterior(self, h: Tensor) -> Distribution:
        """N(mu, (L L^T)^-1) from h; see `FullNormal.of`."""
        return FullNormal.of(h, self.size)
