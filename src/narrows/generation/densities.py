"""Densities of codes fitted by maximum likelihood; held-out codes choose what needs choosing."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from narrows.descent import Adam
from narrows.distributions import DiagonalNormal, FullNormal
from narrows.distributions import Mixture as MixtureOf
from narrows.errors import InputError
from narrows.latents import Flow
from narrows.noise import Noise

MOST_PARTS = 128
ROWS_OF_PART = 5  # times the numbers that a part has: with fewer rows for each, more parts are not tried
WORSE = 2  # sizes in a row that held-out codes like less, before the search ends
ITERATIONS = 100
FLOOR = 1e-5  # least variance of a part, in those of the codes

FLOW_STEPS = 3000
FLOW_BATCH = 512
FLOW_RATE = 2e-3
LOOK_EVERY = 100


@dataclass(frozen=True)
class Parts:
    """A fitted mixture.

    Parameters
    ----------
    log_weights : Tensor, shape (c,)
        Of the parts.
    normals : DiagonalNormal or FullNormal
        The parts, of batch (c,).
    """

    log_weights: Tensor
    normals: DiagonalNormal | FullNormal

    def nats(self, codes: Tensor) -> float:
        """Mean log density of codes (n, d)."""
        return float(MixtureOf(self.log_weights, self.normals, len(codes)).log_prob(codes[None]).mean())


def fit_parts(codes: Tensor, held_out: Tensor, scale: Tensor, *, full: bool, components: int, seed: int) -> Parts:
    """Fit a gaussian mixture to codes by expectation and maximisation (Dempster et al. 1977).

    Parameters
    ----------
    codes, held_out : Tensor, shape (n, d), float64
        Codes to fit to, and to choose by.
    scale : Tensor, shape (d,)
        In which the least variance of a part is told; see `scale_of`.
    full : bool
        Whether the numbers of a code depend on each other within a part.
    components : int
        So many parts; 0 tries 1, 2, 4, ... until held-out codes have had enough, and takes those that they liked best.
    seed : int
        Of where the parts begin.
    """
    if components or not len(held_out):
        return _mixture(codes, scale, components or 1, full, seed)
    best, worse, kept = -math.inf, 0, None
    for size in _sizes(len(codes), codes.shape[1], full):
        parts = _mixture(codes, scale, size, full, seed)
        nats = parts.nats(held_out)
        worse = 0 if nats > best else worse + 1
        if nats > best:
            best, kept = nats, parts
        if worse == WORSE:
            break
    assert kept is not None
    return kept


def scale_of(codes: Tensor) -> Tensor:
    """Standard deviation of each number of codes (n, d), none below a thousandth of the largest."""
    scale = codes.std(0)
    if not bool((scale > 0).any()):
        raise InputError("every code is the same, so that no density can be fitted; train the model longer")
    return scale.clamp_min(1e-3 * scale.max())


def _sizes(rows: int, d: int, full: bool) -> Iterator[int]:
    """Numbers of parts to try: those for each of which there are rows enough."""
    numbers = d * (d + 3) // 2 if full else 2 * d
    enough = max(1, rows // (ROWS_OF_PART * numbers))
    return itertools.takewhile(lambda size: size <= min(enough, MOST_PARTS), (2**power for power in itertools.count()))


def _mixture(codes: Tensor, scale: Tensor, size: int, full: bool, seed: int) -> Parts:
    fitted = GaussianMixture(
        min(size, len(codes)),
        covariance_type="full" if full else "diag",
        reg_covar=FLOOR,
        max_iter=ITERATIONS,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # held-out codes judge what came of it
        fitted.fit((codes / scale).numpy())
    means, log_weights = torch.from_numpy(fitted.means_) * scale, torch.from_numpy(fitted.weights_).log()
    if not full:
        return Parts(log_weights, DiagonalNormal(means, torch.from_numpy(fitted.covariances_).sqrt() * scale))
    precisions = torch.from_numpy(fitted.precisions_) / scale / scale[:, None]
    return Parts(log_weights, FullNormal(means, torch.linalg.cholesky(precisions)))


def fit_flow(flow: Flow, draws: Iterator[Tensor], held_out: Tensor) -> None:
    """Fit a flow, once it is built, by maximum likelihood; it keeps the weights that held-out codes liked best.

    Parameters
    ----------
    flow : Flow
        Begins as N(0, I), and is moved first to where the codes lie.
    draws : iterator of Tensor, shape (n, d)
        Batches of codes, for as many steps as are wanted.
    held_out : Tensor, shape (m, d)
        Codes to choose by.
    """
    first = next(draws)
    with torch.no_grad():
        flow.placed.shift.copy_(first.mean(0))
        flow.placed.log_scale.copy_(scale_of(first).log())
    optimizer = Adam([(list(flow.parameters()), 1.0)], FLOW_RATE)
    best, kept = -math.inf, dict[str, Tensor]()
    for step, codes in enumerate(itertools.islice(draws, FLOW_STEPS)):
        optimizer.rate = FLOW_RATE * 0.5 * (1 + math.cos(math.pi * step / FLOW_STEPS))
        optimizer.forget()
        (-flow_nats(flow, codes)).backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 10.0)
        optimizer.step()
        if step % LOOK_EVERY == LOOK_EVERY - 1:
            with torch.no_grad():
                nats = float(flow_nats(flow, held_out))
            if nats > best:
                best, kept = nats, {name: weight.clone() for name, weight in flow.state_dict().items()}
    flow.load_state_dict(kept)


def flow_nats(flow: Flow, codes: Tensor) -> Tensor:
    """Mean log density of codes (n, d)."""
    law: torch.distributions.Distribution = flow(len(codes), codes.device)
    return law.log_prob(codes[None]).mean()


def batches_of(codes: Tensor, size: int, noise: Noise) -> Iterator[Tensor]:
    """Codes drawn with replacement, (size, d) each, without end."""
    while True:
        picked = noise.uniform((size,), rows=0).mul(len(codes)).long()
        yield codes[picked]
