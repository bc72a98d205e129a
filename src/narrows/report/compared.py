"""Several models in one table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from narrows.detection.calibration import threshold
from narrows.model import parameters_in
from narrows.report.content import Figure
from narrows.report.markup import Html, table, tag
from narrows.report.subject import DetectorSubject, ModelSubject

MODELS = (
    "model",
    "preset",
    "rows",
    "error a cell",
    "PCA",
    "elbo, nats",
    "bits a cell",
    "active units",
    "units",
    "trained numbers",
    "seconds of training",
    "bytes of the file",
)
DETECTORS = ("detector", "preset", "rows", "threshold, nats", "rows marked", "calibration rows", "bytes of the file")


def models_compared(subjects: Sequence[ModelSubject], command: str) -> Iterator[Figure]:
    """A row a model, each of its figures in the unit of the head; nothing where there is none such."""
    if not subjects:
        return
    units = " or ".join(dict.fromkeys(subject.figures.error_unit for subject in subjects))
    lines = []
    for i, subject in enumerate(subjects):
        found = subject.figures
        measured = (found.rows, found.reconstruction_error, found.pca_error, found.elbo_nats, found.bits_per_dim)
        used = (found.active_units, found.units, parameters_in(subject.fitted.model))
        made = (subject.fitted.record.get("seconds"), subject.file_bytes)
        lines.append((link(subject, i), subject.fitted.preset, *measured, *used, *made))
    says = "The same rows, as each model has them. An error is small and a bound large where a model is good."
    yield Figure(table(MODELS, lines, "models compared"), says, f"error: {units}", _sample(subjects), command)


def detectors_compared(subjects: Sequence[DetectorSubject], command: str) -> Iterator[Figure]:
    """A row a detector."""
    if not subjects:
        return
    lines = []
    for i, subject in enumerate(subjects):
        calibration = subject.fitted.detector.calibration
        limit = threshold(calibration, subject.asked.false_alarm_rate)
        marked = int((subject.scores > limit).sum())
        found = (len(subject.rows), limit, marked, len(calibration), subject.file_bytes)
        lines.append((link(subject, i), subject.fitted.preset, *found))
    says = f"What each detector marks at a false-alarm rate of {subjects[0].asked.false_alarm_rate:g}."
    yield Figure(table(DETECTORS, lines, "detectors compared"), says, "as named", _sample(subjects), command)


def link(subject: ModelSubject | DetectorSubject, number: int) -> Html:
    """To the part of the page about one of them."""
    return tag("a", subject.name, href=f"#{anchor(subject, number)}")


def anchor(subject: ModelSubject | DetectorSubject, number: int) -> str:
    """Address of that part."""
    return f"{type(subject).__name__.lower()}-{number}"


def _sample(subjects: Sequence[ModelSubject | DetectorSubject]) -> str:
    return " or ".join(dict.fromkeys(subject.rows.said for subject in subjects))
