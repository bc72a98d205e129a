"""What the guide says beyond its pages: the build of `make guide` calls these three.

Formulas become MathML, which browsers draw by themselves; ``<!-- include FILE: HEADING -->`` becomes that section of a
file of the repository, and ``<!-- help of every verb -->`` what the command line says of itself.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put sections of other files, and the help of the command line, into a page."""
    markdown = re.sub(r"<!-- include (\S+): (.+?) -->", lambda found: section(found[1], found[2]), markdown)
    return re.sub(r"<!-- help of every verb -->", lambda _: helps(), markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Write formulas as MathML."""
    inline = r'<span class="arithmatex">\\\((.*?)\\\)</span>'
    display = r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>'
    content = re.sub(inline, lambda found: mathml(found[1], "inline"), content, flags=re.DOTALL)
    return re.sub(display, lambda found: mathml(found[1], "block"), content, flags=re.DOTALL)


def mathml(escaped: str, display: str) -> str:
    """One formula, from TeX as it stands in HTML."""
    from latex2mathml.converter import convert

    return convert(html.unescape(escaped).strip(), display=display)


def section(file: str, heading: str) -> str:
    """What stands under a heading of a file in the repository, up to the next of its rank."""
    _, found, after = (ROOT / file).read_text().partition(f"\n## {heading}\n")
    if not found:
        raise ValueError(f"{file} has no section {heading}")
    return after.partition("\n## ")[0].strip()


def helps() -> str:
    """``narrows VERB --help`` of every verb."""
    from typer.testing import CliRunner

    from narrows.cli import VERBS, application

    app = application(list(VERBS))
    runner = CliRunner(env={"COLUMNS": "100"})
    printed = {verb: runner.invoke(app, [verb, "--help"], prog_name="narrows").output for verb in VERBS}
    return "\n\n".join(f"## {verb}\n\n```text\n{text.strip()}\n```" for verb, text in printed.items())
