"""Squared errors of reconstructions, beside those of the baselines."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from narrows.baseline import Baseline, Typical
from narrows.inference import clean_input, in_chunks
from narrows.model import Model
from narrows.persist import Fitted

ROWS_AT_ONCE = 250


def errors(fitted: Fitted, values: Tensor) -> dict[str, Any]:
    """Mean squared errors an observed cell: the model's, its baseline's and the mean's, in the unit of errors."""
    model = fitted.model
    totals: dict[str, Tensor] = {}
    with torch.inference_mode():
        for raw in values.split(ROWS_AT_ONCE):
            raw = raw.to(model.device)
            beside = _errors_beside(fitted.baseline, model, model.transform(raw).x)
            for name, rows in {"reconstruction_error": _own_errors(model, raw), **beside}.items():
                totals[name] = totals.get(name, torch.zeros(())) + rows.double().sum().cpu()
    cells = len(values) * observed_cells(values) / model.schema.size
    found = {name: float(total / cells) for name, total in totals.items()}
    return {"pca_error": None, "mean_error": None, **found}


def row_errors(model: Model, values: Tensor) -> Tensor:
    """Mean squared error a cell of each raw row (n, x), in the unit of errors: (n,)."""
    return in_chunks(model, values, lambda raw: _own_errors(model, raw))


def _own_errors(model: Model, raw: Tensor) -> Tensor:
    """Errors (n,) of what a model makes of raw rows (n, x)."""
    z = model.latent.code(model.posterior(clean_input(model, raw)))
    return cell_errors(model, model.transform(raw).x, model.decode(z[None]).mean[0])


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
