"""The tables of the chapters in docs/theory/, as the studies made them.

    narrows study NAME -o docs/pictures/study     # for each of the four
    python benchmarks/chapters.py

A chapter holds ``<!-- table 2 -->`` and ``<!-- /table 2 -->`` about the second table of its study; that of gradients
also ``<!-- images -->`` about what `benchmarks/gradient_variance.py` recorded.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from gradient_variance import tables
from record import RESULTS

DOCS = Path(__file__).resolve().parent.parent / "docs"


def filled(chapter: str, made: str) -> str:
    """Return a chapter with the tables that its study made, titles in bold above them."""
    # Titles and tables take turns, a blank line between them.
    parts = made.strip().split("\n\n")
    for place in range(0, len(parts), 2):
        name = f"table {place // 2 + 1}"
        chapter = put(chapter, name, f"**{parts[place].strip()}**\n\n{parts[place + 1].strip()}")
    return chapter


def put(chapter: str, name: str, what: str) -> str:
    """Return a chapter with something between the marks of a name."""
    block = f"<!-- {name} -->\n{what}\n<!-- /{name} -->"
    return re.sub(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _: block, chapter, flags=re.DOTALL)


def on_images(chapter: str) -> str:
    """Return a chapter with what was recorded of the estimators on images, if anything was."""
    path = RESULTS / "gradient_variance.json"
    if not path.exists():
        return chapter
    page = json.loads(path.read_text())
    return put(chapter, "images", f"{page['protocol']}.\n\n{tables(page['figures']).strip()}")


def main() -> None:
    for path in sorted((DOCS / "theory").glob("*.md")):
        made = DOCS / "pictures" / "study" / path.name
        path.write_text(on_images(filled(path.read_text(), made.read_text())))
        print(path)


if __name__ == "__main__":
    main()
