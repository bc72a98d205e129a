"""HTML and SVG from Python: every text is escaped, so that what the data hold can never become markup."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from narrows.apps.showing import text

EMPTY = ("img", "meta")  # elements that have no end


class Html(str):
    """Markup; any other text is escaped where it becomes a part of it."""

    __slots__ = ()


def escaped(value: object) -> Html:
    """Markup as it is; any other value as text, in which characters that no page may hold are replaced."""
    if isinstance(value, Html):
        return value
    shown = "".join("\ufffd" if unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in str(value))
    return Html(html.escape(shown))


def joined(pieces: Iterable[object]) -> Html:
    """Pieces one after the other."""
    return Html("".join(map(escaped, pieces)))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """Make an element.

    Parameters
    ----------
    name : str
        Of the element.
    children : object
        Markup, or text.
    attributes : object
        By name, with ``_`` for ``-``, and an ``_`` behind a name that Python keeps for itself; True for one that has no
        value, None for one that is left out.
    """
    said = ""
    for key, value in attributes.items():
        if value is not None:
            key = key.rstrip("_").replace("_", "-")
            said += f" {key}" if value is True else f' {key}="{escaped(value)}"'
    return Html(f"<{name}{said}>" if name in EMPTY else f"<{name}{said}>{joined(children)}</{name}>")


def figure_of(value: object) -> Html:
    """Write a number for a person and, exactly, for a machine; anything else as text, nothing for None."""
    if value is None:
        return Html("–")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return escaped(text(value) if isinstance(value, (bool, list)) else value)
    return tag("data", text(value), value=repr(value))


def table(columns: Sequence[object], rows: Iterable[Sequence[object]], label: str) -> Html:
    """Lay rows out, the first cell of each being its head; a wide table scrolls by itself, by keys too.

    Columns without names need no line of heads: such a table says facts, each of its own kind.
    """
    lines = list(rows)
    sides = [_side([line[place] for line in lines]) for place in range(len(columns))]
    head = tag("tr", *(tag("th", one, scope="col", class_=side) for one, side in zip(columns, sides, strict=True)))
    body = (tag("tr", tag("th", _cell(one), scope="row"), *map(_held, rest, sides[1:])) for one, *rest in lines)
    heads = [tag("thead", head)] if any(columns) else []
    whole = tag("table", *heads, tag("tbody", *body), class_=None if heads else "facts")
    return tag("div", whole, class_="wide", role="region", aria_label=label, tabindex="0")


def bars(head: tuple[str, str], rows: Sequence[tuple[str, float]], label: str) -> Html:
    """Lay numbers out as a table with a bar in each row, as long as the number is large."""
    largest = max((abs(value) for _, value in rows), default=0.0) or 1.0
    return table((*head, ""), ((name, value, _bar(value / largest)) for name, value in rows), label)


def _bar(share: float) -> Html:
    sign = "bar less" if share < 0 else "bar"
    return tag("span", class_=sign, style=f"width:{abs(share) * 12:.2f}em", aria_hidden="true")


def _cell(cell: Any) -> Html:
    return cell if isinstance(cell, Html) else figure_of(cell)


def _held(cell: object, side: str | None) -> Html:
    """A cell below the first one: of no figure a dash, where the figures of its column stand."""
    return tag("td", _cell(cell), class_=side if cell is None else _side([cell]))


def _side(cells: Sequence[object]) -> str | None:
    """Numbers stand at the right, and so does the head of a column that holds nothing else."""
    held = [cell for cell in cells if cell is not None]
    number = all(isinstance(cell, (int, float)) and not isinstance(cell, bool) for cell in held)
    return "number" if held and number else None
