"""Put the recorded figures into the READMEs, docs/peers.md and docs/scale.md, beside the commands that made them.

python benchmarks/readme.py          # writes the sections between the markers

What a section says are its figures (benchmarks/sections.py, benchmarks/scaling.py); the words around them are in
benchmarks/texts/, a file a language, and one of docs/scale.md.
"""

from __future__ import annotations

from record import ROOT
from scaling import SCALE
from sections import SECTIONS, Cell, Figures, Phrase, Rows

TEXTS = ROOT / "benchmarks" / "texts"
DOCUMENTS = {
    ROOT / "README.md": "en",
    ROOT / "README.zh-CN.md": "zh-CN",
    ROOT / "docs" / "peers.md": "en",
    ROOT / "docs" / "scale.md": "scale",
}


def main() -> None:
    figures: dict[str, Figures] = {}
    for section in (*SECTIONS, *SCALE):
        try:
            figures[section.__name__] = section()
        except FileNotFoundError as error:
            print(f"{section.__name__} stays as it is: there is no record {error.filename}")
    for path, language in DOCUMENTS.items():
        folder = "docs/" if path.parent == ROOT else ""
        path.write_text(filled(path.read_text(), figures, (TEXTS / f"{language}.md").read_text(), folder))


def filled(document: str, figures: dict[str, Figures], texts: str, folder: str) -> str:
    """A document with what the sections say that it has marks of; from it, ``folder`` is where docs/ is."""
    terms = dict(line.split(" = ") for line in parted(texts, "terms")[1].splitlines() if line)
    for name, values in figures.items():
        before, old, after = parted(document, name)
        if old:
            words = {key: said(value, terms) for key, value in values.items()}
            section = parted(texts, name)[1].format(**words).replace("docs/", folder)
            document = before + section + after
    return document


def parted(text: str, name: str) -> tuple[str, str, str]:
    """What stands before, between and after the marks of that name, the marks themselves outside."""
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, mark, rest = text.partition(opening)
    inside, _, after = rest.partition(closing)
    return before + mark, inside, closing + after if mark else ""


def said(value: Cell | Rows, terms: dict[str, str]) -> str:
    """A figure, phrase or table in the words of a language, which are those of the code where it has no other."""
    if isinstance(value, list):
        return "\n".join(f"| {' | '.join(said(cell, terms) for cell in row)} |" for row in value)
    if isinstance(value, Phrase):
        return terms.get(value.words, value.words).format(*(said(one, terms) for one in value.figures))
    return terms.get(value, value)


if __name__ == "__main__":
    main()
