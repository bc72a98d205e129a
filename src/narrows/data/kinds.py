"""The kinds of columns: which one cells suggest, what each asks of cells, and the numbers that it makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np

from narrows.data.cells import Cells, Numbers, number_or_nan
from narrows.data.matrices import float_matrix
from narrows.data.schema import Column, ColumnKind
from narrows.data.wording import listed, nearest, short
from narrows.errors import InputError

MOST_CATEGORIES = 1000
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class _Kind:
    """What a kind of column asks of cells, and the numbers that it makes of them."""

    holds: str
    encode: Callable[[Cells, tuple[str, ...]], np.ndarray]
    wrong: Callable[[np.ndarray, tuple[str, ...]], np.ndarray]
    categories: Callable[[Cells], tuple[str, ...]] = lambda cells: ()
    sizes: range = range(1)  # how many categories there may be


def _no_number(values: np.ndarray, _categories: tuple[str, ...]) -> np.ndarray:
    return np.abs(values) > _LARGEST


def _no_count(values: np.ndarray, _categories: tuple[str, ...]) -> np.ndarray:
    return (np.abs(values) > _LARGEST) | (values < 0) | (values != np.floor(values)) & ~np.isnan(values)


def _no_place(values: np.ndarray, categories: tuple[str, ...]) -> np.ndarray:
    return _no_count(values, categories) | (values > len(categories))


def _in_order(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Numbers by their size, before texts by their letters."""
    return tuple(sorted(texts, key=lambda text: (np.nan_to_num(number_or_nan(text), nan=np.inf), text)))


_KINDS: Mapping[ColumnKind, _Kind] = {
    "numeric": _Kind("numbers up to 3.4e38", lambda cells, _: cells.numbers(), _no_number),
    "count": _Kind("whole numbers from 0", lambda cells, _: cells.numbers(), _no_count),
    "binary": _Kind(
        "two different values",
        lambda cells, categories: cells.places(categories),
        _no_place,
        lambda cells: _in_order(cells.commonest(3)),
        range(2, 3),
    ),
    "category": _Kind(
        "one value at least",
        lambda cells, categories: cells.places(categories),
        _no_place,
        lambda cells: cells.commonest(MOST_CATEGORIES),
        range(1, MOST_CATEGORIES + 1),
    ),
}
IGNORE = "ignore"
KINDS: tuple[str, ...] = (*_KINDS, IGNORE)


def checked_kinds(kinds: Mapping[str, str], what: str) -> tuple[dict[str, ColumnKind], set[str]]:
    """Return the kinds that columns were said to be of, and the columns that were said to be ignored.

    Raises
    ------
    InputError
        If there is no such kind.
    """
    for name, kind in kinds.items():
        if kind not in KINDS:
            raise InputError(
                f"the column {short(name)} of {what} was given the unknown kind {short(kind)}; allowed are "
                f"{listed(KINDS)}{nearest(kind, KINDS)}"
            )
    dropped = {name for name, kind in kinds.items() if kind == IGNORE}
    return {name: cast(ColumnKind, kind) for name, kind in kinds.items() if name not in dropped}, dropped


def suggested(cells: Cells) -> ColumnKind:
    """Return the kind that cells suggest: binary where there are two values, else numeric or category.

    Never counts: whole numbers from 0 are ages, codes and sizes as often as they count, and few are spread as
    counts of chance events are. Who counts says so.
    """
    return "binary" if cells.distinct == 2 else cells.usual


# Why a column is left out, for one column and for several; the first that holds is told.
_REASONS: tuple[tuple[tuple[str, str], Callable[[Cells], bool]], ...] = (
    (("is empty", "are empty"), lambda cells: cells.distinct == 0),
    (("holds dates or times", "hold dates or times"), lambda cells: cells.are_dates),
    (
        CONSTANT_BUT_GAPS := ("holds one value and gaps", "hold one value and gaps"),
        lambda cells: cells.distinct == 1 and bool(cells.missing.any()),
    ),
    (CONSTANT := ("never changes", "never change"), lambda cells: cells.distinct == 1),
    (TELLS_APART := ("tells rows apart", "tell rows apart"), lambda cells: cells.tell_rows_apart),
)


# What became of such columns, for one and for several.
LEFT_OUT = ("and was left out", "and were left out")
WATCHED = ("in training: any other value raises the score",) * 2


def reason_to_leave_out(cells: Cells) -> tuple[str, str] | None:
    """Return why nothing is to be learnt from cells, said of one column and of several; None if something is.

    A missing cell is no evidence, so that one value and gaps are one value.
    """
    return next((words for words, holds in _REASONS if holds(cells)), None)


def notes_of(found: Mapping[str, tuple[str, str]], then: tuple[str, str] = LEFT_OUT) -> tuple[str, ...]:
    """Return one sentence for each of the things that columns were found to be, and what became of them."""
    notes = []
    for reason in dict.fromkeys(found.values()):
        names = [name for name, why in found.items() if why == reason]
        several = len(names) > 1
        notes.append(f"{'columns' if several else 'column'} {listed(names)} {reason[several]} {then[several]}")
    return tuple(notes)


def column_of(name: str, kind: ColumnKind, cells: Cells, what: str) -> Column:
    """Make the column of a kind that these cells are.

    Raises
    ------
    InputError
        If they are not of that kind.
    """
    row = _KINDS[kind]
    categories = row.categories(cells)
    if len(categories) not in row.sizes:
        raise InputError(
            f"{what}: the column {short(name)} was said to be {kind}, which takes {row.holds}, and it holds "
            f"{listed(categories) or 'none'}{' and maybe more' if categories else ''}; give it another of the "
            f"kinds {listed(KINDS)}"
        )
    return Column(name, kind, categories)


def encoded(column: Column, cells: Cells, what: str) -> np.ndarray:
    """Return the numbers that stand for cells in the matrix of a mixed table, float64 (n,).

    Raises
    ------
    InputError
        If a cell cannot be one of such a column.
    """
    values = _KINDS[column.kind].encode(cells, column.categories)
    return checked_numbers(column, values, what, cells)


def checked_numbers(column: Column, values: np.ndarray, what: str, cells: Cells | None = None) -> np.ndarray:
    """Check that numbers (n,) may stand in the matrix of a mixed table; ``cells`` are what they stand for.

    Raises
    ------
    InputError
        If a number cannot be one of such a column.
    """
    row = _KINDS[column.kind]
    wrong = row.wrong(values, column.categories)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"{what} holds {short((cells or Numbers(values)).at(first))} in row {first} (counted from 0) of the "
            f"{column.kind} column {short(column.name)}, which takes {row.holds}; mend the cell, or leave it empty"
        )
    return values


def checked_matrix(values: np.ndarray, columns: tuple[Column, ...], what: str) -> np.ndarray:
    """Check numbers (n, columns) as the raw matrix of a mixed table, such as a `Dataset` holds.

    Raises
    ------
    InputError
        If there are more or fewer columns, or a number cannot be one of its column.
    """
    if values.shape[1:] != (len(columns),):
        raise InputError(f"{what} has the shape {values.shape}; the model was trained on {len(columns)} columns")
    cells = values.T.astype(np.float64)
    return float_matrix([checked_numbers(column, cells[i], what) for i, column in enumerate(columns)])
