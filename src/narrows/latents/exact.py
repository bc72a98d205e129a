"""Deterministic codes whose every number tells something. Their "KL" is the price they declare."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows import distributions
from narrows.axes import ACTIVE_VARIANCE, Latent
from narrows.control import Control
from narrows.distributions import Flat
from narrows.errors import InputError, at_least, at_most
from narrows.latents.priors import Prior
from narrows.parts import Part
from narrows.values import Finding
from narrows.workers import batch_mean

TOLERANCE = 0.1
SPEED = 0.01


class Exact(Latent):
    """Codes that are a function of the input: no prior, no draw."""

    def prior(self, n: int, device: torch.device) -> Distribution:
        """Return the flat prior: nothing is known of a deterministic code beforehand."""
        return Flat(n, (self.size,))

    def used(self, codes: Tensor) -> Tensor:
        """Whether each unit's variance is above a hundredth of the largest: plain codes have no scale of their own."""
        spread = codes.var(0)
        return spread > ACTIVE_VARIANCE * spread.max()


class Point(Exact, kind="point"):
    """The plain code of the basic autoencoder: z = h, at no price (Hinton and Salakhutdinov 2006).

    Such codes have no prior, so that none can be drawn. Once training is over, a density may be fitted to the codes of
    the training rows and new ones drawn from it (Ghosh et al. 2020); it prices nothing and bounds nothing.

    Parameters
    ----------
    size : int
        Numbers in one code.
    density : Prior, optional
        What new codes are drawn from; see `narrows.generation.fit_prior`.
    """

    free = True

    def __init__(self, size: int = 16, density: Prior | None = None) -> None:
        super().__init__()
        at_least("latent.size", size, 1)
        self.size = size
        self.density = density
        if density is not None:
            density.size = size

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make the weights of the density, if there is one."""
        if self.density is not None:
            self.density.build(seen_shape)

    def start(self, seen: Callable[[], Tensor]) -> None:
        """Raise, where there is a density: no step of training would move it."""
        if self.density is not None:
            raise InputError(
                "latent.density was given for training, and is fitted afterwards: leave it out, and take narrows "
                "fit-prior"
            )

    def posterior(self, h: Tensor) -> Distribution:
        """All mass at h (n, size)."""
        return distributions.Point(h, h.new_zeros(h.shape[0]))

    def source(
        self, encode: Callable[[Tensor], Distribution], n: int, device: torch.device, label: str | None = None
    ) -> Distribution:
        """Return the density for n examples, or that of one class."""
        if self.density is None:
            raise InputError(
                "point codes have no distribution to draw new ones from; fit one with narrows fit-prior, or train "
                "preset variational"
            )
        return self.density.given(encode, n, device) if label is None else self.density.of_class(label, n)

    def under(self, prior: Part) -> Point:
        """Return such codes with a density."""
        return self.fresh(density=prior)


class Sphere(Exact, kind="sphere"):
    """Codes of one length, at no price: z = sqrt(d) h / |h|. What a code tells is a direction.

    For rows that differ in a size which tells nothing, such as cells of which more or fewer molecules were counted:
    near codes are then near by the angle between them, as in correlation.

    Parameters
    ----------
    size : int
        Numbers d in one code, at least 2.
    """

    free = True

    def __init__(self, size: int = 16) -> None:
        super().__init__()
        at_least("latent.size", size, 2)
        self.size = size

    def posterior(self, h: Tensor) -> Distribution:
        """All mass at h (n, size), brought to the sphere of radius sqrt(size)."""
        z = math.sqrt(self.size) * torch.nn.functional.normalize(h)
        return distributions.Point(z, h.new_zeros(h.shape[0]))


class Nothing(Exact, kind="none"):
    """No code at all, at no price: what is left is the likelihood alone, and minus the elbo is exactly -ln p(x).

    For likelihoods that tell cells from each other; under the others every row would be told alike.
    """

    size = 0

    def posterior(self, h: Tensor) -> Distribution:
        """All mass at the empty code."""
        return distributions.Point(h, h.new_zeros(h.shape[0]))

    def used(self, codes: Tensor) -> Tensor:
        """Nothing, of no unit."""
        return torch.zeros(0, dtype=torch.bool)


class Whole(Exact, kind="whole"):
    """All that is seen, as it is, at no price: for networks that are no bottleneck, such as u-net.

    It has as many numbers as an example has cells, and bounds nothing: where all is seen, nothing is told.
    """

    size = 0  # until it is known what is seen
    whole = True

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Take the number of cells."""
        self.size = math.prod(seen_shape)

    @property
    def bounds(self) -> bool:
        """Never."""
        return False

    def diagnose(self, used: Tensor) -> Iterator[Finding]:
        """Say nothing: cells of the data that never change are no units that one could leave out."""
        yield from ()

    def posterior(self, h: Tensor) -> Distribution:
        """All mass at h (n, size)."""
        return distributions.Point(h, h.new_zeros(h.shape[0]))


class KlSparse(Exact, kind="kl-sparse"):
    """Codes in (0, 1) whose mean use is held near a target: z = sigmoid(h).

    The price of every example is ``weight * sum_j [rho ln(rho / r_j) + (1 - rho) ln((1 - rho) / (1 - r_j))]``, where
    r_j is the running mean of unit j (Ng 2011, CS294A notes, section 3). The mean runs over batches, so that the
    price means the same for a full batch and for one example at a time.

    Where no weight is given, a multiplier finds it: the root mean square of the units' relative distances from the
    target is held at a tenth, or what is the same, the mean divergence of a unit at that of 0.9 rho from rho.

    Parameters
    ----------
    size : int
        Numbers in one code.
    rho : float
        Target of the mean use of a unit, in (0, 1).
    weight : float or None
        Weight of the penalty; None for one that holds the target.
    momentum : float
        Share of the newest batch in the running mean, in (0, 1].
    """

    use: Tensor
    remedy = "take a larger latent.rho, or train longer"

    def __init__(self, size: int = 16, rho: float = 0.1, weight: float | None = None, momentum: float = 0.1) -> None:
        super().__init__()
        at_least("latent.size", size, 1)
        at_least("latent.rho", rho, 0, above=True)
        at_most("latent.rho", rho, 0.999)
        if weight is not None:
            at_least("latent.weight", weight, 0)
        at_least("latent.momentum", momentum, 0, above=True)
        at_most("latent.momentum", momentum, 1)
        self.size = size
        self.rho = rho
        self.weight = weight
        self.momentum = momentum
        self.control = Control(SPEED) if weight is None else None
        missed = rho * math.log(1 / (1 - TOLERANCE)) + (1 - rho) * math.log((1 - rho) / (1 - (1 - TOLERANCE) * rho))
        self.allowed = size * missed
        self.register_buffer("use", torch.full((size,), rho))

    def posterior(self, h: Tensor) -> Distribution:
        """All mass at sigmoid(h); in training the running mean moves on."""
        z = h.sigmoid()
        use = self.use
        if self.training:
            batch = z.mean(0)
            self.use.lerp_(batch_mean(batch), self.momentum)
            # The value is the running mean, the gradient that of the batch's own mean: an example's pull on the
            # average does not depend on the momentum.
            use = self.use + (batch - batch.detach())
        use = use.clamp(1e-6, 1 - 1e-6)
        apart = self._from_target(use).sum()
        if self.weight is not None:
            return distributions.Point(z, (self.weight * apart).expand(h.shape[0]))
        assert self.control is not None
        # The divergence is quadratic near the target, so this is the relative distance over the one allowed, less 1.
        # At the target rounding may leave a divergence below 0.
        error = (apart.detach() / self.allowed).clamp_min(0.0).sqrt() - 1
        return distributions.Point(z, self.control(apart, error).expand(h.shape[0]))

    def _from_target(self, use: Tensor) -> Tensor:
        """KL of the target from a use, of one unit or each."""
        rho = self.rho
        return rho * (math.log(rho) - use.log()) + (1 - rho) * (math.log1p(-rho) - torch.log1p(-use))

    def used(self, codes: Tensor) -> Tensor:
        """Whether each unit reaches a tenth of its target at least once."""
        return (codes > self.rho / 10).any(0)
