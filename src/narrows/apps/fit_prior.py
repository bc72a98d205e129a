"""Fit a prior to the codes of a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from narrows.apps.reading import Reading
from narrows.atomic import check_target
from narrows.errors import InputError, at_least, check_seed


@dataclass(frozen=True)
class Prior:
    """What the fit of a prior came to.

    Parameters
    ----------
    model : str
        The file written.
    prior : str
        What was fitted, and of how many parts.
    rows, held_out : int
        Rows given, and those of them held out to choose by.
    classes : int or None
        Classes whose codes can be drawn by themselves.
    held_out_nats : float
        Mean log p(z) of the codes of rows held out.
    before_nats : float or None
        The same under the prior that the model had; the bound on log p(x) gains the difference.
    """

    model: str
    prior: str
    rows: int
    held_out: int
    classes: int | None
    held_out_nats: float
    before_nats: float | None


def fit_prior(
    model: Path,
    data: str,
    output: Path,
    prior: Literal["mixture", "flow", "aggregate"] = "mixture",
    components: int = 0,
    by_label: bool = False,
    seed: int = 0,
    reading: Reading = Reading(),  # noqa: B008  frozen
) -> Prior:
    """Fit a prior to the codes of training rows, and write the same model with it: better draws, a tighter bound.

    Parameters
    ----------
    model : Path
        A model file with gaussian codes, or with plain ones, which have no prior of their own.
    data : str
        The data that it was trained on: a file, a folder of images, or a named data set.
    output : Path
        The model file to write.
    prior : {"mixture", "flow", "aggregate"}
        A gaussian mixture, a coupling flow, or the codes of some training rows with the spread that each has.
    components : int
        Parts of a mixture, or rows of an aggregate; 0 for as many as held-out codes like best, or 1,000 rows.
    by_label : bool
        Fit class by class, so that examples of one class can be made.
    seed : int
        Seed of all draws.
    reading : Reading
        How to read the data.
    """
    at_least("components", components, 0)
    check_seed(seed)
    check_target(output, inputs=[model, data])

    from narrows.generation import fit_prior as fit
    from narrows.persist import load, save
    from narrows.tensors import tensor_of

    fitted = load(model)
    dataset = reading.read(data, fitted.schema)
    if by_label and dataset.labels is None:
        raise InputError(
            "--by-label was given, and the data have no labels; name their column by --label, or leave it out"
        )
    labels = dataset.labels if by_label else None
    found = fit(fitted, tensor_of(dataset.values), prior, labels=labels, components=components, seed=seed)
    save(found.fitted, output)
    told = found.fitted.record["prior"]
    parts = f" of {told['components']} parts" if "components" in told else ""
    return Prior(
        model=str(output),
        prior=f"{prior}{parts}{', each with a covariance of its own' if told.get('full') else ''}",
        rows=told["rows"],
        held_out=told["held_out"],
        classes=told["classes"] or None,
        held_out_nats=found.held_out_nats,
        before_nats=found.before_nats,
    )
