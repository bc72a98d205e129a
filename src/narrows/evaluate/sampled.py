"""What a model makes, beside real rows that it was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.data.writers import in_stored_type
from narrows.errors import InputError, at_least
from narrows.evaluate.features import features_of
from narrows.evaluate.likeness import frechet, likeness
from narrows.evaluate.nearest import nearest_distances
from narrows.evaluate.two_samples import told_apart
from narrows.inference import clean_input, in_chunks, samples
from narrows.model import Model

FEWEST = 20  # more than neighbours, and enough for halves of either
MOST_CELLS = 2048
NEAREST_ROWS = 1000
RARE = 0.01


def figures_of_samples(model: Model, values: Tensor, n: int, training: Tensor | None, seed: int) -> dict[str, Any]:
    """Figures of n new examples, as `narrows generate` writes them, beside real rows; see `figures_beside`.

    Raises
    ------
    InputError
        If the model has nothing to draw from, there are too few rows, or a row has too many cells.
    """
    at_least("samples", n, FEWEST)
    at_least("rows, to set samples beside,", len(values), FEWEST)
    if training is not None:
        at_least("rows of the training data", len(training), FEWEST)
    if not model.schema.is_image and model.schema.size > MOST_CELLS:
        raise InputError(
            f"samples are compared by their cells where they are no images, and a row has {model.schema.size}; give "
            f"data of at most {MOST_CELLS} cells, or leave out --samples"
        )
    made = in_stored_type(samples(model, n, seed).numpy(), model.schema)
    return figures_beside(model, torch.from_numpy(made), values, training, seed)


def figures_beside(
    model: Model, made: Tensor, values: Tensor, training: Tensor | None = None, seed: int = 0
) -> dict[str, Any]:
    """Figures of examples beside real rows.

    Images are compared by what they show (see `narrows.evaluate.features`), other rows by their standardised cells, as
    the encoder sees them.

    Parameters
    ----------
    model : Model
        Which knows what the rows are and how they are standardised.
    made : Tensor, shape (n, x)
        Examples, raw.
    values : Tensor, shape (m, x)
        Raw rows that were not trained on; of the larger of the two sets a part is taken for all figures but the
        distance of gaussians.
    training : Tensor, shape (t, x), optional
        Raw rows that were, of which the same figures are told where they help to judge those of examples.
    seed : int
        Of which rows are taken, and of the classifier.
    """
    real, told = _told_by(model, values), _told_by(model, made)
    as_many = min(len(made), len(values))
    some_real, some_made = real[_places(len(real), as_many, seed).numpy()], told[:as_many]
    near, apart = likeness(some_real, some_made), told_apart(some_real, some_made, seed)
    figures = {
        "samples": len(made),
        "samples_compared_by": "features of a classifier" if model.schema.is_image else "standardised cells",
        "samples_frechet": frechet(told, real),
        "samples_precision": near.precision,
        "samples_recall": near.recall,
        "samples_density": near.density,
        "samples_coverage": near.coverage,
        "samples_told_apart": apart.accuracy,
        "samples_told_apart_low": apart.low,
        "samples_told_apart_high": apart.high,
        "samples_told_apart_p_value": apart.p_value,
    }
    if training is None:
        return figures
    known, picked = _cells(model, training), training[_places(len(training), len(made), seed)]
    some_values = values[_places(len(values), NEAREST_ROWS, seed)]
    own, fresh = (nearest_distances(_cells(model, rows), known) for rows in (made[:NEAREST_ROWS], some_values))
    return figures | {
        "training_frechet": frechet(_told_by(model, picked), real),
        "samples_nearest_training": float(own.median()),
        "held_out_nearest_training": float(fresh.median()),
        "samples_nearer_than_rare": float((own < fresh.quantile(RARE)).double().mean()),
    }


def _told_by(model: Model, values: Tensor) -> np.ndarray:
    """What rows are compared by (n, d)."""
    if model.schema.is_image:
        return features_of(values.numpy(), model.schema)
    return _cells(model, values).double().numpy()


def _cells(model: Model, values: Tensor) -> Tensor:
    """Standardised cells (n, d); of a mixed table with indicators of categories and of gaps."""
    return in_chunks(model, values, lambda raw: clean_input(model, raw).flatten(1))


def _places(rows: int, n: int, seed: int) -> Tensor:
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))[:n]
