"""The axes of the code: the network on both its sides, and the latent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows.errors import InputError
from narrows.parts import Part
from narrows.values import Batch, Clock, Finding

if TYPE_CHECKING:
    from narrows.axes.scoring import Likelihood


class Network(Part, axis="network"):
    """The shape of function on both sides of the code.

    Attributes
    ----------
    around : bool
        Whether what is seen goes around the code: see `narrows.networks.around`.
    pace : float
        How many times faster than other parts' an adaptive optimizer moves its parameters.
    zeros_learn : bool
        Whether the latent wants gradients for numbers of a code that are 0; the model sets it.
    """

    around: ClassVar[bool] = False
    pace: ClassVar[float] = 1.0
    zeros_learn: bool = True

    @abstractmethod
    def build(self, shape: tuple[int, ...], features: int, code: int, outputs: int) -> None:
        """Make the weights.

        Parameters
        ----------
        shape : tuple of int
            Shape of one example as the encoder sees it.
        features : int
            Numbers the encoder gives the latent for each example.
        code : int
            Numbers the decoder gets from the latent for each example.
        outputs : int
            Numbers the decoder gives the likelihood for each example.
        """

    @abstractmethod
    def encode(self, seen: Tensor) -> Tensor:
        """(n, x) -> h (n, features)."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """Map codes (m, code) to likelihood parameters (m, outputs), the cells of one parameter side by side."""

    def start(self, examples: Callable[[], Batch], targets: Callable[[Tensor], Tensor | None]) -> Tensor | None:
        """Take the first weights from training rows, where a closed form gives better ones than chance.

        Parameters
        ----------
        examples : callable
            Makes training rows as the encoder sees them, for a network that asks.
        targets : callable
            Parameters (n, *param_shape) that the likelihood would want for x, see `Likelihood.targets`.

        Returns
        -------
        Tensor, shape (outputs,), or None
            Mean squared distance from the targets that is left; None where the first weights stay those of chance.
        """
        return None

    def refuses_latent(self, latent: Latent) -> str | None:
        """Return a sentence that says why this network cannot give such codes; None if it can."""
        if latent.whole:
            return f"network {self.kind} makes codes, and latent whole is none; take network=u-net, or latent=point"
        if latent.size:
            return None
        return f"network {self.kind} gives codes, and latent {latent.kind} has none; take network=none, or latent=point"

    def refuses_likelihood(self, likelihood: Likelihood) -> str | None:
        """Return a sentence that says why this network cannot give what the likelihood wants; None if it can."""
        return None


class Latent(Part, axis="latent"):
    """Which codes exist, and what a code costs.

    Attributes
    ----------
    size : int
        Numbers in one code.
    n_params : int
        Numbers the encoder gives for each example.
    prior : callable
        (n, device) -> p(z), repeated for n examples; a method, or a part of its own.
    random, discrete, full, whole : bool
        Whether codes are drawn; whether they are drawn from a discrete set; whether the encoder gives the numbers of
        a `FullNormal`; whether a code is all that is seen.
    nested : bool
        Whether draws of a code differ though none is random: each is the next one cut shorter, and the last is whole.
    sparse : bool
        Whether most numbers of a code are 0.
    free : bool
        Whether a code of any numbers costs nothing, so that its size alone limits what it tells.
    conditional : bool
        Whether a part of a code is the class of its example, which training must be told by labels.
    narrow : bool
        Whether in training h may come in the type that matrices are multiplied in, such as bfloat16.
    zeros_learn : bool
        Whether h has a gradient by numbers of the code that are 0.
    """

    size: int
    prior: Callable[[int, torch.device], Distribution]
    random: ClassVar[bool] = False
    discrete: ClassVar[bool] = False
    full: ClassVar[bool] = False
    whole: ClassVar[bool] = False
    nested: ClassVar[bool] = False
    sparse: ClassVar[bool] = False
    free: ClassVar[bool] = False
    conditional: ClassVar[bool] = False
    narrow: ClassVar[bool] = False
    zeros_learn: ClassVar[bool] = True
    remedy: ClassVar[str] = "take a smaller latent.size, or train longer"

    @property
    def n_params(self) -> int:
        """Numbers that the encoder gives for each example."""
        return self.size

    @property
    def kept(self) -> int:
        """Numbers of a code that may tell of one row: all of them, or those of a sparse one that are not 0."""
        return self.size

    @property
    def bounds(self) -> bool:
        """Whether what a code costs is a length in nats, so that the elbo bounds log p(x): codes drawn, or none."""
        return self.random or not self.size

    @property
    def jumps(self) -> bool:
        """Whether some number of a code in use is drawn from a discrete set, so that no slope leads to the next one."""
        return self.discrete

    @property
    def learned(self) -> bool:
        """Whether p(z) has weights."""
        return False

    @property
    def splits(self) -> bool:
        """Whether units are independent under q(z | x) and p(z), so that the divergence is a sum over them."""
        return self.discrete

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make weights of its own, for examples that the encoder sees in this shape."""

    @abstractmethod
    def posterior(self, h: Tensor) -> Distribution:
        """q(z | x) from h (n, n_params)."""

    def start(self, seen: Callable[[], Tensor]) -> None:
        """Take the first weights from training rows (n, x) as the encoder sees them, where it has such weights."""

    def see(self, clock: Clock) -> None:
        """Take the time of the training before a step, where what a code is depends on it."""

    def settled(self, share: float) -> bool:
        """Whether what a code is no longer changes after such a share of the training, so that figures compare."""
        return True

    def prior_given(self, encode: Callable[[Tensor], Distribution], n: int, device: torch.device) -> Distribution:
        """p(z), repeated for n examples, where it may be told by the encoder, seen (m, x) -> q(z | x)."""
        return self.prior(n, device)

    def source(
        self, encode: Callable[[Tensor], Distribution], n: int, device: torch.device, label: str | None = None
    ) -> Distribution:
        """Return what n new codes are drawn from, those of one class where its label is given.

        Raises
        ------
        InputError
            If there is nothing to draw from, or no such class.
        """
        if not self.bounds:
            raise InputError(f"{self.kind} codes have no distribution to draw new ones from; train preset variational")
        if label is not None:
            raise InputError(f"label {label!r} was given, and {self.kind} codes know no classes; leave it out")
        return self.prior_given(encode, n, device)

    def under(self, prior: Part) -> Latent:
        """Return such a latent, without weights, whose codes are drawn from another prior.

        Raises
        ------
        InputError
            If its prior cannot be chosen.
        """
        raise InputError(
            f"the prior of {self.kind} codes cannot be chosen; train preset variational, or set latent=gaussian"
        )

    def of(self, classes: tuple[str, ...]) -> Latent:
        """Return such a latent, without weights, for examples of these classes; itself where it knows no classes."""
        return self

    def weigh(self, condition: Tensor) -> None:
        """Take how often each class occurs, from the class (n,) of each training row, where it knows classes."""

    def known(self, q: Distribution, prior: Distribution, condition: Tensor) -> tuple[Distribution, Distribution]:
        """Return q(z | x) and p(z) where the classes (n,) are told; as they are, where the latent knows none."""
        return q, prior

    def code(self, posterior: Distribution) -> Tensor:
        """Return the code that stands for each example, shape (n, d): the posterior's mean, its mode if discrete."""
        return posterior.mean.flatten(1)

    def revived(self, q: Distribution) -> Tensor | None:
        """Return codes (n, d) in which units that have died speak too, for training to score beside those drawn."""
        return None

    def diagnose(self, used: Tensor) -> Iterator[Finding]:
        """Say what is wrong with the codes, told from which units are in `used`, with the remedy."""
        idle = int((~used).sum())
        if idle:
            yield Finding(
                "collapse" if idle == len(used) else "idle units",
                f"{idle} of {len(used)} code units do not move with the data",
                self.remedy,
            )

    def used(self, codes: Tensor) -> Tensor:
        """Whether each unit is in use, shape (d,), told from the codes (n, d) of many examples.

        A unit is active where its code moves with the data: variance of the posterior mean above 0.01
        (Burda et al. 2016, section 2).
        """
        return codes.var(0) > ACTIVE_VARIANCE


ACTIVE_VARIANCE = 0.01
