"""What the codes are: where they lie, what each unit costs, and which rows stand for a sparse one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from narrows.apps.plane import plane
from narrows.errors import InputError
from narrows.report.cells import TOLD, first_columns, names_of, said_of, texts_of, words_of
from narrows.report.content import Figure
from narrows.report.images import STRIP_SIDE, row_of, shown, thumbnails
from narrows.report.map import Thumbnails, draw_map
from narrows.report.markup import Html, bars, table
from narrows.report.subject import ModelSubject, counted

MOST_BARS = 64
UNITS, EXAMPLES = 24, 8


def latent_map(subject: ModelSubject) -> Iterator[Figure]:
    """Draw the codes of rows as points of a plane."""
    rows, places = subject.rows, subject.rows.spread
    laid = plane(subject.codes.numpy())
    values = None if rows.colours is None else rows.colours[places]
    small = Thumbnails(*thumbnails(rows.values[places], rows.schema)) if rows.schema.is_image else None
    words = words_of(rows.values[places], rows.schema, places, rows.colour, values)
    body = draw_map(laid, words, rows.colour, values, small)
    says = f"A point a row: {laid.shown}" + ("." if values is None else f", coloured by {rows.colour}.")
    colour = ("--colour", rows.colour) if values is not None and rows.colour != "label" else ()
    command = subject.command("embed", "-o", "codes.parquet", "--plot", "map.png", *colour)
    sample = f"{len(places):,} of {rows.said}" if len(places) < len(rows) else rows.said
    yield Figure(body, says, "that of the codes, which have none", sample, command)


def kl_by_unit(subject: ModelSubject) -> Iterator[Figure]:
    """Draw what each unit of the code tells of a row, in nats."""
    nats = subject.figures.kl_by_unit_nats
    if nats is None:
        raise InputError(
            f"the divergence of latent {subject.fitted.model.latent.kind} and its prior does not split over units; "
            f"that of latent=gaussian with latent.prior=standard does"
        )
    order = sorted(range(len(nats)), key=lambda unit: -nats[unit])[:MOST_BARS]
    body = bars(("unit", "nats"), [(f"z{unit}", nats[unit]) for unit in order], "KL of each unit")
    more = f" The {MOST_BARS} largest of {len(nats)}." if len(nats) > MOST_BARS else ""
    says = f"KL(q || p) of each unit: how much it tells of a row. One near 0 is not in use.{more}"
    yield Figure(body, says, "nats a row", subject.rows.said, subject.evaluate_command)


def top_examples(subject: ModelSubject) -> Iterator[Figure]:
    """Show the rows in which each of some units of a sparse code is largest."""
    if not subject.fitted.model.latent.sparse:
        raise InputError(
            f"latent {subject.fitted.model.latent.kind} has no sparse codes, so that no unit is told by a few rows; "
            f"preset dictionary has"
        )
    codes, rows = subject.codes.numpy(), subject.rows
    weight = np.square(codes).sum(0)
    units = [int(unit) for unit in np.argsort(-weight)[:UNITS] if weight[unit] > 0]
    lines = [(f"z{unit}", float((codes[:, unit] != 0).mean()), _tops(subject, codes[:, unit])) for unit in units]
    heads = ("unit", "share of the rows it speaks in", f"rows in which it is largest{_columns_said(subject)}")
    says = (
        f"The {counted(len(units), 'unit')} of {codes.shape[1]:,} that carry most, each with the rows in which it is "
        f"largest, the first one at the left."
    )
    body = table(heads, lines, "top examples of units")
    yield Figure(body, says, rows.schema.describe(), counted(len(codes)), subject.own_command)


def _columns_said(subject: ModelSubject) -> str:
    schema = subject.rows.schema
    return "" if schema.is_image else said_of(schema, first_columns(schema, TOLD))


def _tops(subject: ModelSubject, numbers: np.ndarray) -> Html | str:
    rows, schema = subject.rows, subject.rows.schema
    first = np.argsort(-numbers, kind="stable")[:EXAMPLES]
    places = rows.spread[first[numbers[first] != 0]]
    if schema.is_image:
        return row_of(shown(rows.values[places], schema, STRIP_SIDE), f"rows {', '.join(map(str, places))}")
    columns = first_columns(schema, TOLD)
    names = names_of(schema, columns)
    told = (zip(names, texts_of(schema, rows.values[place], columns), strict=True) for place in places[:3])
    return "; ".join(
        f"row {place}: " + ", ".join(map(" ".join, cells)) for place, cells in zip(places, told, strict=False)
    )
