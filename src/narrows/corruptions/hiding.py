"""Nothing hidden, what the user has of each example, or cells hidden at random."""

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

    corrupts = False

    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Return the batch itself."""
        return batch


class Own(Corruption, kind="own"):
    """What is seen of each example is the user's own, such as a photograph of it in less light.

    Training rows come in pairs, see `narrows.data.batches.paired`. The noise need not be known, and what is learnt is
    the mean of what is clean given what is seen (Burger et al. 2012).
    """

    own = True

    def refuses(self, schema: Schema) -> str | None:
        """Mixed tables, whose gaps have no like in what is seen."""
        if schema.columns is None:
            return None
        return (
            f"corruption own wants two versions of each example, all of numbers, and the data are "
            f"{schema.describe()}; take corruption=mask"
        )

    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Return the batch itself."""
        return batch


class Mask(Corruption, kind="mask"):
    """Cells hidden at random: each becomes 0, the mean, with probability ``rate`` (Vincent et al. 2008).

    In a mixed table a hidden cell is a missing one, so that the model learns to fill gaps. A network without a
    bottleneck adds to what it sees: it is shown hidden pixels as those around them tell; see `narrows.filling`.

    Parameters
    ----------
    rate : float
        Probability of hiding a cell, in [0, 1).
    hidden_only : bool
        Whether only hidden cells are scored, given the others of their row: -log p(hidden | seen) is bounded by
        -log p(hidden | z) + KL(q(z | whole row) || q(z | seen)), z of q(z | whole row) (Ivanov et al. 2019, eq. 4). The
        spread learnt is then that of a cell told from the others, not that of one seen. For mixed tables.
    """

    hides = True

    def __init__(self, rate: float = 0.25, hidden_only: bool = False) -> None:
        super().__init__()
        check_rate(rate)
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


def check_rate(rate: float) -> None:
    """Raise `InputError` unless a share of cells is from 0 to 0.99."""
    at_least("corruption.rate", rate, 0)
    at_most("corruption.rate", rate, 0.99)
