"""Measure a trained model on data."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from narrows.apps.reading import Reading
from narrows.errors import InputError, at_least, check_seed
from narrows.records import Evaluation


def evaluate(
    model: Path,
    data: str,
    draws: int = 0,
    ais: int = 0,
    chains: int = 16,
    ais_start: Literal["prior", "posterior"] = "prior",
    samples: int = 0,
    train: str | None = None,
    rows: int = 0,
    seed: int = 0,
    reading: Reading = Reading(),  # noqa: B008  frozen
) -> Evaluation:
    """Measure a model: its bound on log p(x), its reconstruction error beside that of PCA, its active units.

    Parameters
    ----------
    model : Path
        A model file.
    data : str
        Data it was not trained on: a file, a folder of images, or a named data set such as fashion-sample:test.
    draws : int
        Draws for each row, of which log p(x) is estimated by importance sampling; 0 leaves it out.
    ais : int
        Steps of annealed importance sampling of log p(x), with bounds on both sides for rows that the model makes; 0
        leaves it out.
    chains : int
        Chains of annealed importance sampling for each row.
    ais_start : {"prior", "posterior"}
        Where they start: the prior, or the encoder's q(z | x), from which fewer steps are enough.
    samples : int
        New examples to make and to set beside the data: a Frechet distance, precision and recall, density and coverage,
        and whether a classifier tells them apart; 0 leaves them out.
    train : str, optional
        The data that the model was trained on, to say with --samples whether examples are copies of them.
    rows : int
        How many rows to measure, from the first; 0 for all.
    seed : int
        Seed of all draws.
    reading : Reading
        How to read the data.
    """
    at_least("rows", rows, 0)
    at_least("draws", draws, 0)
    at_least("ais", ais, 0)
    at_least("chains", chains, 1)
    at_least("samples", samples, 0)
    check_seed(seed)
    if train is not None and not samples:
        raise InputError("--train was given, and serves to judge samples; say how many, such as --samples 2000")

    from narrows.evaluate import evaluate as measure
    from narrows.persist import load
    from narrows.tensors import tensor_of

    fitted = load(model)
    values = tensor_of(reading.read(data, fitted.schema).values)
    values = values[:rows] if rows else values
    training = None if train is None else tensor_of(reading.read(train, fitted.schema).values)
    return measure(
        fitted,
        values,
        draws=draws,
        ais=ais,
        chains=chains,
        ais_start=ais_start,
        samples=samples,
        training=training,
        seed=seed,
    )
