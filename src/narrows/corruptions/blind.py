"""Learning from noisy examples alone: what is scored must not be what was seen of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows.axes import Corruption, Latent, Likelihood
from narrows.corruptions.hiding import check_rate
from narrows.corruptions.noisy import unit
from narrows.data.schema import Schema
from narrows.errors import at_least
from narrows.noise import Noise
from narrows.values import Batch
from narrows.workers import whole

STEP = 1e-2  # of the second look, in units of the data's standard deviation: small beside what a network sees as other


class BlindSpot(Corruption, kind="blind-spot"):
    """Pixels that are scored without having been seen: noise that is independent from pixel to pixel cannot be learnt.

    Each pixel is hidden with probability ``rate``: one near it takes its place, and it alone is scored. If noise has
    mean 0, whatever its law, and no pixel's tells of another's, what predicts it best from the others is the clean
    image's mean given these (Noise2Void, Krull et al. 2019; Batson and Royer 2019, proposition 1).

    Parameters
    ----------
    rate : float
        Share of pixels that are hidden.
    reach : int
        The one that takes its place is at most so many rows and columns away.
    """

    def __init__(self, rate: float = 0.05, reach: int = 2) -> None:
        super().__init__()
        check_rate(rate)
        at_least("corruption.rate", rate, 0, above=True)
        at_least("corruption.reach", reach, 1)
        self.rate = rate
        self.reach = reach

    def refuses(self, schema: Schema) -> str | None:
        """Tables have no neighbours to take a cell's place."""
        if schema.is_image:
            return None
        return (
            f"corruption blind-spot puts a pixel in the place of its neighbour, and the data are {schema.describe()}; "
            f"take corruption=mask"
        )

    def refuses_likelihood(self, likelihood: Likelihood) -> str | None:
        """Those that score no single cells."""
        return None if likelihood.cellwise else _wants_gaussian(self, likelihood, "scores single pixels")

    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Hide pixels, and have them scored."""
        seen = batch.seen
        one_plane = (len(seen), 1, *seen.shape[2:])
        hidden = noise.uniform(one_plane, rows=0) < self.rate
        shown = torch.where(hidden, self._near(seen, one_plane, noise), seen)
        return dataclasses.replace(batch, seen=shown, scored=hidden.expand(seen.shape))

    def score(self, p: Any, batch: Batch, again: Callable[[Tensor], Distribution], noise: Noise) -> Tensor:
        """Nats (k, n) of the hidden pixels."""
        nats: Tensor = p.log_prob_of(batch.x, batch.scored)
        return nats

    def _near(self, seen: Tensor, plane: tuple[int, ...], noise: Noise) -> Tensor:
        """For each pixel one near it, and never itself; beyond the border the image goes on as in a mirror."""
        n, _, height, width = plane
        side = 2 * self.reach + 1
        place = (noise.uniform(plane, rows=0) * (side**2 - 1)).long().clamp_max(side**2 - 2)
        place = place + (place >= side**2 // 2)  # the middle one is left out
        rows = _mirrored(torch.arange(height, device=seen.device)[:, None] + place // side - self.reach, height)
        columns = _mirrored(torch.arange(width, device=seen.device) + place % side - self.reach, width)
        at = (rows * width + columns).flatten(2).expand(n, seen.shape[1], -1)
        return seen.flatten(2).gather(2, at).view(seen.shape)


class _KnownNoise(Corruption):
    """For examples that hold gaussian noise of a strength that is known, or told from themselves.

    Parameters
    ----------
    sigma : float or None
        Standard deviation of the noise in the examples, in units of their standard deviation; of images, None tells it
        from each batch, see `noise_level`.
    raw : bool
        Whether ``sigma`` is in the unit of the raw data instead, such as levels of an image.
    """

    sigma: float | None
    raw: bool

    def refuses(self, schema: Schema) -> str | None:
        """Mixed tables, whose columns have no unit in common, and tables where the noise is to be told from images."""
        if schema.columns is None and (schema.is_image or self.sigma is not None):
            return None
        wanted = (
            "gaussian noise in one unit" if self.sigma is not None else "images, to tell from them how noisy they are"
        )
        way_out = "corruption=mask" if schema.columns is not None else "corruption.sigma=0.3"
        return f"corruption {self.kind} wants {wanted}, and the data are {schema.describe()}; take {way_out}"

    def refuses_likelihood(self, likelihood: Likelihood) -> str | None:
        """Those that score values on a grid, on which no noise lies."""
        return _wants_gaussian(self, likelihood, "scores values between the levels") if likelihood.grid else None

    def level(self, batch: Batch) -> Tensor:
        """Standard deviation of the noise in what is seen, broadcastable to it."""
        if self.sigma is None:
            return noise_level(batch.seen)
        return self.sigma * (unit(batch) if self.raw else batch.seen.new_ones(()))


class Recorrupted(_KnownNoise, kind="recorrupted"):
    """More noise to what is seen, and of the opposite sign to what is scored, so that neither's tells of the other's.

    Of y = x + sigma e, e ~ N(0, I), and u ~ N(0, I): y + alpha sigma u and y - sigma u / alpha have independent noise,
    so that the squared error of the second, told from the first, is on average that of x, but for a constant (Pang et
    al. 2021, theorem 1). ``sigma`` must be that of the noise, and the examples must not be clipped.

    What is scored has 1 + 1 / alpha^2 times the noise's variance, of which the mean with -u in the place of u takes out
    the second part, but for what the network's bends leave of it: an antithetic pair, as in Hammersley and Morton 1956.
    So alpha may be small, and what is seen hardly noisier than it is in use. The network is shown each example twice.

    Parameters
    ----------
    sigma : float or None
        Standard deviation of the noise in the examples, in units of their standard deviation; of images, None tells it
        from each batch.
    alpha : float
        How much noise is added, by that which is there.
    antithetic : bool
        Whether each draw of that noise is taken with its negative; without, an alpha near 0.5 does best.
    raw : bool
        Whether ``sigma`` is in the unit of the raw data instead, such as levels of an image.
    """

    def __init__(
        self, sigma: float | None = 0.3, alpha: float = 0.3, antithetic: bool = True, raw: bool = False
    ) -> None:
        super().__init__()
        at_least("corruption.sigma", sigma or 0.0, 0)
        at_least("corruption.alpha", alpha, 0, above=True)
        self.sigma = sigma
        self.alpha = alpha
        self.antithetic = self.differences = antithetic
        self.raw = raw

    def refuses_latent(self, latent: Latent) -> str | None:
        """Codes that are drawn, which would differ between the two looks of a pair."""
        return (
            _drawn_apart(self, latent, "corruption.antithetic=false corruption.alpha=0.5") if self.antithetic else None
        )

    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Add noise to what is seen, and take it from what is scored."""
        drawn = noise.normal(batch.seen.shape, rows=0) * self.level(batch)
        seen, x = batch.seen + self.alpha * drawn, batch.x - drawn / self.alpha
        return dataclasses.replace(batch, seen=seen, x=x)

    def score(self, p: Any, batch: Batch, again: Callable[[Tensor], Distribution], noise: Noise) -> Tensor:
        """Nats (k, n) under the noise added, or their mean with those under its negative."""
        nats: Tensor = p.log_prob(batch.x)
        if not self.antithetic:
            return nats
        drawn = (batch.seen - batch.x) / (self.alpha + 1 / self.alpha)
        seen, x = batch.seen - 2 * self.alpha * drawn, batch.x + 2 * drawn / self.alpha
        return (nats + again(seen).log_prob(x)) / 2


class Sure(_KnownNoise, kind="sure"):
    """Stein's unbiased risk estimate: what the squared error from the clean example would be, from the noisy one.

    Of y = x + sigma e, e ~ N(0, I), and f with weak derivatives, E |f(y) - x|^2 = E [|f(y) - y|^2 + 2 sigma^2 div f(y)]
    - n sigma^2 (Stein 1981), and div f(y) = E [b . (f(y + t b) - f(y)) / t], the numbers of b -1 or 1, for small t
    (Ramani et al. 2008, theorem 2). It shows the network each example twice; ``sigma`` must be that of the noise.

    Parameters
    ----------
    sigma : float or None
        Standard deviation of the noise in the examples, in units of their standard deviation; of images, None tells it
        from each batch.
    raw : bool
        Whether ``sigma`` is in the unit of the raw data instead, such as levels of an image.
    """

    differences = True

    def __init__(self, sigma: float | None = 0.3, raw: bool = False) -> None:
        super().__init__()
        at_least("corruption.sigma", sigma or 0.0, 0)
        self.sigma = sigma
        self.raw = raw

    def refuses_latent(self, latent: Latent) -> str | None:
        """Codes that are drawn, which would differ between the two looks."""
        return _drawn_apart(self, latent, "corruption=recorrupted corruption.antithetic=false")

    def refuses_likelihood(self, likelihood: Likelihood) -> str | None:
        """Those that cannot tell what a clean cell would score."""
        return None if likelihood.cellwise else _wants_gaussian(self, likelihood, "tells clean cells from noisy ones")

    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Return the batch itself."""
        return batch

    def score(self, p: Any, batch: Batch, again: Callable[[Tensor], Distribution], noise: Noise) -> Tensor:
        """Nats (k, n) of the clean example, by a second look beside the first."""
        step = torch.where(noise.uniform(batch.seen.shape, rows=0) < 0.5, -STEP, STEP)
        derivative = (again(batch.seen + step).mean - p.mean) / step
        nats: Tensor = p.log_prob_clean(batch.x, self.level(batch).square(), derivative)
        return nats


def noise_level(images: Tensor) -> Tensor:
    """Standard deviation of gaussian noise in images, told from their finest detail, for each channel (1, c, 1, 1).

    The median size of the diagonal detail coefficients of Haar's wavelets, over 0.6745 (Donoho and Johnstone 1994):
    what is in an image moves few of them far.

    Parameters
    ----------
    images : Tensor, shape (n, c, height, width)
        With noise that is independent from pixel to pixel. Of sides of 1 nothing can be told: 0.
    """
    height, width = (side - side % 2 for side in images.shape[2:])
    even = images[:, :, :height, :width]
    detail = (even[..., ::2, ::2] - even[..., 1::2, ::2] - even[..., ::2, 1::2] + even[..., 1::2, 1::2]) / 2
    if not detail.numel():
        return images.new_zeros(1, images.shape[1], 1, 1)
    return (whole(detail).abs().transpose(0, 1).flatten(1).median(1).values / 0.67449).view(1, -1, 1, 1)


def _wants_gaussian(corruption: Corruption, likelihood: Likelihood, what: str) -> str:
    return f"corruption {corruption.kind} {what}, as likelihood {likelihood.kind} does not; take likelihood=gaussian"


def _drawn_apart(corruption: Corruption, latent: Latent, way_out: str) -> str | None:
    if not latent.random:
        return None
    codes = f"the two {latent.kind} codes would be drawn apart"
    return f"corruption {corruption.kind} looks twice at an example, and {codes}; take {way_out}"


def _mirrored(place: Tensor, length: int) -> Tensor:
    """Places of a row beyond its ends as those before them; a row of one has no other."""
    if length == 1:
        return torch.zeros_like(place)
    place = place.abs() % (2 * length - 2)
    return torch.minimum(place, 2 * length - 2 - place)
