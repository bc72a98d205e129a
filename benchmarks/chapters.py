"""The tables of the chapters in docs/theory/, as the studies made them.

    narrows study NAME -o docs/pictures/study     # for each of the four
    python benchmarks/chapters.py

A chapter holds ``<!-- table 2 -->`` and ``<!-- /table 2 -->`` about the second table of its study.
"""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def filled(chapter: str, made: str) -> str:
    """Return a chapter with the tables that its study made, titles in bold above them."""
    # Titles and tables take turns, a blank line between them.
    parts = made.strip().split("\n\n")
    for place in range(0, len(parts), 2):
        name = f"table {place // 2 + 1}"
        block = f"<!-- {name} -->\n**{parts[place].strip()}**\n\n{parts[place + 1].strip()}\n<!-- /{name} -->"
        chapter = re.sub(rf"<!-- {name} -->.*?<!-- /{name} -->", lambda _, block=block: block, chapter, flags=re.DOTALL)
    return chapter


def main() -> None:
    for path in sorted((DOCS / "theory").glob("*.md")):
        made = DOCS / "pictures" / "study" / path.name
        path.write_text(filled(path.read_text(), made.read_text()))
        print(path)


if __name__ == "__main__":
    main()
