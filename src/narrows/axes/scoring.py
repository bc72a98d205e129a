"""The axis of the likelihood."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor
from torch.distributions import Distribution

from narrows.axes.modelling import Latent
from narrows.data.schema import Schema
from narrows.noise import Noise
from narrows.parts import Part
from narrows.values import Finding


class Likelihood(Part, axis="likelihood"):
    """How x is scored, given z.

    Attributes
    ----------
    grid : bool
        True where x is the index of a value on the schema's grid (0, 1, 2, ...) and the likelihood a mass; False
        where x is standardised to mean 0 and variance 1 and the likelihood a density.
    n_params : int
        Parameters for each cell, where all cells have equally many.
    pace : float
        How many times faster than the network's an adaptive optimizer moves parameters of the likelihood's own.
    matrices : bool
        Whether it multiplies matrices, which training may then do in bfloat16, as those of the network.
    sequential : bool
        Whether the mean of p(x | z) is made cell by cell, each told from those before it.
    cellwise : bool
        Whether its p(x | z) offers ``log_prob_of(x, scored)``, the nats of some cells alone, and ``log_prob_clean``,
        those of clean cells told from noisy ones; see `narrows.likelihoods.reals.Spherical`.
    """

    grid: ClassVar[bool] = True
    pace: ClassVar[float] = 1.0
    matrices: ClassVar[bool] = False
    sequential: ClassVar[bool] = False
    cellwise: ClassVar[bool] = False
    n_params: int = 1

    def refuses(self, schema: Schema) -> str | None:
        """Tables whose columns differ in kind, which few likelihoods score."""
        if schema.columns is None:
            return None
        usual = usual_likelihood(schema)
        return f"likelihood {self.kind} scores numbers, and the data are {schema.describe()}; take likelihood={usual}"

    def refuses_latent(self, latent: Latent) -> str | None:
        """Return a sentence that says why such codes are of no use to this likelihood; None if they are."""
        if self.n_params or not (latent.size or latent.whole):
            return None
        return (
            f"likelihood {self.kind} is told nothing by a code, and latent {latent.kind} has one; take latent=none and "
            f"network=none"
        )

    def build(self, schema: Schema) -> None:
        """Take what the likelihood must know of the data: their shape and the number of their levels."""

    def param_shape(self, schema: Schema) -> tuple[int, ...]:
        """Return the shape (P, x) of the parameters of one example, once the likelihood is built for such data."""
        return (self.n_params, *schema.shape)

    def calibrate(self, resolution: float) -> None:
        """Take the distance between neighbouring values, in the unit of x; 0 for continuous data."""

    def targets(self, x: Tensor) -> Tensor | None:
        """Parameters (n, *param_shape) under which x is about likeliest, NaN where a cell is missing; None if unknown.

        What `Network.start` comes as near to as a linear map can.
        """
        return None

    def start(self, variances: Tensor) -> None:
        """Take the mean squared distances of `Network.start`, shape param_shape, as a first measure of the spread."""

    def diagnose(self) -> Iterator[Finding]:
        """Say what is wrong with the fitted likelihood, with the remedy."""
        return iter(())

    def estimated(self, p: Distribution, noise: Noise) -> Distribution:
        """Return p(x | z) with a ``log_prob`` that may be an estimate without bias from some cells, for training."""
        return p

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution:
        """Params (k, n, *param_shape) -> p(x | z), batch (k, n), event x; it offers ``log_prob`` and ``mean``."""


def usual_likelihood(schema: Schema) -> str:
    """Return the kind of likelihood that such data usually have."""
    return USUAL_LIKELIHOODS[schema.values]


USUAL_LIKELIHOODS = {
    "binary": "bernoulli",
    "levels": "logistic",
    "counts": "poisson",
    "reals": "gaussian",
    "columns": "columns",
}
