"""One input, how it is made, and what is done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Case:
    """A malformed or hostile input.

    Parameters
    ----------
    name : str
        What it is, for the table of treatments.
    make : callable
        Writes it into an empty folder and returns its path.
    refused : str
        Words of the one line that refuses it; empty where it is read.
    treatment : str
        What is done with it where it is read, for the table.
    result : mapping
        Figures of the verb's JSON that show the treatment.
    told : str
        Words that are among its notes.
    verb : str
        What is done: a key of `test_malformed.VERBS`.
    options : tuple of str
        Further words of the command line.
    scores : {"", "same", "higher", "higher everywhere"}
        How they stand to those of the sound rows: equal to the last digit, or higher in the first row and equal in the
        others, or higher in all rows.
    memory : int
        Most bytes of memory that it may take, where that is measured.
    """

    name: str
    make: Callable[[Path], Path]
    refused: str = ""
    treatment: str = ""
    result: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    told: str = ""
    verb: str = "data"
    options: tuple[str, ...] = ()
    scores: str = ""
    memory: int = 0


def file(content: str | bytes | Callable[[], str | bytes], name: str = "t.csv") -> Callable[[Path], Path]:
    """Make a file of such a name and content; what takes time to make is given as a function."""

    def make(folder: Path) -> Path:
        made = content() if callable(content) else content
        path = folder / name
        path.write_bytes(made if isinstance(made, bytes) else made.encode())
        return path

    return make


def numbered(rows: int, cell: Callable[[int], str], name: str = "a") -> str:
    """Lines of a table whose second column b changes: a header, then ``cell(i),i`` with i squared, modulo 101."""
    return f"{name},b\n" + "".join(f"{cell(i)},{i * i % 101}\n" for i in range(rows))


def figures(record: Any) -> dict[str, Any]:
    """What a verb printed as JSON; of a mixed table, which is printed line by line, the same figures as of another."""
    if isinstance(record, dict):
        return record
    lines = [line for line in record if line["kind"] not in ("note", "label")]
    return {
        "columns": [line["column"] for line in lines],
        "kinds": [line["kind"] for line in lines],
        "held": [line["values"] for line in lines],
        "missing": [int(line["missing"]) for line in lines],
        "rows": int(lines[0]["rows"]),
        "values": "columns",
        "notes": [line["values"] for line in record if line["kind"] == "note"],
    }
