"""The figures of `narrows evaluate`, and principal components beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from narrows.errors import InputError
from narrows.records import Evaluation
from narrows.report.content import Figure
from narrows.report.markup import bars, table
from narrows.report.subject import ModelSubject

# By the ends of names; the first that fits.
UNITS = {
    "_nats": "nats a row",
    "_standard_error": "nats a row",
    "_draws_error": "nats a row",
    "bits_per_dim": "bits a cell",
}


def all_figures(subject: ModelSubject) -> Iterator[Figure]:
    """List every figure of the model on these rows, by the names that the command line gives them."""
    found = subject.figures
    lines = [
        (field.name.replace("_", " "), value, _unit(field.name, found))
        for field in dataclasses.fields(Evaluation)
        if (value := getattr(found, field.name)) is not None and not isinstance(value, list)
    ]
    says = "Every figure of narrows evaluate on these rows; its documentation says what each is."
    body = table(("figure", "value", "unit"), lines, "all figures")
    yield Figure(body, says, "as named", subject.rows.said, subject.evaluate_command)


def _unit(name: str, found: Evaluation) -> str:
    squared = f"squared error a cell, in {found.error_unit}"
    return next((unit for end, unit in (UNITS | {"_error": squared}).items() if name.endswith(end)), "")


def beside_pca(subject: ModelSubject) -> Iterator[Figure]:
    """Set the model's error beside that of principal components at the same code size, and of no code at all."""
    subject.check_rebuilt()
    found = subject.figures
    errors = {
        "this model": found.reconstruction_error,
        **{f"principal components, {number:,} numbers": error for number, error in subject.pca_errors.items()},
        "the same guess for every row": found.mean_error,
    }
    rows = [(name, error) for name, error in errors.items() if error is not None]
    if len(rows) < 2:
        raise InputError(f"{subject.name} holds no baseline, which rows of so many cells or of no code do not get")
    body = bars(("what rebuilds the rows", "error"), rows, "errors beside those of PCA")
    says = "Mean squared error a cell of what is rebuilt: the shorter the bar, the better."
    if len(subject.pca_errors) > 1:
        says += " The fewer components are as many as the numbers that a row keeps of its sparse code."
    unit = f"squared error a cell, in {found.error_unit}"
    yield Figure(body, says, unit, subject.rows.said, subject.evaluate_command)
