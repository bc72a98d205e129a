"""Parts of a model in whole numbers: the law that a likelihood is, and what it reads off the decoder's numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import singledispatch
from typing import NamedTuple

import numpy as np

from narrows.axes import Latent, Likelihood
from narrows.coding.elementwise import Scale
from narrows.coding.exact import STEP
from narrows.coding.laws import FRACTION, Law, LogisticMixture
from narrows.coding.tabled import Bernoulli, Categorical
from narrows.errors import InputError
from narrows.latents import gaussian
from narrows.likelihoods import pixels

LAWS: Mapping[str, Callable[[int, int], Law]] = {
    "bernoulli": lambda levels, components: Bernoulli(),
    "categorical": lambda levels, components: Categorical(levels),
    "logistic": lambda levels, components: LogisticMixture(levels, components, Decimal(levels - 1) / 6),
}
"""Laws by name, made of the number of levels and that of components."""


class Told(NamedTuple):
    """How a likelihood is told in whole numbers.

    Attributes
    ----------
    law : str
        One of `LAWS`.
    components : int
        Of a mixture; 1 where there is none.
    scale : Scale
        From numbers of the decoder (P, cells) at 2^-12 to those of the law.
    """

    law: str
    components: int
    scale: Scale


@singledispatch
def told_by(likelihood: Likelihood) -> Told:
    """Return how a likelihood is told; `InputError` if it is not."""
    raise InputError(
        f"bits-back codes bits and levels, and likelihood {likelihood.kind} scores something else, or in another way; "
        f"train with likelihood=bernoulli, logistic or categorical"
    )


@told_by.register
def _(_: pixels.Bernoulli) -> Told:
    return Told("bernoulli", 1, _scaled([FRACTION], [0]))


@told_by.register
def _(likelihood: pixels.Categorical) -> Told:
    return Told("categorical", 1, _scaled([FRACTION], [0]))


@told_by.register
def _(likelihood: pixels.Logistic) -> Told:
    # Means come in half ranges from the middle, and go in levels.
    half, means = FRACTION * (likelihood.levels - 1) // 2, likelihood.components
    others = likelihood.n_params - means
    scale = _scaled([half] * means + [FRACTION] * others, [half] * means + [0] * others)
    return Told("logistic", likelihood.components, scale)


@singledispatch
def check_codes(latent: Latent) -> None:
    """Check that bits-back can draw such codes, number by number."""
    raise InputError(
        f"bits-back draws codes from a normal distribution a number, and latent {latent.kind} has none; train with "
        f"preset variational, or latent=gaussian"
    )


@check_codes.register
def _(latent: gaussian.Gaussian) -> None:
    if latent.learned:
        raise InputError(
            f"bits-back draws codes from the standard normal prior, and latent.prior is {latent.prior.kind}; train "
            f"with latent.prior=standard"
        )


# Its numbers depend on each other, although it is a kind of the other.
check_codes.register(gaussian.FullGaussian, check_codes.dispatch(Latent))


def _scaled(gain: list[int], offset: list[int]) -> Scale:
    """Gains and offsets of what comes at 2^-12 and goes as it is."""
    return Scale(np.array(gain), np.array(offset) << STEP, STEP)
