"""A problem whose exact gradient is known: four rows of six bits, a linear encoder, a decoder with a layer of tanh."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution

from narrows.axes import Gradient, Latent, Objective
from narrows.descent import Adam
from narrows.noise import Noise
from narrows.study.exact import Points, expected, points
from narrows.values import Clock, Terms

ROWS = torch.tensor([[1, 0, 1, 1, 0, 0], [0, 1, 1, 0, 0, 1], [1, 1, 0, 0, 1, 0], [0, 0, 0, 1, 1, 1]]).float()
CELLS, HIDDEN = ROWS.shape[1], 6
REACH, NODES = 6.5, 32  # deviations, and nodes along each number of a gaussian code
WEIGHTS_SEED = 20
DESCENT_STEPS, DESCENT_RATE = 25, 0.05
WARM_STEPS, WARM_ROWS = 100, 32
END = Clock.at_end()


class Problem:
    """The problem with one kind of code, at one setting of the weights that the gradient is taken of.

    Those are the encoder's matrix (d', 6), d' the numbers that the latent wants, and the six biases of the decoder.

    Parameters
    ----------
    latent : Latent
        Of few bits, or of one to three gaussian numbers.
    weights : tuple of Tensor, optional
        Encoder and decoder; those of the start unless given.
    """

    def __init__(self, latent: Latent, weights: tuple[Tensor, Tensor] | None = None) -> None:
        noise = Noise(WEIGHTS_SEED)
        self.latent = latent
        self._inner = 0.5 * noise.normal((latent.size, HIDDEN), rows=0)
        self._outer = 1.2 * noise.normal((HIDDEN, CELLS), rows=0)
        start = 0.2 * noise.normal((latent.n_params, CELLS), rows=0), 0.5 * noise.normal((CELLS,), rows=0)
        self.encoder, self.decoder = weights or start

    def log_px(self, z: Tensor, biases: Tensor, x: Tensor) -> Tensor:
        """ln p(x | z) of codes (k, n, d), biases (n, 6) and rows (n, 6): (k, n)."""
        hidden = torch.tanh(z.flatten(2) @ self._inner.to(z))
        logits = hidden @ self._outer.to(z) + biases
        return torch.nn.functional.logsigmoid((2 * x - 1) * logits).sum(-1)

    def estimates(self, gradient: Gradient, objective: Objective, n: int, seed: int) -> Tensor:
        """Independent estimates of the gradient of the mean over the four rows, in nats, (n, weights)."""
        encoder = self.encoder.repeat(n, 1, 1).requires_grad_()
        biases = self.decoder.repeat(n, 1).requires_grad_()
        surrogate = self._surrogate(gradient, objective, encoder, biases, Noise(seed))
        parts = torch.autograd.grad(n * surrogate, [encoder, biases])
        return torch.cat([part.flatten(1) for part in parts], 1)

    def exact(self, objective: Objective) -> Tensor:
        """The gradient itself, (weights,), in float64: by enumeration or quadrature."""
        encoder, biases = (part.double().clone().requires_grad_() for part in (self.encoder, self.decoder))
        parts = torch.autograd.grad(self._mean(objective, encoder, biases), [encoder, biases])
        return torch.cat([part.flatten() for part in parts])

    def value(self, objective: Objective) -> float:
        """The mean of the objective over draws and rows, in nats."""
        return float(self._mean(objective, self.encoder.double(), self.decoder.double()))

    def descended(self, objective: Objective) -> Problem:
        """The same problem after some steps of Adam along the exact gradient."""
        encoder, biases = (part.double().clone().requires_grad_() for part in (self.encoder, self.decoder))
        optimizer = Adam([([encoder, biases], 1.0)], DESCENT_RATE)
        for _ in range(DESCENT_STEPS):
            optimizer.forget()
            self._mean(objective, encoder, biases).backward()
            optimizer.step()
        return Problem(self.latent, (encoder.detach().float(), biases.detach().float()))

    def warm(self, gradient: Gradient, objective: Objective) -> None:
        """Let a baseline that learns see so many steps at these weights; then hold it still."""
        own = list(gradient.parameters())
        optimizer = Adam([(own, 1.0)], 0.01) if own else None
        gradient.train()
        for step in range(WARM_STEPS if gradient.state_dict() else 0):
            encoder, biases = self.encoder.repeat(WARM_ROWS, 1, 1), self.decoder.repeat(WARM_ROWS, 1)
            surrogate = self._surrogate(gradient, objective, encoder.requires_grad_(), biases, Noise(step))
            if optimizer is not None:
                optimizer.forget()
                surrogate.backward()
                optimizer.step()
        gradient.eval()

    def _surrogate(
        self, gradient: Gradient, objective: Objective, encoder: Tensor, biases: Tensor, noise: Noise
    ) -> Tensor:
        """Surrogate of n copies of the encoder (n, d', 6) and the biases (n, 6), each with the four rows."""
        n, rows = len(encoder), len(ROWS)
        h = torch.einsum("nhc,rc->nrh", encoder, 2 * ROWS - 1).flatten(0, 1)
        x = ROWS.repeat(n, 1)
        z, q = gradient.draw(self.latent.posterior(h), objective.samples, noise, END)
        log_px = self.log_px(z, biases.repeat_interleave(rows, 0), x)
        terms = Terms(log_px, z, q, self.latent.prior(n * rows, z.device), x)
        return gradient.surrogate(objective.cost(terms, END), terms, objective, END)

    def _mean(self, objective: Objective, encoder: Tensor, biases: Tensor) -> Tensor:
        """The mean over rows of the expected objective, in float64."""
        values = []
        for x in ROWS.double():
            q = self.latent.posterior((encoder @ (2 * x - 1))[None])
            at = points(q) if self.latent.discrete else even(q)
            log_px = self.log_px(at.z[:, None], biases[None], x)[:, 0]
            values.append(expected(objective, log_px, q, self.latent.prior(1, x.device), at))
        return torch.stack(values).mean()


def even(q: Distribution) -> Points:
    """Even steps over a gaussian q of one example, along each number: the trapezoidal rule.

    Where the cost has poles at a distance of r deviations from the line, as those of tanh, its error falls like
    exp(-2 pi r / step) (Trefethen and Weideman 2014), that of Gauss and Hermite only like exp(-c sqrt(nodes)).
    """
    line = torch.linspace(-REACH, REACH, NODES, dtype=torch.float64)
    grid = torch.cartesian_prod(*[line] * q.event_shape.numel()).view(-1, *q.event_shape)
    return Points(q.mean.detach() + q.variance.detach().sqrt() * grid, torch.softmax(-0.5 * grid.square().sum(1), 0))


@dataclass(frozen=True)
class Measured:
    """Estimates beside the exact gradient.

    Parameters
    ----------
    bias, noise : float
        Norm of the difference of their mean from the exact gradient, and what it would be by chance, root mean square.
    p_value : float
        Of Hotelling's test on all of them.
    rejected : int
        Of the seeds, how many are rejected at 5 %.
    variance : float
        Mean squared distance of one estimate from their mean.
    """

    bias: float
    noise: float
    p_value: float
    rejected: int
    variance: float


def measured(by_seed: Iterator[Tensor], exact: Tensor) -> Measured:
    """Test estimates (n, weights) of several seeds, one by one and together."""
    seeds = [rows.double() for rows in by_seed]
    rejected = sum(hotelling(rows, exact) < 0.05 for rows in seeds)
    rows = torch.cat(seeds)
    variance = rows.var(0).sum()
    return Measured(
        bias=float((rows.mean(0) - exact).norm()),
        noise=float((variance / len(rows)).sqrt()),
        p_value=hotelling(rows, exact),
        rejected=rejected,
        variance=float(variance),
    )


def hotelling(rows: Tensor, exact: Tensor) -> float:
    """p-value of Hotelling's T^2 test (1931) that the mean of rows (n, p) is the exact gradient.

    T^2 = n gap^T S^-1 gap, and (n - p) / (p (n - 1)) T^2 ~ F(p, n - p) for gaussian rows, and for large n for others.
    Directions without noise are left out; where the gap lies along one of them, the p-value is 0.
    """
    n = len(rows)
    variance, directions = torch.linalg.eigh(rows.T.cov())
    gap = directions.T @ (rows.mean(0) - exact)
    noisy = variance > 1e-9 * variance.max()
    if bool((gap[~noisy].abs() > 1e-4 * exact.norm()).any()):
        return 0.0
    p = int(noisy.sum())
    squared = float((n * gap.square() / variance)[noisy].sum())
    return float(stats.f.sf((n - p) / (p * (n - 1)) * squared, p, n - p))
