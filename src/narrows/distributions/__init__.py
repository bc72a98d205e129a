"""Distributions that torch does not have, and the divergence of every pair; draws are in `narrows.sampling`.

A deterministic code is a distribution too: `Point` puts all mass at one value and carries the price of that code;
its divergence from the prior `Flat` *is* the price. So ``-log p(x|z) + KL(q, prior)`` is the loss of the basic, the
sparse, the vector-quantised and the variational autoencoder alike.
"""

from narrows.distributions.chains import Chain
from narrows.distributions.divergences import divergence, divergence_by_unit, divergence_given
from narrows.distributions.mixtures import Mixture
from narrows.distributions.normals import (
    SHIFT,
    SMALLEST_SCALE,
    DiagonalNormal,
    FullNormal,
    StandardNormal,
    unscaled,
)
from narrows.distributions.points import Flat, Nested, Point, prefixes
from narrows.distributions.symbols import OneHot, one_hot

__all__ = [
    "SHIFT",
    "SMALLEST_SCALE",
    "Chain",
    "DiagonalNormal",
    "Flat",
    "FullNormal",
    "Mixture",
    "Nested",
    "OneHot",
    "Point",
    "StandardNormal",
    "divergence",
    "divergence_by_unit",
    "divergence_given",
    "one_hot",
    "prefixes",
    "unscaled",
]
