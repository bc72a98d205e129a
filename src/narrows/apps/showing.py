"""Results printed: a table for a person, JSON for a machine."""

from __future__ import annotations

import json
import sys
from typing import Any

from narrows.records import plain

UNWRAPPED = 10_000  # characters: off a terminal each record is one line, for grep and its like


def show(result: Any, *, as_json: bool) -> None:
    """Print a result on standard output.

    Parameters
    ----------
    result : dataclass or None
        A record, or a `Listing` of columns and rows, or what has `tables` for a person and a `record` for a machine;
        None where the application has said all itself.
    as_json : bool
        As one JSON object, or a list of them; figures that do not exist are null.
    """
    if result is None:
        return
    if hasattr(result, "tables") and not as_json:
        for block in result.tables():
            rows = [tuple("" if cell is None else text(cell) for cell in row) for row in block.rows]
            sys.stdout.write(f"{block.title}\n{table(rows, list(block.columns))}\n")
        return
    record = result.record() if hasattr(result, "tables") else plain(result)
    listing = set(record) == {"columns", "rows"}
    if as_json:
        if listing:
            record = [dict(zip(record["columns"], row, strict=True)) for row in record["rows"]]
        sys.stdout.write(json.dumps(record, indent=2) + "\n")
        return
    if listing:
        sys.stdout.write(table(record["rows"], record["columns"]))
    else:
        said = {name.replace("_", " "): value for name, value in record.items() if value not in (None, [])}
        sys.stdout.write(table([(name, text(value)) for name, value in said.items()]))


def table(rows: list[Any], columns: list[str] | None = None) -> str:
    """Lay cells of text out in columns, folded to the width of the terminal."""
    from rich.console import Console
    from rich.table import Table

    on_terminal = sys.stdout.isatty()
    console = Console(width=None if on_terminal else UNWRAPPED, markup=False, emoji=False, highlight=False)
    grid = Table(box=None, show_header=columns is not None, header_style="bold", pad_edge=False)
    for place, header in enumerate(columns or [""] * len(rows[0])):
        grid.add_column(header, overflow="fold", no_wrap=place == 0)
    for row in rows:
        grid.add_row(*row)
    with console.capture() as printed:
        console.print(grid)
    return "".join(line.rstrip() + "\n" for line in printed.get().splitlines())


def text(value: Any) -> str:
    """Write a value for a person: four digits, thousands set off, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    if isinstance(value, list):
        texts = [text(item) for item in value]
        return "\n".join(texts) if any(" " in one for one in texts) else ", ".join(texts)
    return f"{value:,}" if isinstance(value, int) else str(value)
