"""A dictionary: x as a sum of few of many directions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from narrows.axes import Latent, Likelihood, Network
from narrows.data.schema import Schema
from narrows.errors import at_least, at_most
from narrows.networks.few import linear, weighted_sums

LEAST = 1e-12  # of a square that divides


class Dictionary(Network, kind="dictionary"):
    """A linear decoder, x = z A + b, whose atoms a_j have norm 1, and an encoder that looks for the z that made x.

    The rows of A are the atoms, one a unit of the code. Their norm is 1 at any time and under any optimizer, since
    what is trained is their direction, A = V / |V|: a penalty on codes cannot be evaded by long atoms. The encoder is
    linear, h = W (x - b) + c (c is 0 where there are steps), and starts where it gives each unit the part of x along
    its atom, W = A (Bricken et al. 2023).

    Where atoms are not orthogonal, a unit also hears the others: of n active ones in d dimensions, noise of n / d times
    their mean square. Steps of a proximal descent take it out again, z = relu(h - t), h = z + r W (x - b - z A),
    with a threshold t and a rate r for each step that are learned (Gregor and LeCun 2010). Each step takes two more
    products of matrices.

    Parameters
    ----------
    tied : bool
        Whether W = A always.
    steps : int
        Steps of the descent; 0 for an encoder that is linear.
    threshold : float
        Where their thresholds start: what a unit hears before it has learned has a deviation of 1, as what is seen has.
    """

    # Adam moves each number by about its rate in a step, and what must turn is a direction of norm 1, whose numbers are
    # small: twice the usual rate. At ten times it the thresholds of the descent run away.
    pace = 2.0

    def __init__(self, tied: bool = False, steps: int = 0, threshold: float = 2.0) -> None:
        super().__init__()
        at_least("network.steps", steps, 0)
        at_most("network.steps", steps, 1000)
        at_least("network.threshold", threshold, 0, above=True)
        self.tied = tied
        self.steps = steps
        self.threshold = threshold

    def refuses(self, schema: Schema) -> str | None:
        """Tables whose columns differ in kind."""
        if schema.columns is None:
            return None
        return (
            f"network dictionary tells numbers as sums of atoms, and the data are {schema.describe()}; take network=mlp"
        )

    def refuses_latent(self, latent: Latent) -> str | None:
        """Codes of which each number needs several from the encoder."""
        if latent.size and latent.n_params != latent.size:
            return (
                f"network dictionary gives one number for each of the code, and latent {latent.kind} wants "
                f"{latent.n_params} for {latent.size}; take latent=batch-top-k, or network=mlp"
            )
        return super().refuses_latent(latent)

    def refuses_likelihood(self, likelihood: Likelihood) -> str | None:
        """Those whose parameters are anything but the cells of x as the encoder sees them."""
        if not likelihood.grid and likelihood.n_params == 1:
            return None
        return (
            f"network dictionary gives what is seen back as a sum of atoms, and likelihood {likelihood.kind} wants "
            f"other numbers; take likelihood=gaussian, or network=mlp"
        )

    def build(self, shape: tuple[int, ...], features: int, code: int, outputs: int) -> None:
        """Make the weights; atoms begin in random directions."""
        self.directions = nn.Parameter(nn.functional.normalize(torch.randn(code, math.prod(shape))))
        self.bias = nn.Parameter(torch.zeros(outputs))
        if not self.tied:
            self.weight = nn.Parameter(self.directions.detach().clone())
        if not self.steps:  # beside thresholds it would only switch units off for good
            self.lift = nn.Parameter(torch.zeros(features))
        else:
            self.log_threshold = nn.Parameter(torch.full((self.steps,), math.log(self.threshold)))
            self.log_rate = nn.Parameter(torch.zeros(self.steps))

    @property
    def atoms(self) -> Tensor:
        """The atoms, (code, x), each of norm 1."""
        return nn.functional.normalize(self.directions)

    def encode(self, seen: Tensor) -> Tensor:
        """(n, x) -> h (n, features)."""
        weight = self.atoms if self.tied else self.weight
        if not self.steps:
            # W (x - b) + c without x - b, whose slope would take one more product of matrices.
            return linear(seen.flatten(1), weight, self.lift - (weight * self.bias).sum(1))
        atoms = weight if self.tied else self.atoms
        centred = seen.flatten(1) - self.bias
        h = nn.functional.linear(centred, weight)
        for step in range(self.steps):
            z = (h + -self.log_threshold[step].exp()).relu()  # h - t would take the slope's negative whole
            g = nn.functional.linear(centred - z @ atoms, weight)
            length = _length(g.detach() * z.detach().sign(), atoms.detach())
            h = torch.addcmul(z, self.log_rate[step].exp() * length, g)
        return h

    def decode(self, z: Tensor) -> Tensor:
        """Map codes (m, code) to likelihood parameters (m, outputs)."""
        if self.zeros_learn:
            return nn.functional.linear(z, self.atoms.T, self.bias)
        return weighted_sums(z, self.atoms, self.bias)


def _length(g: Tensor, atoms: Tensor) -> Tensor:
    """How far each row of g (n, code) goes down |x - b - (z + s g) A|^2 the furthest, (n, 1); 1 where g is 0."""
    squares = g.square().sum(1, keepdim=True)
    return torch.where(squares > 0, squares / (g @ atoms).square().sum(1, keepdim=True).clamp_min(LEAST), 1.0)
