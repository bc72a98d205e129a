"""The axes of training: what the encoder sees, which bound is driven up, how a gradient passes through a draw."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows.axes.modelling import Latent
from narrows.axes.scoring import Likelihood
from narrows.noise import Noise
from narrows.parts import Part
from narrows.values import Batch, Clock, Terms


class Corruption(Part, axis="corruption"):
    """What the encoder gets to see of the standardised input.

    Attributes
    ----------
    corrupts : bool
        Whether what is seen differs from the example.
    own : bool
        Whether what is seen comes with the examples, instead of being made from them.
    hides : bool
        Whether cells are hidden, so that a model in use may be told which are.
    differences : bool
        Whether what the network gives for two looks at an example is set against each other, so that training must be
        in float32.
    """

    corrupts: ClassVar[bool] = True
    own: ClassVar[bool] = False
    hides: ClassVar[bool] = False
    differences: bool = False

    def refuses_latent(self, latent: Latent) -> str | None:
        """Return a sentence that says why such codes do not learn what they must under it; None if they do."""
        return None

    def refuses_likelihood(self, likelihood: Likelihood) -> str | None:
        """Return a sentence that says why this likelihood cannot score what it leaves to score; None if it can."""
        return None

    @abstractmethod
    def forward(self, batch: Batch, noise: Noise) -> Batch:
        """Return a batch whose ``seen`` is corrupted; the target ``x`` stays as it is."""

    def score(self, p: Distribution, batch: Batch, again: Callable[[Tensor], Distribution], noise: Noise) -> Tensor:
        """Nats (k, n) of what training scores: all cells of x, unless the corruption leaves others to be scored.

        Parameters
        ----------
        p : Distribution
            p(x | z) of the codes drawn.
        batch : Batch
            What `forward` gave.
        again : callable
            p(x | z) where something else had been seen, for codes that are not drawn.
        noise : Noise
            For what it draws.
        """
        nats: Tensor = p.log_prob(batch.x)
        return nats


class Objective(Part, axis="objective"):
    """Which bound is driven up: nats per example from the terms.

    Attributes
    ----------
    samples : int
        Codes drawn for each example in training.
    weighs : bool
        Whether it is minus the log of the mean importance weight, the cost of a draw being minus the log of its own.
    besides : str
        What it holds besides distortion and rate, in words.
    """

    samples: int = 1
    weighs: ClassVar[bool] = False
    besides: ClassVar[str] = "what else the objective holds"

    def adapt(self, rows: int) -> None:
        """Take the number of training rows."""

    @property
    def scheduled(self) -> bool:
        """Whether the cost of given terms changes as training goes on."""
        return False

    @property
    def linear(self) -> bool:
        """Whether log q of each draw has a fixed weight in it, so that the score that weight brings is 0 on average."""
        return False

    @property
    def separate(self) -> bool:
        """Whether what a draw costs depends on no other draw, of its example or of another."""
        return True

    @property
    def compares(self) -> bool:
        """Whether what an example costs is told from the others of its batch, so that workers cannot share one out."""
        return False

    @property
    def by_unit(self) -> bool:
        """Whether it takes the densities of single units, and not only those of whole codes."""
        return False

    def share(self, clock: Clock) -> Tensor:
        """Share of log q(z | x) / p(z) that a draw is charged at a time of the training, shape ()."""
        return torch.ones_like(clock.progress)

    @abstractmethod
    def cost(self, terms: Terms, clock: Clock) -> Tensor:
        """Nats of each draw, shape (k, n)."""

    def combine(self, cost: Tensor) -> Tensor:
        """Nats of each example, shape (n,), from those of its draws (k, n)."""
        return average_draw(cost)

    def reported(self, cost: Tensor, terms: Terms) -> Tensor:
        """Nats of each example that are reported, (n,), every schedule at its end; ``cost`` is that of training."""
        return self.combine(self.cost(terms, Clock.at_end(cost.device)) if self.scheduled else cost)

    def follow(self, terms: Terms) -> None:
        """Take in what a step of training gave, where a later one depends on it."""

    def refuses_latent(self, latent: Latent) -> str | None:
        """Return a sentence that says why this objective cannot be had with such codes; None if it can."""
        if latent.nested and self.samples == 1:
            return (
                f"latent {latent.kind} cuts each draw of a code shorter than the next, and objective.samples is 1, so "
                f"that none is cut; take objective.samples=5, or latent=batch-top-k"
            )
        if self.samples > 1 and not (latent.random or latent.nested):
            return (
                f"objective.samples is {self.samples}, but {latent.kind} codes are not random, so all draws would be "
                f"equal; take objective.samples=1, or a random latent such as gaussian"
            )
        return None


class Gradient(Part, axis="gradient"):
    """How a gradient passes through the draw of a code, in training; a model in use draws from q itself."""

    def build(self, seen_shape: tuple[int, ...]) -> None:
        """Make weights of its own, for examples that the encoder sees in this shape."""

    @abstractmethod
    def draw(self, q: Distribution, k: int, noise: Noise, clock: Clock) -> tuple[Tensor, Distribution]:
        """Draw codes (k, n, ...) from q; also return the distribution that scores them."""

    def surrogate(self, cost: Tensor, terms: Terms, objective: Objective, clock: Clock) -> Tensor:
        """Build the scalar whose gradient estimates that of the mean over examples of ``objective.combine(cost)``.

        That mean itself, where the draw carries the gradient. Its value is never reported: of others it is no bound.
        """
        return objective.combine(cost).mean()

    @abstractmethod
    def bias(self, latent: Latent, objective: Objective) -> str | None:
        """Say, in a few words, why the mean of the estimate is not the gradient for such codes; None if it is."""

    def refuses_pair(self, latent: Latent, objective: Objective) -> str | None:
        """Return a sentence that says why this estimator does not serve such codes; None if it does."""
        return None


def average_draw(figures: Tensor) -> Tensor:
    """Figures of the draws (k, n) -> their mean for each example (n,); that of a single draw costs nothing."""
    return figures.squeeze(0) if len(figures) == 1 else figures.mean(0)
