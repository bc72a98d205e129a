"""What the data are."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import numpy as np

from narrows.data.schema import Schema
from narrows.detection.reasons import cell_name
from narrows.report.cells import MOST_COLUMNS, cell_text
from narrows.report.content import Figure
from narrows.report.images import gallery, picture, shown
from narrows.report.markup import Html, table
from narrows.report.subject import DetectorSubject, ModelSubject

EXAMPLES = 24


def about_data(subject: ModelSubject | DetectorSubject) -> Iterator[Figure]:
    """Say what the rows are, and show some of them, or what each of their columns holds."""
    rows, schema = subject.rows, subject.rows.schema
    facts: list[tuple[str, object]] = [("data", rows.data), ("what they are", schema.describe()), ("rows", len(rows))]
    facts.append(("numbers in a row", schema.size))
    if rows.labels is not None:
        facts.append(("labels, which the model does not see", _labels(rows.labels)))
    facts += [("left out, or kept though it never changes", note) for note in rows.notes]
    command = shlex.join(["narrows", "data", rows.data, *rows.reading.words()])
    yield Figure(table(("", ""), facts, "what the data are"), "What the data are.", "as named", rows.said, command)
    if schema.is_image:
        yield _images(subject)
    else:
        yield _columns(subject)


def _labels(labels: np.ndarray) -> str:
    found = np.unique(labels)
    some = ", ".join(str(label) for label in found[:12])
    return f"{len(found):,} different: {some}{', ...' if len(found) > 12 else ''}"


def _images(subject: ModelSubject | DetectorSubject) -> Figure:
    rows = subject.rows
    places = rows.spread[np.linspace(0, len(rows.spread) - 1, min(EXAMPLES, len(rows))).round().astype(int)]
    images = shown(rows.values[places], rows.schema)
    pictures = (picture(image, f"row {place}") for place, image in zip(places, images, strict=True))
    says = f"{len(places)} images, evenly spread over the data."
    return Figure(gallery(pictures), says, rows.schema.describe(), rows.said, subject.own_command)


def _columns(subject: ModelSubject | DetectorSubject) -> Figure:
    rows, schema = subject.rows, subject.rows.schema
    places = range(min(schema.size, MOST_COLUMNS))
    lines = [(cell_name(schema, place), *_column(schema, place, rows.values[:, place])) for place in places]
    more = f" The first {MOST_COLUMNS} of {schema.size:,} columns." if schema.size > MOST_COLUMNS else ""
    body: Html = table(("column", "kind", "middle", "from", "to", "missing"), lines, "columns of the data")
    says = f"What each column holds: the median and the ends of numbers, the commonest of other values.{more}"
    return Figure(body, says, "those of the data", rows.said, subject.own_command)


def _column(schema: Schema, place: int, cells: np.ndarray) -> tuple[object, ...]:
    """Kind, middle, least, largest and number of missing cells of a column."""
    kind = schema.columns[place].kind if schema.columns else schema.values
    held = cells[np.isfinite(cells)]
    missing = len(cells) - len(held)
    if not len(held):
        return (kind, "", "", "", missing)
    if schema.columns and schema.columns[place].categories:
        values, counts = np.unique(held, return_counts=True)
        return (kind, cell_text(schema, place, float(values[counts.argmax()])), "", "", missing)
    three = (np.median(held), held.min(), held.max())
    return (kind, *(cell_text(schema, place, float(value)) for value in three), missing)
