"""Log p(x) by annealed importance sampling, and the bounds on both sides that show how far it can be trusted.

A chain starts at a draw from a base that can be sampled, the prior, and is led by small steps of Hamiltonian Monte
Carlo to the posterior (Neal 2001; for decoders, Wu et al. 2017). The products of the changes of density that it meets
on its way are weights whose mean is p(x), so the log of their mean bounds log p(x) from below on average. From a draw
of the posterior the same steps backwards give weights whose mean is 1 / p(x), and with them a bound from above. Such a
draw is known where x itself was drawn from the model, together with its code: on such rows the gap between both bounds
tells how far annealing falls short on this model (bidirectional Monte Carlo, Grosse et al. 2015).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from narrows.errors import InputError, at_least, unknown
from narrows.evaluate.hamiltonian import Path, Place
from narrows.evaluate.importance import Weighed, check_drawn, weigh
from narrows.model import Model
from narrows.noise import Noise, RowNoise
from narrows.sampling import sample
from narrows.values import Batch

Start = Literal["prior", "posterior"]

CHAINS = 16
NUMBERS_AT_ONCE = 4_000_000  # parameters of the likelihood
ROWS_AT_ONCE = 250
STEEPNESS = 4.0
ACCEPTANCE = 0.65
PILOT_CHAINS = 4
PILOT_STEP = 0.3
PILOT_GAIN = 0.2

# What the streams of random numbers are for.
DATA, PILOT, FORWARD, REVERSE = range(4)


@dataclass(frozen=True)
class Annealed(Weighed):
    """Log p(x) of each row by annealed importance sampling; its draws are chains.

    Parameters
    ----------
    acceptance : Tensor, shape (n,)
        Mean probability with which steps of the chains were accepted; 1 where there were none.
    """

    acceptance: Tensor


@dataclass(frozen=True)
class Sandwich:
    """Bounds on log p(x) of rows that the model made itself.

    Parameters
    ----------
    lower, upper : Tensor, shape (n,)
        In nats of the raw data: below and above log p(x) on average.
    values : Tensor, shape (n, x)
        The raw rows.
    """

    lower: Tensor
    upper: Tensor
    values: Tensor

    @property
    def gap(self) -> float:
        """Mean distance between both bounds, in nats: log p(x) lies between them on average."""
        return float((self.upper - self.lower).mean())


def annealed(
    model: Model, values: Tensor, steps: int, chains: int = CHAINS, *, start: Start = "prior", seed: int = 0
) -> Annealed:
    """Estimate log p(x) of raw rows: a lower bound on average, which closes as steps and chains grow.

    log 1/k sum_i prod_t f_{t+1}(z_it) / f_t(z_it), where f_t(z) = base(z)^(1 - b_t) p(x, z)^b_t and b_t rises from 0
    to 1 along a sigmoid (Wu et al. 2017). A row's figure does not depend on the rows beside it.

    The bound holds because each step leaves its f_t as it is. Sizes of steps that a chain adapts to its own past would
    break that, so they are found by other chains first, a pilot of 4 for each row, and then stand fixed: one size for
    each step and row, such that about 0.65 of the pilot's proposals are accepted.

    Parameters
    ----------
    model : Model
        With a random code that moves smoothly.
    values : Tensor, shape (n, x)
        Raw rows.
    steps : int
        Steps from the base to the posterior; 1 is plain importance sampling from the base.
    chains : int
        Chains k for each row.
    start : {"prior", "posterior"}
        The base: p(z), or the encoder's q(z | x), from which fewer steps lead as far, unless it misses a part.
    seed : int
        Of all draws.

    Raises
    ------
    InputError
        If the model's codes are not drawn, or jump.
    """
    plan = _Plan(model, steps, chains, start, seed)
    parts = []
    with torch.no_grad():
        for rows in torch.arange(len(values)).split(plan.rows_at_once):
            batch = model.batch(values[rows].to(model.device), plan.streams(DATA, rows))
            log_w, acceptance = _Rows(plan, batch, rows).forward()
            parts.append(torch.cat([weigh(log_w), acceptance.double().mean(0)[None]]).cpu())
    log_px, effective, acceptance = torch.cat(parts, 1)
    return Annealed(log_px + model.transform.log_dets(values), effective, chains, acceptance)


def bidirectional(
    model: Model, n: int, steps: int, chains: int = CHAINS, *, start: Start = "prior", seed: int = 0
) -> Sandwich:
    """Bound log p(x) from both sides on ``n`` rows drawn from the model (Grosse et al. 2015; Wu et al. 2017).

    All reverse chains of a row start at the code that it was decoded from, which is one exact draw from its posterior;
    the weights of each have mean 1 / p(x), and so has the mean of all. Parameters are those of `annealed`.

    Raises
    ------
    InputError
        If the model's codes are not drawn, or jump.
    """
    at_least("n", n, 1)
    plan = _Plan(model, steps, chains, start, seed)
    parts, made = [], []
    with torch.no_grad():
        for rows in torch.arange(n).split(plan.rows_at_once):
            noise = plan.streams(DATA, rows)
            z = plan.draw(model.prior(len(rows)), 1, noise)
            x = sample(model.decode(z), 1, noise)[0, 0]
            raw = model.transform.inverse(x)
            # What the likelihood scores is what was drawn, whatever rounding is in the way there and back.
            batch = dataclasses.replace(model.batch(raw, noise), x=x)
            chains_of = _Rows(plan, batch, rows)
            lower, upper = weigh(chains_of.forward()[0])[0], -weigh(chains_of.reverse(z))[0]
            made.append(raw.cpu())
            parts.append(torch.stack([lower, upper]).cpu() + model.transform.log_dets(made[-1]))
    lower, upper = torch.cat(parts, 1)
    return Sandwich(lower, upper, torch.cat(made))


def schedule(steps: int) -> Tensor:
    """Return b_0 = 0, ..., b_steps = 1, on a sigmoid, which goes slowly at both ends: (steps + 1,), float64."""
    ramp = torch.linspace(-STEEPNESS, STEEPNESS, steps + 1, dtype=torch.float64).sigmoid()
    return (ramp - ramp[0]) / (ramp[-1] - ramp[0])


def _from_prior(model: Model, batch: Batch) -> tuple[Distribution, Path]:
    prior = model.prior(len(batch.x))
    return prior, Path(prior.log_prob, lambda z: model.decode(z).log_prob(batch.x))


def _from_posterior(model: Model, batch: Batch) -> tuple[Distribution, Path]:
    prior, q = model.prior(len(batch.x)), model.posterior(batch.seen)
    return q, Path(q.log_prob, lambda z: model.decode(z).log_prob(batch.x) + prior.log_prob(z) - q.log_prob(z))


BASES: Mapping[str, Callable[[Model, Batch], tuple[Distribution, Path]]] = {
    "prior": _from_prior,
    "posterior": _from_posterior,
}


@dataclass(frozen=True)
class _Plan:
    """What is annealed, and how."""

    model: Model
    steps: int
    chains: int
    start: Start
    seed: int

    def __post_init__(self) -> None:
        at_least("steps", self.steps, 1)
        at_least("chains", self.chains, 1)
        if self.start not in BASES:
            raise unknown("start of annealing", self.start, BASES)
        check_drawn(self.model)
        latent = self.model.latent
        if latent.jumps:
            raise InputError(
                f"annealing leads codes along a slope, and {latent.kind} codes jump; leave it out and take draws, or "
                f"train latent=gaussian"
            )

    @property
    def rows_at_once(self) -> int:
        """Rows whose chains are led together."""
        return max(1, min(ROWS_AT_ONCE, NUMBERS_AT_ONCE // (self.numbers * self.chains)))

    @property
    def numbers(self) -> int:
        """Parameters of the likelihood for one code."""
        return math.prod(self.model.param_shape)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """The number of the first chain, and how many are led together: all of them, unless examples are large."""
        at_once = max(1, NUMBERS_AT_ONCE // self.numbers)
        for first in range(0, self.chains, at_once):
            yield first, min(at_once, self.chains - first)

    def streams(self, purpose: int, rows: Tensor, first: int = 0) -> Noise:
        """A stream of random numbers for each row, by its number."""
        return RowNoise([(self.seed, purpose, row, first) for row in rows.tolist()], self.model.device)

    def draw(self, p: Distribution, count: int, noise: Noise) -> Tensor:
        """Codes (count, n, d), in the precision of the model."""
        return sample(p, count, noise).to(self.model.transform.scale.dtype)


class _Rows:
    """The chains of some rows: their path, and the sizes of its steps."""

    def __init__(self, plan: _Plan, batch: Batch, rows: Tensor) -> None:
        self.plan, self.rows = plan, rows
        self.base, self.path = BASES[plan.start](plan.model, batch)
        self.betas: list[float] = schedule(plan.steps).tolist()
        self.sizes = self._pilot()

    def forward(self) -> tuple[Tensor, Tensor]:
        """Log weights (chains, n) from draws of the base on, and how many of their steps were accepted."""
        runs = []
        for first, count in self.plan.blocks():
            noise = self.plan.streams(FORWARD, self.rows, first)
            place = self.path.at(self.plan.draw(self.base, count, noise))
            runs.append(self._lead(place, self.betas, self.sizes, noise))
        log_w, acceptance = (torch.cat(run) for run in zip(*runs, strict=True))
        return log_w, acceptance

    def reverse(self, z: Tensor) -> Tensor:
        """Log weights (chains, n) from draws z (1, n, d) of the posterior back."""
        runs = []
        for first, count in self.plan.blocks():
            place = self.path.at(z.expand(count, -1, -1))
            noise = self.plan.streams(REVERSE, self.rows, first)
            runs.append(self._lead(place, self.betas[::-1], self.sizes[::-1], noise)[0])
        return torch.cat(runs)

    def _lead(
        self, place: Place, betas: Sequence[float], sizes: Sequence[Tensor], noise: Noise
    ) -> tuple[Tensor, Tensor]:
        """Log weights of chains that are led from the first beta to the last, and their mean acceptance, (k, n)."""
        log_w = (betas[1] - betas[0]) * place.log_factor.double()
        accepted = torch.zeros_like(log_w)
        for beta, after, size in zip(betas[1:-1], betas[2:], sizes, strict=True):
            place, acceptance = self.path.move(place, beta, size, noise)
            log_w += (after - beta) * place.log_factor.double()
            accepted += acceptance
        return log_w, accepted / len(sizes) if sizes else accepted + 1

    def _pilot(self) -> list[Tensor]:
        """Sizes (n,) of each step, from chains that adapt them as they go (Robbins and Monro 1951)."""
        noise = self.plan.streams(PILOT, self.rows)
        place = self.path.at(self.plan.draw(self.base, PILOT_CHAINS, noise))
        log_size = place.log_base.new_full((len(self.rows),), PILOT_STEP).log()
        sizes = []
        for beta in self.betas[1:-1]:
            place, acceptance = self.path.move(place, beta, log_size.exp(), noise)
            log_size = log_size + PILOT_GAIN * (acceptance.mean(0) - ACCEPTANCE)
            sizes.append(log_size.exp())
        return sizes
