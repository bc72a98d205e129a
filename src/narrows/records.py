"""Results: figures as frozen records, and records as plain JSON values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model on one data set; each says its unit. None where the model has no such figure.

    Parameters
    ----------
    rows, cells : int
        Examples, and cells in one example.
    reconstruction_error : float
        Mean squared error a cell of the mean of p(x | code), in ``error_unit``.
    pca_error, mean_error : float or None
        The same for principal components of the training rows at the same code size (not of mixed tables), and for
        their mean alone; in a mixed table the mean of numbers and the commonest of other values.
    error_unit : str
        The unit of the three errors.
    code_size, active_units, units : int
        Numbers in a code; units in use out of all (numbers of the code, or entries of a codebook).
    distortion_nats, rate_nats : float
        -log p(x | z) in nats of the raw data, and KL(q || p) or the price of the code; means over rows, one draw each.
    mutual_information_nats : float or None
        I_q(x; z), what a random code tells of which row it came from: too low on average for the law that the rows came
        from, and at most ln ``rows`` (of 2,000 rows at most).
    marginal_kl_nats : float or None
        KL(q(z) || p(z)) of the codes of these rows together, the rest of their rate: too high by as much as the other
        is too low.
    elbo_nats, elbo_standard_error : float or None
        Minus their sum, a lower bound on log p(x), and its standard error over rows.
    bits_per_dim : float or None
        -elbo / (cells ln 2).
    log_likelihood_nats, log_likelihood_standard_error : float or None
        Importance-sampled log p(x) with ``draws`` draws a row, and its standard error over rows.
    log_likelihood_bits_per_dim : float or None
        The same in bits a cell, its sign turned.
    log_likelihood_draws_error, log_likelihood_bias_nats : float or None
        The part of that error that comes of the draws, the rows being as they are, and how far the figure lies below
        log p(x) on average; both as the weights tell, and too small where few draws are effective.
    draws : int
        Draws for each row of the log likelihood; 0 where it was not asked for.
    effective_draws, effective_draws_lowest : float or None
        Effective sample size of the weights, (sum w)^2 / sum w^2: mean and lowest over rows.
    ais_nats, ais_standard_error, ais_bits_per_dim : float or None
        Log p(x) by annealed importance sampling, a lower bound on average, its standard error over rows, and in bits.
    ais_steps, ais_chains : int or None
        Steps of each chain, and chains for each row.
    ais_effective_chains, ais_acceptance : float or None
        Mean effective sample size of the chains' weights, and share of their steps that were accepted.
    simulated_lower_nats, simulated_upper_nats, simulated_gap_nats : float or None
        Annealing's bounds from below and above on log p(x) of ``simulated_rows`` rows drawn from the model, and the
        distance between them: how far annealing can be trusted on this model.
    samples : int or None
        New examples made.
    samples_compared_by : str or None
        What examples and rows are compared by: images by ``features of a classifier``, others by their ``standardised
        cells``.
    samples_frechet, training_frechet : float or None
        Squared Frechet distance of the examples from the rows, and of as many training rows from them.
    samples_precision, samples_recall, samples_density, samples_coverage : float or None
        How examples lie among the rows; see `narrows.evaluate.likeness.Likeness`.
    samples_told_apart, samples_told_apart_low, samples_told_apart_high, samples_told_apart_p_value : float or None
        Share of held-out examples and rows that a classifier tells right, the ends of its 95 % interval, and its
        p-value; 0.5 is chance.
    samples_nearest_training, held_out_nearest_training : float or None
        Median distance to the nearest training row, of the examples and of the rows: root of the mean squared
        difference a standardised cell.
    samples_nearer_than_rare : float or None
        Share of the examples that are nearer to a training row than all but 1 % of the rows are: copies make it large.
    density : bool
        Whether the figures are those of a density, which may be above 0 and depends on the unit of the data.
    kl_by_unit_nats : list of float or None
        KL(q || p) of each unit, where it splits.
    """

    rows: int
    cells: int
    reconstruction_error: float
    pca_error: float | None
    mean_error: float | None
    error_unit: str
    code_size: int
    active_units: int | None
    units: int | None
    distortion_nats: float
    rate_nats: float
    mutual_information_nats: float | None
    marginal_kl_nats: float | None
    elbo_nats: float | None
    elbo_standard_error: float | None
    bits_per_dim: float | None
    draws: int
    density: bool
    kl_by_unit_nats: list[float] | None
    log_likelihood_nats: float | None = None
    log_likelihood_standard_error: float | None = None
    log_likelihood_bits_per_dim: float | None = None
    log_likelihood_draws_error: float | None = None
    log_likelihood_bias_nats: float | None = None
    effective_draws: float | None = None
    effective_draws_lowest: float | None = None
    ais_steps: int | None = None
    ais_chains: int | None = None
    ais_nats: float | None = None
    ais_standard_error: float | None = None
    ais_bits_per_dim: float | None = None
    ais_effective_chains: float | None = None
    ais_acceptance: float | None = None
    simulated_rows: int | None = None
    simulated_lower_nats: float | None = None
    simulated_upper_nats: float | None = None
    simulated_gap_nats: float | None = None
    samples: int | None = None
    samples_compared_by: str | None = None
    samples_frechet: float | None = None
    training_frechet: float | None = None
    samples_precision: float | None = None
    samples_recall: float | None = None
    samples_density: float | None = None
    samples_coverage: float | None = None
    samples_told_apart: float | None = None
    samples_told_apart_low: float | None = None
    samples_told_apart_high: float | None = None
    samples_told_apart_p_value: float | None = None
    samples_nearest_training: float | None = None
    held_out_nearest_training: float | None = None
    samples_nearer_than_rare: float | None = None


@dataclass(frozen=True)
class Kept:
    """What codes of one kind keep of rows that they were not learnt from; None where there is no such figure.

    Parameters
    ----------
    codes : str
        Whose they are.
    squared_error : float or None
        Mean squared error a cell of what is decoded from them.
    trustworthiness, continuity : float or None
        How rarely a row near to another by the codes is far by the data, and the other way round: 1 for never, about
        0.5 for codes of chance (Venna and Kaski 2001).
    neighbour_accuracy : float or None
        Share of rows whose label is that of most of their nearest neighbours.
    probe_accuracy : float or None
        The same of a logistic regression on the codes, each number standardised.
    """

    codes: str
    squared_error: float | None
    trustworthiness: float | None
    continuity: float | None
    neighbour_accuracy: float | None
    probe_accuracy: float | None


@dataclass(frozen=True)
class CodeCheck:
    """A model's codes beside those of principal components of the same number.

    Parameters
    ----------
    rows : int
        Rows measured, none of which the codes were learnt from.
    code_size : int
        Numbers in a code.
    error_unit : str
        Unit of the squared errors.
    neighbours : int
        Nearest neighbours that figures look at.
    codes : list of Kept
        The model's first.
    notes : list of str
        How it was measured, and what was left out.
    """

    rows: int
    code_size: int
    error_unit: str
    neighbours: int
    codes: list[Kept]
    notes: list[str]


def plain(value: Any) -> Any:
    """Dataclasses, paths and non-finite numbers as JSON has them (null for the last)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
