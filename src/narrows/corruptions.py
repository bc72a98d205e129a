"""What the encoder gets to see: the corruption axis. Units are those of the standardised input."""

from __future__ import annotations

import dataclasses

import torch

from narrows.axes import Corruption, Latent
from narrows.data.schema import Schema
from narrows.errors import at_least, at_most
from narrows.noise import Noise
from narrows.values import Batch


class Clean(Corruption, kind="none"):
    """The input as it is."""

    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Return the batch itself."""
        return batch


class Gaussian(Corruption, kind="gaussian"):
    """Added noise: seen + sigma * N(0, 1) (Vincent et al. 2010, section 4).

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise, in units of the data's standard deviation.
    """

    def __init__(self, sigma: float = 0.3) -> None:
        super().__init__()
        at_least("corruption.sigma", sigma, 0)
        self.sigma = sigma

    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Add noise to what is seen."""
        drawn = noise.normal(batch.seen.shape, rows=0)
        return dataclasses.replace(batch, seen=torch.add(batch.seen, drawn, alpha=self.sigma))


class Mask(Corruption, kind="mask"):
    """Cells hidden at random: each becomes 0, the mean, with probability ``rate`` (Vincent et al. 2008).

    In a mixed table a hidden cell is a missing one, so that the model learns to fill gaps.

    Parameters
    ----------
    rate : float
        Probability of hiding a cell, in [0, 1).
    hidden_only : bool
        Whether only hidden cells are scored, given the others of their row: -log p(hidden | seen) is bounded by
        -log p(hidden | z) + KL(q(z | whole row) || q(z | seen)), z of q(z | whole row) (Ivanov et al. 2019, eq. 4). The
        spread learnt is then that of a cell told from the others, not that of one seen. For mixed tables.
    """

    def __init__(self, rate: float = 0.25, hidden_only: bool = False) -> None:
        super().__init__()
        _check_rate(rate)
        self.rate = rate
        self.hidden_only = hidden_only

    def refuses(self, schema: Schema) -> str | None:
        """Data in which no cell can be left unscored."""
        if not self.hidden_only or schema.columns is not None:
            return None
        return (
            f"corruption mask with hidden_only leaves cells unscored, as only mixed tables can, and the data are "
            f"{schema.describe()}; take corruption.hidden_only=false"
        )

    def refuses_latent(self, latent: Latent) -> str | None:
        """Codes whose prior would not be trained, since what is seen of a row takes its place."""
        if not (self.hidden_only and latent.learned):
            return None
        return (
            f"corruption mask with hidden_only takes what is seen of a row for the prior of its code, so that latent "
            f"{latent.kind} would never learn its own; take latent.prior=standard, or corruption.hidden_only=false"
        )

    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Hide cells of what is seen."""
        hidden = noise.uniform(batch.x.shape, rows=0) < self.rate
        shown = batch.hide(hidden)
        if not self.hidden_only:
            return shown
        return dataclasses.replace(shown, x=batch.x.where(hidden, torch.nan), whole=batch.seen)


class SaltAndPepper(Corruption, kind="salt-and-pepper"):
    """Cells set to an extreme at random: to the batch's lowest or highest value, half each, with probability ``rate``.

    Parameters
    ----------
    rate : float
        Probability of replacing a cell, in [0, 1).
    """

    def __init__(self, rate: float = 0.1) -> None:
        super().__init__()
        _check_rate(rate)
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
        low, high = batch.seen.amin(), batch.seen.amax()
        extreme = torch.where(drawn < self.rate / 2, low, high)
        return dataclasses.replace(batch, seen=torch.where(drawn < self.rate, extreme, batch.seen))


def _check_rate(rate: float) -> None:
    at_least("corruption.rate", rate, 0)
    at_most("corruption.rate", rate, 0.99)
