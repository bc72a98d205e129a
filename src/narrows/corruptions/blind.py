"""Learning from noisy examples alone: what is scored must not be what was seen of it."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from narrows.axes import Corruption, Likelihood
from narrows.corruptions.hiding import check_rate
from narrows.corruptions.noisy import normal
from narrows.data.schema import Schema
from narrows.errors import at_least
from narrows.noise import Noise
from narrows.values import Batch


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


class Recorrupted(Corruption, kind="recorrupted"):
    """More noise to what is seen, and of the opposite sign to what is scored, so that neither's tells of the other's.

    Of y = x + sigma e, e ~ N(0, I), and u ~ N(0, I): y + alpha sigma u and y - sigma u / alpha have independent noise,
    so that the squared error of the second, told from the first, is on average that of x, but for a constant (Pang et
    al. 2021, theorem 1). ``sigma`` must be that of the noise, and the examples must not be clipped.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise in the examples, in units of their standard deviation.
    alpha : float
        How much noise is added, by that which is there.
    raw : bool
        Whether ``sigma`` is in the unit of the raw data instead, such as levels of an image.
    """

    def __init__(self, sigma: float = 0.3, alpha: float = 0.5, raw: bool = False) -> None:
        super().__init__()
        at_least("corruption.sigma", sigma, 0)
        at_least("corruption.alpha", alpha, 0, above=True)
        self.sigma = sigma
        self.alpha = alpha
        self.raw = raw

    def refuses(self, schema: Schema) -> str | None:
        """Mixed tables, whose columns have no unit in common."""
        if schema.columns is None:
            return None
        return (
            f"corruption recorrupted adds noise in one unit, and the data are {schema.describe()}; take corruption=mask"
        )

    def refuses_likelihood(self, likelihood: Likelihood) -> str | None:
        """Those that score values on a grid, on which nothing lies that noise was added to."""
        return _wants_gaussian(self, likelihood, "scores values between the levels") if likelihood.grid else None

    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Add noise to what is seen, and take it from what is scored."""
        drawn = self.sigma * normal(batch, noise, self.raw)
        seen, x = batch.seen + self.alpha * drawn, batch.x - drawn / self.alpha
        return dataclasses.replace(batch, seen=seen, x=x)


def _wants_gaussian(corruption: Corruption, likelihood: Likelihood, what: str) -> str:
    return f"corruption {corruption.kind} {what}, as likelihood {likelihood.kind} does not; take likelihood=gaussian"


def _mirrored(place: Tensor, length: int) -> Tensor:
    """Places of a row beyond its ends as those before them; a row of one has no other."""
    if length == 1:
        return torch.zeros_like(place)
    place = place.abs() % (2 * length - 2)
    return torch.minimum(place, 2 * length - 2 - place)
