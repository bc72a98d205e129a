"""Every estimator of the gradient beside the exact one: bias, variance, what the variance costs, signal to noise.

On a problem so small that the exact gradient is a sum (codes of six bits) or a quadrature (codes of two gaussian
numbers), where descent starts and some steps of it later. The chapter is docs/theory/gradients.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from narrows.axes import Gradient, Objective
from narrows.gradients.baselines import BASELINES
from narrows.latents import Bernoulli, Gaussian
from narrows.objectives import Elbo, Iwae
from narrows.parts import kinds
from narrows.study.problem import CELLS, Problem, measured
from narrows.study.tables import Table

SEEDS, ROWS = 20, 2000  # estimates of a seed
TIMED = 5  # of which the fastest counts
OBJECTIVES: tuple[Objective, ...] = (Elbo(samples=2), Iwae(samples=2))
LATENTS = (Bernoulli(6), Gaussian(2))
PLACES = ("start", "later")
KS = (1, 4, 16, 64)
SIGNAL_DRAWS = 400_000  # of codes for each point
SIGNALS = ("pathwise", "sticking-the-landing", "doubly-reparameterised", "score, baseline leave-one-out")
COLUMNS = ("estimator", "biased, it says", "bias", "by chance", "p", "rejected", "variance", "µs", "variance x µs")


@dataclass(frozen=True)
class Estimator:
    """One estimator at one place.

    Parameters
    ----------
    name, codes, objective, place : str
        Which estimator, of which gradient, at which weights.
    claim : str
        "none", or why it says that it is biased.
    norm : float
        Of the exact gradient, in nats.
    bias, noise : float
        Norm of the mean error of all estimates, and what chance alone makes of it, in nats.
    p_value : float
        Of the test that there is no bias.
    rejected : int
        Seeds of 20 in which the same test rejects at 5 %: of an unbiased one 0 to 5, but once in 3000 times.
    variance : float
        Of one estimate (two draws for each of four rows), in nats^2.
    microseconds : float
        Time of the processor for an estimate, many at once.
    """

    name: str
    codes: str
    objective: str
    place: str
    claim: str
    norm: float
    bias: float
    noise: float
    p_value: float
    rejected: int
    variance: float
    microseconds: float

    @property
    def work(self) -> float:
        """Variance that is left after one second of estimates, in millionths: variance times seconds each."""
        return self.variance * self.microseconds

    def row(self) -> tuple[Any, ...]:
        """Cells under `COLUMNS`."""
        claim, rejected = "no" if self.claim == "none" else "yes", f"{self.rejected}/{SEEDS}"
        figures = (self.variance, self.microseconds, self.work)
        return (self.name, claim, self.bias, self.noise, f"{self.p_value:.1g}", rejected, *figures)


@dataclass(frozen=True)
class Signal:
    """Signal to noise of a gradient under iwae: norm of its mean by the root of its variance.

    Parameters
    ----------
    name : str
        Of the estimator.
    draws : int
        k.
    encoder, decoder : float
        For the weights of either.
    """

    name: str
    draws: int
    encoder: float
    decoder: float


@dataclass(frozen=True)
class Gradients:
    """What the study of gradients found.

    Parameters
    ----------
    seed : int
        Of everything.
    estimators : list of Estimator
        Every one that serves the codes and the objective.
    signals : list of Signal
        By the number of draws, gaussian codes.
    """

    seed: int
    estimators: list[Estimator]
    signals: list[Signal]

    def tables(self) -> list[Table]:
        """A table for each kind of code and objective, and one of signals."""
        groups: dict[tuple[str, str, str, float], list[Estimator]] = {}
        for one in self.estimators:
            groups.setdefault((one.codes, one.objective, one.place, one.norm), []).append(one)
        found = []
        for (codes, objective, place, norm), own in groups.items():
            title = f"{codes}, {objective}, {place}: exact gradient of norm {norm:.3g}, in nats"
            found.append(Table(title, COLUMNS, [one.row() for one in own]))
        ordered = sorted(self.signals, key=lambda one: SIGNALS.index(one.name))
        signals = [(one.name, one.draws, one.encoder, one.decoder) for one in ordered]
        said = "signal to noise under iwae, 2 gaussian numbers, later"
        return [*found, Table(said, ("estimator", "draws", "encoder", "decoder"), signals)]


def run(seed: int = 0) -> Gradients:
    """Test every estimator in the registry at both places, and measure signal to noise.

    Parameters
    ----------
    seed : int
        Of the draws.
    """
    estimators, signals = list[Estimator](), list[Signal]()
    for latent in LATENTS:
        start = Problem(latent)
        for place, problem in zip(PLACES, (start, start.descended(OBJECTIVES[0])), strict=True):
            for objective in OBJECTIVES if place == PLACES[0] else OBJECTIVES[:1]:
                exact = problem.exact(objective)
                for gradient in _serving(problem, objective):
                    estimators.append(_estimator(gradient, problem, objective, exact, place, seed))
    later = Problem(LATENTS[1]).descended(OBJECTIVES[0])
    for k in KS:
        objective = Iwae(samples=k)
        signals += [
            _signal(one, later, objective, seed) for one in _serving(later, objective) if name_of(one) in SIGNALS
        ]
    return Gradients(seed, estimators, signals)


def every_estimator() -> Iterator[Gradient]:
    """Every kind in the registry, with every baseline, and with hard codes."""
    for kind in kinds("gradient").values():
        allowed = kind.parameters_of()
        variants: list[dict[str, Any]] = [{"baseline": name} for name in BASELINES] if "baseline" in allowed else [{}]
        if "hard" in allowed:
            variants.append({"hard": True})
        for options in variants:
            part = kind(**options)
            assert isinstance(part, Gradient)
            yield part


def name_of(gradient: Gradient) -> str:
    """The kind, and what differs from its defaults."""
    chosen = gradient.get_params()
    if "baseline" in chosen:
        return f"{gradient.kind}, baseline {chosen['baseline']}"
    return f"{gradient.kind}, hard" if chosen.get("hard") else gradient.kind


def _serving(problem: Problem, objective: Objective) -> Iterator[Gradient]:
    """Estimators that serve such codes under an objective, their baselines warm."""
    for gradient in every_estimator():
        if not gradient.refuses_pair(problem.latent, objective):
            gradient.build((CELLS,))
            problem.warm(gradient, objective)
            yield gradient


def _estimator(
    gradient: Gradient, problem: Problem, objective: Objective, exact: Tensor, place: str, seed: int
) -> Estimator:
    seconds = []
    for _ in range(TIMED):
        began = time.process_time()
        problem.estimates(gradient, objective, ROWS, seed)
        seconds.append(time.process_time() - began)
    by_seed = (problem.estimates(gradient, objective, ROWS, seed * SEEDS + turn) for turn in range(SEEDS))
    latent, found = problem.latent, measured(by_seed, exact)
    return Estimator(
        name=name_of(gradient),
        codes=f"{latent.size} {'bits' if latent.discrete else 'gaussian numbers'}",
        objective=f"{objective.kind} of {objective.samples} draws",
        place=place,
        claim=gradient.bias(latent, objective) or "none",
        norm=float(exact.norm()),
        microseconds=1e6 * min(seconds) / ROWS,
        bias=found.bias,
        noise=found.noise,
        p_value=found.p_value,
        rejected=found.rejected,
        variance=found.variance,
    )


def _signal(gradient: Gradient, problem: Problem, objective: Objective, seed: int) -> Signal:
    """The square of the mean is that of the rows' mean, less what the rows' variance adds to it."""
    rows = problem.estimates(gradient, objective, max(SIGNAL_DRAWS // (4 * objective.samples), 400), seed).double()
    at = problem.encoder.numel()
    ratios = []
    for part in (rows[:, :at], rows[:, at:]):
        variance = part.var(0).sum()
        squared = (part.mean(0).square().sum() - variance / len(rows)).clamp_min(0)
        ratios.append(float((squared / variance).sqrt()))
    return Signal(name_of(gradient), objective.samples, *ratios)
