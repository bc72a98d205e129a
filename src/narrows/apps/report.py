"""One page about a trained model, for a reader who did not train it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.apps.watching import waiting
from narrows.atomic import check_target, writing
from narrows.errors import InputError, at_least, at_most, check_seed

if TYPE_CHECKING:
    from narrows.data.schema import Schema
    from narrows.report.subject import Asked, Rows
    from narrows.report.whole import Subject

SUFFIXES = (".html", ".htm")


@dataclass(frozen=True)
class Reported:
    """A page that was written.

    Parameters
    ----------
    file : str
        Its name.
    models : int
        Models that it is about.
    rows : int
        Rows that the figures are of.
    sections : int
        Sections with something to show.
    bytes : int
        Its size.
    """

    file: str
    models: int
    rows: int
    sections: int
    bytes: int


def report(
    models: tuple[Path, ...],
    data: str,
    output: Path,
    colour: str | None = None,
    rows: int = 0,
    false_alarm_rate: float = 0.01,
    seed: int = 0,
    reading: Reading = Reading(),  # noqa: B008  frozen
) -> Reported:
    """Write one page about a model, which opens without a network: figures, pictures, and how each is made.

    Parameters
    ----------
    models : tuple of Path
        A model file or a detector file; several are compared in one table.
    data : str
        Data that they were not trained on: a file, a folder of images, or a named data set such as fashion-sample:test.
    output : Path
        The page to write, with the suffix .html.
    colour : str, optional
        Column of a table, or array of an .npz file, by which points of the map are coloured, in place of the label.
    rows : int
        How many rows to report on, from the first; 0 for all.
    false_alarm_rate : float
        Of a detector: share of normal rows that may be marked.
    seed : int
        Seed of all draws.
    reading : Reading
        How to read the data.
    """
    at_least("rows", rows, 0)
    at_least("false-alarm rate", false_alarm_rate, 0, above=True)
    at_most("false-alarm rate", false_alarm_rate, 0.5)
    check_seed(seed)
    if output.suffix.lower() not in SUFFIXES:
        raise InputError(f"{output} has the suffix {output.suffix or 'of nothing'!r}; a report is .html")
    check_target(output, inputs=[*models, data])
    reading.check(data)

    from narrows.report.page import count_sections
    from narrows.report.subject import Asked
    from narrows.report.whole import report as written

    options = _options(colour, rows, false_alarm_rate, seed)
    command = shlex.join(["narrows", "report", *map(str, models), data, "-o", str(output), *options, *reading.words()])
    with waiting("reporting"):
        asked = [Asked(model, options, rows, seed, false_alarm_rate) for model in models]
        subjects = [_subject(one, data, colour, reading) for one in asked]
        page = written(subjects, command)
    with writing(output) as beside:
        beside.write_text(page, encoding="utf-8")
    return Reported(str(output), len(models), len(subjects[0].rows), count_sections(page), output.stat().st_size)


def _options(colour: str | None, rows: int, false_alarm_rate: float, seed: int) -> tuple[str, ...]:
    """The options that are not as usual, as words of a command line."""
    said: list[str] = []
    for flag, value, usual in (
        ("--colour", colour, None),
        ("--rows", rows, 0),
        ("--false-alarm-rate", false_alarm_rate, 0.01),
        ("--seed", seed, 0),
    ):
        said += [] if value == usual else [flag, str(value)]
    return tuple(said)


def _subject(asked: Asked, data: str, colour: str | None, reading: Reading) -> Subject:
    """Open a file, which says what it is, and read the rows as it has them."""
    from narrows.detection.calibration import check_rate
    from narrows.detection.files import WHAT, load_detector
    from narrows.persist import holds, load
    from narrows.report.subject import DetectorSubject, ModelSubject

    if not holds(asked.file, WHAT):
        fitted = load(asked.file)
        return ModelSubject(asked, _rows(asked, data, fitted.schema, colour, reading), fitted)
    detector = load_detector(asked.file)
    check_rate(detector.detector.calibration, asked.false_alarm_rate)
    return DetectorSubject(asked, _rows(asked, data, detector.schema, colour, reading), detector)


def _rows(asked: Asked, data: str, schema: Schema, colour: str | None, reading: Reading) -> Rows:
    from narrows.apps.colouring import colouring
    from narrows.report.subject import Rows

    dataset = reading.read(data, schema)
    name, colours = colouring(data, dataset, colour, reading)
    some = slice(asked.rows or None)
    labels = None if dataset.labels is None else dataset.labels[some]
    colours = None if colours is None else colours[some]
    return Rows(data, dataset.values[some], dataset.schema, labels, dataset.notes, name, colours, reading)
