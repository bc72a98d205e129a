"""What a study has to say to a person: tables of figures, each under a line that says what they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Table:
    """Some rows of figures.

    Parameters
    ----------
    title : str
        What they are, units included.
    columns : tuple of str
        Names of the columns.
    rows : sequence of tuple
        Numbers and words; None where there is no such figure.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


class Result(Protocol):
    """What a study gives: a frozen dataclass of plain values, with tables."""

    def tables(self) -> list[Table]:
        """What a person wants to read of it."""
        ...
