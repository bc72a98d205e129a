"""Rows of tables in words: a column's name, and what a cell of it holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from narrows.data.schema import Schema
from narrows.detection.reasons import category_name, cell_name, number

MOST_COLUMNS = 60
TOLD = 4  # columns of a row that a point of a map tells
MOST_SHOWN = 12  # columns of rows that are shown as they are


def cell_text(schema: Schema, place: int, value: float) -> str:
    """What a raw cell holds, in words."""
    column = schema.columns[place] if schema.columns else None
    if column is not None and column.categories:
        return category_name(column, value)
    return "missing" if math.isnan(value) else number(value)


def names_of(schema: Schema, places: Iterable[int]) -> list[str]:
    """Names of some columns."""
    return [cell_name(schema, place) for place in places]


def texts_of(schema: Schema, row: np.ndarray, places: Sequence[int]) -> list[str]:
    """What some cells of a raw row hold."""
    flat = row.reshape(-1)
    return [cell_text(schema, place, float(flat[place])) for place in places]


def first_columns(schema: Schema, most: int = MOST_SHOWN) -> range:
    """Places of the columns that are shown where there are too many."""
    return range(min(schema.size, most))


def said_of(schema: Schema, places: Sequence[int]) -> str:
    """That there are more columns than are shown, where there are."""
    return "" if len(places) == schema.size else f"; {len(places)} of {schema.size} columns are shown"


def words_of(
    values: np.ndarray, schema: Schema, numbers: Iterable[int], name: str, colours: np.ndarray | None
) -> list[str]:
    """Say what each of some raw rows is: its number, what it is coloured by, the first columns of a table."""
    columns = range(0) if schema.is_image else first_columns(schema, TOLD)
    names = names_of(schema, columns)
    words = []
    for place, (row, number_of_row) in enumerate(zip(values, numbers, strict=True)):
        said = [f"row {number_of_row}"] + ([] if colours is None else [f"{name} {colours[place]}"])
        said += map(" ".join, zip(names, texts_of(schema, row, columns), strict=True))
        words.append(", ".join(said))
    return words
