"""Every estimator of the gradient beside the exact one: bias, variance, what the variance costs, signal to noise.

On a problem so small that the exact gradient is a sum (codes of six bits) or a quadrature (codes of two gaussian
numbers), where the encoder starts and near where it ends. The chapter is docs/theory/gradients.md.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass

from narrows.axes import Gradient, Objective
from narrows.gradients.baselines import BASELINES
from narrows.latents import Bernoulli, Gaussian
from narrows.objectives import Elbo, Iwae
from narrows.parts import kinds
from narrows.study.problem import CELLS, Problem, tested
from narrows.study.tables import Table

QUESTION = "which estimator of the gradient to trust, and what does its noise cost?"
SEEDS, ROWS = 20, 2000  # estimates of a seed
TIMED = 5  # of which the fastest counts
OBJECTIVES: tuple[Objective, ...] = (Elbo(samples=2), Iwae(samples=2))
LATENTS = (Bernoulli(6), Gaussian(2))
PLACES = ("start", "near the end")
KS = (1, 2, 4, 8, 16, 32, 64)
SIGNAL_DRAWS = 120_000  # of codes for each point


@dataclass(frozen=True)
class Estimator:
    """One estimator at one place.

    Parameters
    ----------
    name, codes, objective, place : str
        Which estimator, of which gradient, at which weights.
    claim : str
        "none", or why it says that it is biased.
    bias, noise : float
        Norm of the mean error of all estimates by that of the gradient, and what chance alone makes of it.
    p_value : float
        Of the test that there is no bias.
    rejected : int
        Seeds of 20 in which the same test rejects at 5 %: of an unbiased one 0 to 5, but once in 3000 times.
    variance : float
        Of one estimate (two draws for each of four rows), by the squared norm of the gradient.
    microseconds : float
        Time for an estimate, many at once.
    """

    name: str
    codes: str
    objective: str
    place: str
    claim: str
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
        groups = dict.fromkeys((e.codes, e.objective, e.place) for e in self.estimators)
        columns = (
            "estimator",
            "says it is biased",
            "bias",
            "by chance",
            "p",
            "rejected",
            "variance",
            "µs",
            "variance x µs",
        )
        found = []
        for group in groups:
            rows = [
                (
                    e.name,
                    "no" if e.claim == "none" else "yes",
                    e.bias,
                    e.noise,
                    f"{e.p_value:.1g}",
                    f"{e.rejected}/{SEEDS}",
                    e.variance,
                    e.microseconds,
                    e.work,
                )
                for e in self.estimators
                if (e.codes, e.objective, e.place) == group
            ]
            found.append(Table("{}, {}, {}: by the norm of the exact gradient".format(*group), columns, rows))
        signals = [(s.name, s.draws, s.encoder, s.decoder) for s in self.signals]
        return [*found, Table("signal to noise under iwae", ("estimator", "draws", "encoder", "decoder"), signals)]


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
                estimators += [_estimator(one, problem, objective, place, seed) for one in _serving(problem, objective)]
    start = Problem(LATENTS[1])
    for k in KS:
        objective = Iwae(samples=k)
        signals += [_signal(one, start, objective, seed) for one in _serving(start, objective) if _follows_a_path(one)]
    return Gradients(seed, estimators, signals)


def every_estimator() -> Iterator[Gradient]:
    """Every kind in the registry, with every baseline, and with hard codes."""
    for kind in kinds("gradient").values():
        allowed = kind.parameters_of()
        variants = [{"baseline": name} for name in BASELINES] if "baseline" in allowed else [{}]
        for options in [*variants, *([{"hard": True}] if "hard" in allowed else [])]:
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


def _estimator(gradient: Gradient, problem: Problem, objective: Objective, place: str, seed: int) -> Estimator:
    seconds = []
    for _ in range(TIMED):
        began = time.perf_counter()
        problem.estimates(gradient, objective, ROWS, seed)
        seconds.append(time.perf_counter() - began)
    by_seed = (problem.estimates(gradient, objective, ROWS, seed * SEEDS + turn) for turn in range(SEEDS))
    latent = problem.latent
    return Estimator(
        name=name_of(gradient),
        codes=f"{latent.size} {'bits' if latent.discrete else 'gaussian numbers'}",
        objective=f"{objective.kind} of {objective.samples} draws",
        place=place,
        claim=gradient.bias(latent, objective) or "none",
        microseconds=1e6 * min(seconds) / ROWS,
        **dataclasses.asdict(tested(by_seed, problem.exact(objective))),
    )


def _follows_a_path(gradient: Gradient) -> bool:
    return not gradient.get_params().get("baseline", "") or gradient.get_params()["baseline"] == "leave-one-out"


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
