"""Noise of known laws over what is seen."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from narrows.axes import Corruption
from narrows.corruptions.hiding import check_rate
from narrows.data.schema import Schema
from narrows.errors import at_least
from narrows.noise import Noise
from narrows.values import Batch
from narrows.workers import each


class Gaussian(Corruption, kind="gaussian"):
    """Added noise: seen + sigma * N(0, 1) (Vincent et al. 2010, section 4).

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise, in units of the data's standard deviation.
    widest : float or None
        Where the strength of the noise is not known: each example's sigma is uniform from ``sigma`` to this.
    raw : bool
        Whether both are in the unit of the raw data instead, such as levels of an image.
    """

    def __init__(self, sigma: float = 0.3, widest: float | None = None, raw: bool = False) -> None:
        super().__init__()
        at_least("corruption.sigma", sigma, 0)
        if widest is not None:
            at_least("corruption.widest", widest, sigma)
        self.sigma = sigma
        self.widest = widest
        self.raw = raw

    def refuses(self, schema: Schema) -> str | None:
        """Mixed tables, whose columns have no unit in common, where the noise is in that unit."""
        if not self.raw or schema.columns is None:
            return None
        return (
            f"corruption gaussian with raw adds noise in one unit, and the data are {schema.describe()}; take "
            f"corruption.raw=false"
        )

    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Add noise to what is seen."""
        drawn = noise.normal(batch.seen.shape, rows=0)
        if self.raw:
            drawn = drawn * unit(batch)
        if self.widest is None:
            return dataclasses.replace(batch, seen=torch.add(batch.seen, drawn, alpha=self.sigma))
        one_each = (len(drawn), *(1 for _ in drawn.shape[1:]))
        sigma = self.sigma + (self.widest - self.sigma) * noise.uniform(one_each, rows=0)
        return dataclasses.replace(batch, seen=torch.addcmul(batch.seen, drawn, sigma))


class Poisson(Corruption, kind="poisson"):
    """Counted light: a cell of brightness b becomes Poisson(peak b) / peak, b from 0 at the lowest value to 1.

    Noise of variance b / peak: the less light there is, the more of it.

    Parameters
    ----------
    peak : float
        Mean count of the brightest cells.
    """

    instead = "corruption=gaussian"  # how much of a stream of random numbers a count takes hangs on its mean

    def __init__(self, peak: float = 30.0) -> None:
        super().__init__()
        at_least("corruption.peak", peak, 0, above=True)
        self.peak = peak

    def refuses(self, schema: Schema) -> str | None:
        """Data without a lowest and a highest value."""
        if schema.columns is None and schema.levels:
            return None
        return (
            f"corruption poisson counts light from the lowest value to the highest, and the data are "
            f"{schema.describe()}; take corruption=gaussian"
        )

    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Count."""
        assert batch.scale is not None
        low, span = batch.scale.low, batch.scale.high - batch.scale.low
        light = ((batch.seen - low) / span).clamp_min(0)
        return dataclasses.replace(batch, seen=low + span * noise.poisson(self.peak * light) / self.peak)


class SaltAndPepper(Corruption, kind="salt-and-pepper"):
    """Cells set to an extreme at random: to the batch's lowest or highest value, half each, with probability ``rate``.

    Parameters
    ----------
    rate : float
        Probability of replacing a cell, in [0, 1).
    """

    def __init__(self, rate: float = 0.1) -> None:
        super().__init__()
        check_rate(rate)
        self.rate = rate

    def refuses(self, schema: Schema) -> str | None:
        """Tables whose columns differ in kind: they share no extremes."""
        if schema.columns is None:
            return None
        return (
            f"corruption salt-and-pepper sets cells to the ends of one range, and the data are {schema.describe()}; "
            f"take corruption=mask"
        )

    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Replace cells of what is seen."""
        drawn = noise.uniform(batch.seen.shape, rows=0)
        low, high = each(batch.seen.amin()).amin(), each(batch.seen.amax()).amax()
        extreme = torch.where(drawn < self.rate / 2, low, high)
        return dataclasses.replace(batch, seen=torch.where(drawn < self.rate, extreme, batch.seen))


def unit(batch: Batch) -> Tensor:
    """One unit of the raw data in what is seen, of all but mixed tables, whose columns have none in common."""
    assert batch.scale is not None
    return batch.scale.unit
