"""What is thought of a gaussian code before its example is seen: the prior, a part inside the latent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import softplus

from narrows import distributions
from narrows.distributions import SHIFT, SMALLEST_SCALE, DiagonalNormal, FullNormal, StandardNormal, unscaled
from narrows.errors import InputError, at_least, unknown
from narrows.parts import Part

START_SPREAD = 0.5  # of the means of a mixture: parts differ, and their sum is near the standard normal

_standard = lru_cache(maxsize=64)(StandardNormal)  # it has no weights: one of each size serves all


class Prior(Part, axis="prior"):
    """p(z), called with (n, device) and repeated for n examples.

    Attributes
    ----------
    size : int
        Numbers in one code; the latent that holds the prior says it.
    learned, splits : bool
        Whether it has weights; whether the numbers are independent.
    """

    size: int
    learned: ClassVar[bool] = True
    splits: ClassVar[bool] = False

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make the weights, for examples that the encoder sees in such a shape."""

    def start(self, seen: Callable[[], Tensor]) -> None:
        """Take the first weights from training rows (n, x) as the encoder sees them, where it has such weights."""

    @abstractmethod
    def forward(self, n: int, device: torch.device) -> Distribution:
        """p(z), repeated for n examples."""

    def given(self, encode: Callable[[Tensor], Distribution], n: int, device: torch.device) -> Distribution:
        """p(z), repeated for n examples, where it may be told by the encoder, seen (m, x) -> q(z | x)."""
        prior: Distribution = self(n, device)
        return prior

    def of_class(self, label: str, n: int) -> Distribution:
        """p(z) of the codes of one class, repeated for n examples.

        Raises
        ------
        InputError
            If the prior knows no classes, or not this one.
        """
        raise InputError(
            f"label {label!r} was given, and prior {self.kind} knows no classes; make one that does with narrows "
            f"fit-prior --by-label, or leave the label out"
        )


class Standard(Prior, kind="standard"):
    """p(z) = N(0, I) (Kingma and Welling 2014): no weights, and a divergence in closed form."""

    learned = False
    splits = True

    def forward(self, n: int, device: torch.device) -> Distribution:
        """N(0, I) for n examples."""
        # While a graph is traced the number of rows is a symbol, which nothing can be kept by.
        made = StandardNormal if torch.compiler.is_exporting() else _standard
        return made(n, self.size, device)


class Mixture(Prior, kind="mixture"):
    """p(z) = sum_c w_c N(mu_c, Sigma_c), all of it learned (Tomczak and Welling 2018, section 3).

    Its divergence has no closed form: each draw's log q(z | x) - log p(z) stands for it. Parts begin near N(0, I).

    Parameters
    ----------
    components : int
        Normals in the mixture.
    full : bool
        Whether the numbers of a code depend on each other within a part; else Sigma_c = diag(sigma_c^2).
    classes : tuple of str
        Names of classes, of each of which some of the parts tell; see `narrows.generation.fit_prior`.
    """

    owners: Tensor

    def __init__(self, components: int = 32, full: bool = False, classes: tuple[str, ...] = ()) -> None:
        super().__init__()
        at_least("prior.components", components, max(1, len(classes)))
        self.components = components
        self.full = full
        self.classes = classes

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make weights w_c, means, and scales or what `FullNormal.of` takes."""
        self.log_weights = nn.Parameter(torch.zeros(self.components))
        means = nn.init.normal_(torch.empty(self.components, self.size), std=START_SPREAD)
        spreads = self.size * (self.size + 1) // 2 if self.full else self.size
        self.means = nn.Parameter(means)
        self.scales = nn.Parameter(torch.zeros(self.components, spreads))
        if self.classes:
            self.register_buffer("owners", torch.arange(self.components) % len(self.classes))

    def start(self, seen: Callable[[], Tensor]) -> None:
        """Raise, where there are classes: training is not told which row is of which."""
        if self.classes:
            raise InputError(
                "prior.classes was given for training, which sees no labels; leave it out, and take narrows fit-prior "
                "--by-label afterwards"
            )

    def forward(self, n: int, device: torch.device) -> Distribution:
        """Return the mixture for n examples."""
        return distributions.Mixture(self.log_weights, self._parts(), n)

    def of_class(self, label: str, n: int) -> Distribution:
        """Return the mixture of the parts of one class for n examples."""
        if not self.classes:
            return super().of_class(label, n)
        if label not in self.classes:
            raise unknown("label", label, self.classes)
        of_it = (self.owners == self.classes.index(label)).nonzero()[:, 0]
        return distributions.Mixture(self.log_weights[of_it], self._parts().at(of_it), n)

    @torch.no_grad()
    def take(self, log_weights: Tensor, parts: DiagonalNormal | FullNormal, owners: Tensor | None = None) -> None:
        """Become a mixture that was fitted elsewhere: log weights (c,), parts of batch (c,), the class of each (c,)."""
        self.log_weights.copy_(log_weights)
        self.means.copy_(parts.mean)
        full = isinstance(parts, FullNormal)
        self.scales.copy_(parts.numbers()[:, self.size :] if full else unscaled(parts.scale))  # type: ignore[union-attr]
        if owners is not None:
            self.owners.copy_(owners)

    def _parts(self) -> DiagonalNormal | FullNormal:
        if self.full:
            return FullNormal.of(torch.cat([self.means, self.scales], 1), self.size)
        return DiagonalNormal(self.means, softplus(self.scales + SHIFT) + SMALLEST_SCALE)


class Vamp(Prior, kind="vamp"):
    """p(z) = 1/C sum_c q(z | u_c), the posteriors of learned pseudo-inputs u_c (Tomczak and Welling 2018, eq. 9).

    The prior that is best for a bound is the mean posterior of all examples; this one is that of a few that are
    learned. They begin at training rows, evenly spread over the set. Each step encodes them once more.

    Parameters
    ----------
    components : int
        Pseudo-inputs C.
    """

    def __init__(self, components: int = 32) -> None:
        super().__init__()
        at_least("prior.components", components, 1)
        self.components = components

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make pseudo-inputs of standardised noise."""
        self.pseudo_inputs = nn.Parameter(torch.empty(self.components, *seen_shape))
        nn.init.normal_(self.pseudo_inputs)

    @torch.no_grad()
    def start(self, seen: Callable[[], Tensor]) -> None:
        """Move the pseudo-inputs to training rows, with a tenth of the noise."""
        rows = seen()
        chosen = torch.arange(self.components, device=rows.device) * len(rows) // self.components
        self.pseudo_inputs.copy_(rows[chosen] + 0.1 * self.pseudo_inputs)

    def forward(self, n: int, device: torch.device) -> Distribution:
        """Raise: without an encoder there is no such prior."""
        raise TypeError("prior vamp is told by the encoder: ask Model.prior, or Latent.prior_given")

    def given(self, encode: Callable[[Tensor], Distribution], n: int, device: torch.device) -> Distribution:
        """Return the mixture of the pseudo-inputs' posteriors for n examples."""
        parts = encode(self.pseudo_inputs)
        assert isinstance(parts, (DiagonalNormal, FullNormal))
        return distributions.Mixture(self.pseudo_inputs.new_zeros(self.components), parts, n)
