"""All figures of a trained model on data."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from narrows.errors import at_least
from narrows.evaluate.annealing import CHAINS, Start, annealed, bidirectional
from narrows.evaluate.bounds import distortion_and_rate, kl_by_unit
from narrows.evaluate.importance import check_drawn, log_likelihood
from narrows.evaluate.information import chosen, mutual_information
from narrows.evaluate.reconstruction import errors, observed_cells
from narrows.evaluate.sampled import figures_of_samples
from narrows.inference import codes
from narrows.model import Model
from narrows.persist import Fitted
from narrows.records import Evaluation

SIMULATED_ROWS = 100


def evaluate(
    fitted: Fitted,
    values: Tensor,
    *,
    draws: int = 0,
    ais: int = 0,
    chains: int = CHAINS,
    ais_start: Start = "prior",
    samples: int = 0,
    training: Tensor | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure a model on raw rows.

    Parameters
    ----------
    fitted : Fitted
        The model and its baseline.
    values : Tensor, shape (n, x)
        Raw rows, not those it was trained on.
    draws : int
        Draws k for each row of the importance-sampled log likelihood; 0 leaves it out.
    ais : int
        Steps of annealed importance sampling; 0 leaves it out.
    chains : int
        Chains for each row of annealed importance sampling.
    ais_start : {"prior", "posterior"}
        Where its chains start; see `annealed`.
    samples : int
        New examples to make and to set beside the rows; 0 leaves them out.
    training : Tensor, shape (t, x), optional
        Raw rows that the model was trained on, to judge the examples by.
    seed : int
        Of all draws; equal seeds give equal figures.

    Raises
    ------
    InputError
        If the log likelihood is asked of a model that has none, annealing of codes that jump, or examples of a model
        that makes none.
    """
    model = fitted.model.eval()
    at_least("draws", draws, 0)
    at_least("ais", ais, 0)
    at_least("samples", samples, 0)
    if draws:
        check_drawn(model)
    # First, as it may refuse.
    by_annealing = _annealing(model, values, ais, chains, ais_start, seed) if ais else {}
    of_samples = figures_of_samples(model, values, samples, training, seed) if samples else {}
    distortion, rate = distortion_and_rate(model, values, seed)
    elbo = -(distortion + rate).double()
    used = model.latent.used(codes(model, values)) if len(values) > 1 else None
    information = mutual_information(model, values, seed) if model.latent.random else None
    # Of the same rows, or the difference of two samples would be in what is left.
    rate_there = float(rate.double()[chosen(len(values))].mean())
    has_bound = model.latent.bounds
    return Evaluation(
        rows=len(values),
        cells=model.schema.size,
        **errors(fitted, values),
        error_unit=model.transform.error_unit,
        code_size=model.latent.size,
        active_units=None if used is None else int(used.sum()),
        units=None if used is None else len(used),
        distortion_nats=float(distortion.double().mean()),
        rate_nats=float(rate.double().mean()),
        mutual_information_nats=information,
        # Of the same rows, or the difference of two samples would be in it.
        marginal_kl_nats=None if information is None else rate_there - information,
        elbo_nats=float(elbo.mean()) if has_bound else None,
        elbo_standard_error=standard_error(elbo) if has_bound else None,
        bits_per_dim=_bits_per_dim(float(elbo.mean()), values) if has_bound else None,
        draws=draws,
        **(_importance(model, values, draws, seed) if draws else {}),
        **by_annealing,
        **of_samples,
        density=not model.transform.grid,
        kl_by_unit_nats=kl_by_unit(model, values),
    )


def _importance(model: Model, values: Tensor, draws: int, seed: int) -> dict[str, Any]:
    """Figures of the importance-sampled log likelihood."""
    weighed = log_likelihood(model, values, draws, seed)
    return {
        "log_likelihood_nats": weighed.mean,
        "log_likelihood_standard_error": standard_error(weighed.log_px),
        "log_likelihood_bits_per_dim": _bits_per_dim(weighed.mean, values),
        "log_likelihood_draws_error": weighed.draws_error,
        "log_likelihood_bias_nats": weighed.bias,
        "effective_draws": float(weighed.effective.mean()),
        "effective_draws_lowest": float(weighed.effective.min()),
    }


def _annealing(model: Model, values: Tensor, steps: int, chains: int, start: Start, seed: int) -> dict[str, Any]:
    """Figures of the log likelihood by annealing, and of its bounds on rows that the model makes."""
    weighed = annealed(model, values, steps, chains, start=start, seed=seed)
    sandwich = bidirectional(model, min(SIMULATED_ROWS, len(values)), steps, chains, start=start, seed=seed)
    return {
        "ais_steps": steps,
        "ais_chains": chains,
        "ais_nats": weighed.mean,
        "ais_standard_error": standard_error(weighed.log_px),
        "ais_bits_per_dim": _bits_per_dim(weighed.mean, values),
        "ais_effective_chains": float(weighed.effective.mean()),
        "ais_acceptance": float(weighed.acceptance.mean()),
        "simulated_rows": len(sandwich.lower),
        "simulated_lower_nats": float(sandwich.lower.mean()),
        "simulated_upper_nats": float(sandwich.upper.mean()),
        "simulated_gap_nats": sandwich.gap,
    }


def _bits_per_dim(nats: float, values: Tensor) -> float:
    """Minus the nats of a row, in bits an observed cell."""
    return -nats / (observed_cells(values) * math.log(2))


def standard_error(rows: Tensor) -> float | None:
    """Standard error of the mean over rows; None for a single row."""
    return float(rows.double().std() / math.sqrt(len(rows))) if len(rows) > 1 else None
