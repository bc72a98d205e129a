"""The READMEs in English and in Chinese show the same commands, code, links and figures, and differ in words alone."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENGLISH, CHINESE = "README.md", "README.zh-CN.md"
TEXTS = ("benchmarks/texts/en.md", "benchmarks/texts/zh-CN.md")
SECTION = re.compile(r"<!-- (\w+) -->\n(.*?)\n?<!-- /\1 -->", re.DOTALL)


def read(name: str) -> str:
    return (ROOT / name).read_text()


def headings(text: str) -> list[str]:
    return re.findall(r"^#+(?= )", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)


def code(text: str) -> list[str]:
    """The lines of fenced and of indented blocks, in their order, without comments."""
    lines, fenced = [], False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith("    "):
            continue
        lines.append(re.sub(r"\s+# .*", "", line))
    return lines


def inline_code(text: str) -> Counter[str]:
    """Commands, options and names within sentences, in whatever order the language puts them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return Counter(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))


def links(text: str) -> Counter[str]:
    """Where links and images lead, and the files that they name."""
    found = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r"\[([\w/.-]+\.md)\]", text)
    return Counter(one for one in found if one not in {ENGLISH, CHINESE})


def sections(text: str) -> list[str]:
    return re.findall(r"<!-- (/?\w+) -->", text)


def numbers(text: str) -> list[str]:
    return re.findall(r"[+-]?\d+(?:[.,]\d+)*", text)


def rows_of_figures(text: str) -> list[tuple[str, list[list[str]]]]:
    """Of each generated section, the numbers in each row of its tables."""
    return [
        (name, [numbers(row) for row in re.findall(r"^\|.*", inside, re.M)]) for name, inside in SECTION.findall(text)
    ]


def figures_of_sections(text: str) -> list[tuple[str, Counter[str]]]:
    """All the numbers of each generated section, in whatever order the language puts them."""
    return [(name, Counter(numbers(inside))) for name, inside in SECTION.findall(text)]


def sizes_of_tables(text: str) -> list[int]:
    return [len(re.findall(r"(?<!\\)\|", row)) for row in re.findall(r"^\|.*", text, re.MULTILINE)]


@pytest.mark.parametrize(
    "shown",
    [headings, code, inline_code, links, sections, rows_of_figures, figures_of_sections, sizes_of_tables],
)
def test_both_readmes_show_the_same(shown) -> None:
    english = shown(read(ENGLISH))
    assert len(english) > 0
    assert shown(read(CHINESE)) == english


def test_the_readmes_link_to_each_other_in_their_first_lines() -> None:
    for one, other in ((ENGLISH, CHINESE), (CHINESE, ENGLISH)):
        assert f"]({other})" in "\n".join(read(one).splitlines()[:3])


def test_both_languages_take_the_same_figures() -> None:
    english, chinese = (
        {name: Counter(re.findall(r"\{\w+\}", told)) for name, told in SECTION.findall(read(text)) if name != "terms"}
        for text in TEXTS
    )
    assert chinese == english


def test_a_term_keeps_the_places_of_its_figures() -> None:
    terms = dict(SECTION.findall(read(TEXTS[1])))["terms"]
    for line in terms.splitlines():
        english, chinese = line.split(" = ")
        assert english.count("{}") == chinese.count("{}")
        assert Counter(numbers(english)) == Counter(numbers(chinese))


def test_comments_apart_commands_are_compared() -> None:
    text = "```console\n$ narrows data a.csv   # what it is\n```\nand\n\n    make demo    # all of it\n"
    assert code(text) == ["```console", "$ narrows data a.csv", "```", "    make demo"]
