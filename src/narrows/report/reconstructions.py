"""Rows beside what the model makes of them: those it rebuilds best, the middle ones, and the worst."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from narrows.baseline import Baseline
from narrows.inference import reconstructed
from narrows.report.cells import MOST_SHOWN, names_of, said_of, texts_of
from narrows.report.content import Figure
from narrows.report.images import gallery, labelled, picture, shown
from narrows.report.markup import Html, table
from narrows.report.subject import ModelSubject

EACH = 8
EACH_OF_TABLE = 3


def reconstructions(subject: ModelSubject) -> Iterator[Figure]:
    """Show the rows with the least, the middle and the largest error, above what is made of them."""
    subject.check_rebuilt()
    order = subject.errors.argsort().tolist()
    is_image = subject.rows.schema.is_image
    each = min(EACH if is_image else EACH_OF_TABLE, len(order))
    middle = (len(order) - each) // 2
    groups = {
        "Best": order[:each],
        "Middle": order[middle : middle + each],
        "Worst": order[len(order) - each :][::-1],
    }
    show = _images if is_image else _rows
    for name, places in groups.items():
        versions = _versions(subject, places)
        says = f"{name}: rows by their error, each as given, and below as rebuilt by {_spoken(versions)}."
        unit = f"error: mean square a cell, in {subject.figures.error_unit}"
        yield Figure(show(subject, places, versions), says, unit, f"{each} of {subject.rows.said}", subject.own_command)


def _spoken(versions: Mapping[str, np.ndarray]) -> str:
    return " and ".join(name for name in versions if name != "given")


def _versions(subject: ModelSubject, places: list[int]) -> dict[str, np.ndarray]:
    """Rows as given, as the model rebuilds them, and as principal components do."""
    raw = subject.rows.tensor[places]
    versions = {"given": raw.numpy(), "the model": reconstructed(subject.fitted.model, raw).numpy()}
    baseline = subject.fitted.baseline
    if isinstance(baseline, Baseline) and len(baseline.components):
        versions["PCA"] = _by_pca(subject, baseline, raw).numpy()
    return versions


@torch.inference_mode()
def _by_pca(subject: ModelSubject, baseline: Baseline, raw: Tensor) -> Tensor:
    transform = subject.fitted.model.transform
    return transform.uncompared(baseline.rebuilt(transform.comparable(transform(raw).x)))  # type: ignore[operator]


def _images(subject: ModelSubject, places: list[int], versions: Mapping[str, np.ndarray]) -> Html:
    drawn = {name: shown(values, subject.rows.schema) for name, values in versions.items()}

    def column(i: int, place: int) -> Html:
        error = float(subject.errors[place])
        return labelled((picture(images[i], f"row {place}: {name}") for name, images in drawn.items()), f"{error:.2g}")

    return gallery(column(i, place) for i, place in enumerate(places))


def _rows(subject: ModelSubject, places: list[int], versions: Mapping[str, np.ndarray]) -> Html:
    """Rows of a table in those columns in which the model is farthest off."""
    schema, transform = subject.rows.schema, subject.fitted.model.transform
    with torch.inference_mode():
        given, made = (transform(torch.from_numpy(versions[name])).x for name in ("given", "the model"))
        off = transform.squared_errors(given, made).nansum(0)
    columns = off.topk(min(MOST_SHOWN, len(off))).indices.sort().values.tolist()
    lines = [
        (f"row {place}, {name}", *texts_of(schema, rows[i], columns))
        for i, place in enumerate(places)
        for name, rows in versions.items()
    ]
    return table((f"row{said_of(schema, columns)}", *names_of(schema, columns)), lines, "rows and what is made of them")
