"""What a trained model is worth on data: bounds, likelihood, errors, and the baselines that stand beside them."""

from __future__ import annotations

import math
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from narrows.baseline import Baseline, Typical
from narrows.distributions import divergence_by_unit
from narrows.errors import InputError, at_least
from narrows.inference import clean_input, codes
from narrows.model import Model
from narrows.noise import Noise
from narrows.persist import Fitted
from narrows.records import Evaluation
from narrows.sampling import sample

CELLS_AT_ONCE = 4_000_000
ROWS_AT_ONCE = 250


def evaluate(fitted: Fitted, values: Tensor, *, draws: int = 0, seed: int = 0) -> Evaluation:
    """Measure a model on raw rows.

    Parameters
    ----------
    fitted : Fitted
        The model and its baseline.
    values : Tensor, shape (n, x)
        Raw rows, not those it was trained on.
    draws : int
        Draws k for each row of the importance-sampled log likelihood; 0 leaves it out.
    seed : int
        Of all draws; equal seeds give equal figures.

    Raises
    ------
    InputError
        If the log likelihood is asked of a model that has none.
    """
    model = fitted.model.eval()
    at_least("draws", draws, 0)
    if draws and not model.latent.random:
        raise InputError(
            f"{model.latent.kind} codes have a price and no code length, so the model gives no log likelihood; leave "
            f"out the draws, or train preset variational"
        )
    distortion, rate = distortion_and_rate(model, values, seed)
    elbo = -(distortion + rate).double()
    weighed = log_likelihood(model, values, draws, seed) if draws else None
    used = model.latent.used(codes(model, values)) if len(values) > 1 else None
    bits = 1 / (observed_cells(values) * math.log(2))
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
        elbo_nats=float(elbo.mean()) if has_bound else None,
        elbo_standard_error=standard_error(elbo) if has_bound else None,
        bits_per_dim=-float(elbo.mean()) * bits if has_bound else None,
        log_likelihood_nats=float(weighed[0].mean()) if weighed else None,
        log_likelihood_standard_error=standard_error(weighed[0]) if weighed else None,
        log_likelihood_bits_per_dim=-float(weighed[0].mean()) * bits if weighed else None,
        draws=draws,
        effective_draws=float(weighed[1].mean()) if weighed else None,
        density=not model.transform.grid,
        kl_by_unit_nats=kl_by_unit(model, values),
    )


def distortion_and_rate(model: Model, values: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """-log p(x | z) in nats of the raw data, and KL or price, each (n,), with one draw of the clean input's code."""
    noise = Noise(seed, model.device)
    parts = []
    with torch.inference_mode():
        for raw in values.split(ROWS_AT_ONCE):
            terms = model.terms(model.batch(raw.to(model.device), noise), 1, noise)
            parts.append(torch.stack([-terms.log_px[0], terms.kl.mean(0).expand(len(raw))]).cpu())
    distortion, rate = torch.cat(parts, 1)
    return distortion - model.transform.log_dets(values), rate


def log_likelihood(model: Model, values: Tensor, draws: int, seed: int) -> tuple[Tensor, Tensor]:
    """Importance-sampled log p(x) of each raw row, with exactly ``draws`` draws (Burda et al. 2016, eq. 8).

    log 1/k sum_i p(x, z_i) / q(z_i | x): a lower bound on average, which closes as k grows.

    Returns
    -------
    log_px : Tensor, shape (n,)
        In nats of the raw data, float64.
    effective : Tensor, shape (n,)
        Effective number of draws, (sum w)^2 / sum w^2.
    """
    noise = Noise(seed, model.device)
    rows = max(1, min(ROWS_AT_ONCE, CELLS_AT_ONCE // model.schema.size))
    parts = []
    with torch.inference_mode():
        for raw in values.split(rows):
            batch = model.batch(raw.to(model.device), noise)
            q = model.posterior(batch.seen)
            prior = model.prior(len(raw))
            at_once = max(1, CELLS_AT_ONCE // (model.schema.size * len(raw)))
            sums: list[Tensor] = []
            for start in range(0, draws, at_once):
                z = sample(q, min(at_once, draws - start), noise)
                log_w = model.decode(z).log_prob(batch.x) + prior.log_prob(z) - q.log_prob(z)
                log_w = log_w.double()
                sums.append(torch.stack([torch.logsumexp(log_w, 0), torch.logsumexp(2 * log_w, 0)]))
            first, second = torch.logsumexp(torch.stack(sums), 0)
            parts.append(torch.stack([first - math.log(draws), (2 * first - second).exp()]).cpu())
    log_px, effective = torch.cat(parts, 1)
    return log_px + model.transform.log_dets(values), effective


def errors(fitted: Fitted, values: Tensor) -> dict[str, Any]:
    """Mean squared errors an observed cell: the model's, its baseline's and the mean's, in the unit of errors."""
    model = fitted.model
    totals: dict[str, Tensor] = {}
    with torch.inference_mode():
        for raw in values.split(ROWS_AT_ONCE):
            raw = raw.to(model.device)
            z = model.latent.code(model.posterior(clean_input(model, raw)))
            x = model.transform(raw).x
            own = cell_errors(model, x, model.decode(z[None]).mean[0])
            for name, rows in {"reconstruction_error": own, **_errors_beside(fitted.baseline, model, x)}.items():
                totals[name] = totals.get(name, torch.zeros(())) + rows.double().sum().cpu()
    cells = len(values) * observed_cells(values) / model.schema.size
    found = {name: float(total / cells) for name, total in totals.items()}
    return {"pca_error": None, "mean_error": None, **found}


def cell_errors(model: Model, x: Tensor, rebuilt: Tensor) -> Tensor:
    """Sum of a row's squared errors over its observed cells, by the number of its cells: (n,)."""
    errors: Tensor = model.transform.squared_errors(x, rebuilt).nansum(1) / model.schema.size
    return errors


@singledispatch
def _errors_beside(baseline: Baseline | Typical | None, model: Model, x: Tensor) -> dict[str, Tensor]:
    """Errors (n,) of a baseline on target rows, by the name of the figure."""
    return {}


@_errors_beside.register
def _(baseline: Baseline, model: Model, x: Tensor) -> dict[str, Tensor]:
    pca, mean = baseline.errors(model.transform.comparable(x).cpu())
    return {"pca_error": pca, "mean_error": mean}


@_errors_beside.register
def _(baseline: Typical, model: Model, x: Tensor) -> dict[str, Tensor]:
    return {"mean_error": cell_errors(model, x, baseline.row.to(x.device).expand_as(x))}


def observed_cells(values: Tensor) -> float:
    """Mean number of cells of a raw row that are not missing; at least one in all the rows."""
    if not values.is_floating_point():
        return float(values[0].numel())
    total = sum(int(rows.isfinite().sum()) for rows in values.split(ROWS_AT_ONCE))
    return max(total, 1) / len(values)


def kl_by_unit(model: Model, values: Tensor) -> list[float] | None:
    """Mean KL(q || p) of each unit over raw rows, in nats; None where it does not split over units."""
    if not model.latent.random:
        return None
    total: Tensor | None = None
    with torch.inference_mode():
        for raw in values.split(ROWS_AT_ONCE):
            q = model.posterior(clean_input(model, raw.to(model.device)))
            by_unit = divergence_by_unit(q, model.prior(len(raw)))
            if by_unit is None:
                return None
            total = by_unit.double().sum(0) + (0 if total is None else total)
    assert total is not None
    return [float(nats) for nats in total / len(values)]


def standard_error(rows: Tensor) -> float | None:
    """Standard error of the mean over rows; None for a single row."""
    return float(rows.double().std() / math.sqrt(len(rows))) if len(rows) > 1 else None
