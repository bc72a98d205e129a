"""Malformed and hostile inputs, made by code, with what is done with each."""

from inputs import arrays, cells, columnar, columns, models, places, scoring, sparse, text
from inputs.case import Case

GROUPS: dict[str, tuple[Case, ...]] = {
    "Tables of text": text.CASES,
    "Cells": cells.CASES,
    "Columns": columns.CASES,
    "ARFF, JSON, Parquet and Arrow": columnar.CASES,
    "Arrays and images": arrays.CASES,
    "Rows for a trained model": scoring.CASES,
    "Sparse codes": sparse.CASES,
    "Files of models": models.CASES,
    "Names, folders and options": places.CASES,
}
HEAD = """# Malformed inputs

What is done with {count} inputs that are not as they should be. `tests/malformed` makes each of them, runs a verb on
it, and checks what stands here. Refused is exit status 2, one line on standard error that has these words, and no file
touched; anything else is a treatment, whose outcome is checked. `PYTHONPATH=tests/malformed python -m inputs` prints
this page.

- A file that would unpack to over 500 times its size (and over 256 MiB) is refused before it does.
- Columns of a trained model are found by their names, in any order and among others; the scores are the same to the
  last digit. With `--no-header`, where there are no names, they are found by their order.
- In Python, frames of nothing but numbers follow scikit-learn: names, or an order, other than in `fit` are refused.
"""


def table() -> str:
    """The page of treatments: inputs of one group that fare alike stand in one row."""
    parts = [HEAD.format(count=sum(map(len, GROUPS.values())))]
    for group, cases in GROUPS.items():
        rows: dict[str, list[str]] = {}
        for case in cases:
            outcome = f"refused: `{case.refused}`" if case.refused else case.treatment
            rows.setdefault(outcome, []).append(" ".join((case.name, *case.options)))
        lines = [f"| {_cell('; '.join(names))} | {_cell(outcome)} |" for outcome, names in rows.items()]
        parts.append("\n".join([f"\n## {group}\n", "| input | what is done |", "|---|---|", *lines, ""]))
    return "".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
