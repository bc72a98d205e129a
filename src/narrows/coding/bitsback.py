"""Codecs, and how two more of them make one for data with latent codes: bits-back coding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from narrows.coding.ans import Ans
from narrows.coding.laws import Law
from narrows.errors import InputError

Symbols = NDArray[Any]


class Codec(NamedTuple):
    """How symbols of one kind go onto a stack and come off it again.

    Attributes
    ----------
    push : callable
        ``push(ans, symbols)`` puts them on it.
    pop : callable
        ``pop(ans) -> symbols`` takes them off it, and leaves the stack as it was before the push. Of bits that are
        random it makes a draw from the codec's distribution.
    """

    push: Callable[[Ans, Symbols], None]
    pop: Callable[[Ans], Symbols]


def uniform(shape: tuple[int, ...], precision: int) -> Codec:
    """Numbers below 2^precision, all as likely."""

    def pop(ans: Ans) -> Symbols:
        return ans.pop_uniform(int(np.prod(shape)), precision).reshape(shape)

    return Codec(lambda ans, symbols: ans.push_uniform(symbols.ravel(), precision), pop)


def told(law: Law, params: NDArray[np.int32]) -> Codec:
    """Symbols of any shape, whose distributions a law reads off params (*shape, n_params)."""
    rows = np.ascontiguousarray(params.reshape(-1, params.shape[-1]))
    return Codec(
        lambda ans, symbols: law.push(ans, rows, symbols.ravel()),
        lambda ans: law.pop(ans, rows).reshape(params.shape[:-1]),
    )


def settled(symbols: Symbols) -> Codec:
    """Symbols that can be no others: they take no bits, neither as a code nor as a draw."""

    def push(ans: Ans, given: Symbols) -> None:
        if not np.array_equal(given, symbols):
            raise InputError("codes are not those of the data beside them: data are damaged, or of another model")

    return Codec(push, lambda ans: symbols)


def bits_back(prior: Codec, likelihood: Callable[[Symbols], Codec], posterior: Callable[[Symbols], Codec]) -> Codec:
    """Make the codec of x from those of z, of x given z, and of z given x.

    z is drawn by popping it off what is already on the stack, which gives back as many bits as naming it in q(z | x)
    would take; then x is pushed given z, and z as the prior has it. On average that makes
    log q(z | x) - log p(x | z) - log p(z), the negative elbo.

    Parameters
    ----------
    prior : Codec
        Of z.
    likelihood : callable
        From z to the codec of x.
    posterior : callable
        From x to the codec of z.

    References
    ----------
    Townsend, Bird and Barber 2019, arXiv:1901.04866; as composed by Townsend et al. 2020, arXiv:1912.09953 (craystack).
    """

    def push(ans: Ans, x: Symbols) -> None:
        z = posterior(x).pop(ans)
        likelihood(z).push(ans, x)
        prior.push(ans, z)

    def pop(ans: Ans) -> Symbols:
        z = prior.pop(ans)
        x = likelihood(z).pop(ans)
        posterior(x).push(ans, z)
        return x

    return Codec(push, pop)
