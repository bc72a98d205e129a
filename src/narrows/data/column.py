"""What one column of a mixed table holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from narrows.data.alphabets import Alphabet

ColumnKind = Literal["numeric", "count", "binary", "category"]


@dataclass(frozen=True)
class Column:
    """One column of a mixed table.

    In the matrix of raw cells a missing cell is NaN; a cell of a ``binary`` or ``category`` column holds the index of
    its value in ``categories``, and ``len(categories)`` where the value is none of them.

    Parameters
    ----------
    name : str
        Its name.
    kind : {"numeric", "count", "binary", "category"}
        What its cells are: real numbers, whole numbers from 0, one of two values, one of several.
    categories : tuple of str
        The values of a binary column or a category, as text; empty for numbers.
    alphabet : Alphabet or None
        Of a column of symbols, from which every cell can be made again: what they are. Its categories are their names.
    """

    name: str
    kind: ColumnKind
    categories: tuple[str, ...] = ()
    alphabet: Alphabet | None = None

    @classmethod
    def of_symbols(cls, name: str, alphabet: Alphabet) -> Column:
        """Make a column of the symbols of an alphabet, of which the last has no name."""
        return cls(name, "category", alphabet.names, alphabet)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        if self.alphabet is not None:
            return {"name": self.name, "alphabet": self.alphabet.to_json()}
        return {"name": self.name, "kind": self.kind, "categories": self.categories}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Column:
        """The inverse of `to_json`."""
        if "alphabet" in record:
            return cls.of_symbols(record["name"], Alphabet.from_json(record["alphabet"]))
        return cls(record["name"], record["kind"], tuple(record["categories"]))
