"""The guide: narrows takes its command lines, each verb has its chapter, and it is built without a network."""

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

import narrows
from narrows.cli import VERBS, application, spread
from narrows.detection.presets import DETECTORS
from narrows.presets import PRESETS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "pictures" not in path.parts)
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES, *sorted((ROOT / "examples").iterdir())]
SETTINGS = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SHELL = ("console", "sh", "")
# Behind a prompt, variables, a pipe or another program that runs it; up to where the shell ends it.
COMMAND = re.compile(r"(?:^(?:\$ )?(?:\w+=\S* )*|\| |exec )narrows ([^|>;&']*)", re.MULTILINE)


def lines_of(text: str) -> list[str]:
    """Lines of shell in a document: in blocks for it, and in blocks that are set in."""
    found = [body for language, body in FENCED.findall(text) if language in SHELL]
    beside = FENCED.sub("", text)
    found += re.findall(r"^    (\S.*(?:\n     +\S.*)*)", beside, re.MULTILINE)
    found += re.findall(r"^(?:ExecStart=|CMD ).*$", beside, re.MULTILINE)
    return [line for body in found for line in body.replace("\\\n", " ").splitlines()]


def commands_in(path: Path) -> list[list[str]]:
    """Words of each command line of narrows in a document, without comments."""
    lines = [line for line in lines_of(path.read_text()) if "narrows" in line]
    return [shlex.split(words, comments=True) for line in lines for words in COMMAND.findall(line)]


COMMANDS = sorted({tuple(words) for path in DOCUMENTS for words in commands_in(path)})
READ = {verb: typer.main.get_command(application([verb])) for verb in VERBS}


def test_command_lines_are_found() -> None:
    assert len(COMMANDS) > 100
    assert {words[0] for words in COMMANDS} == set(VERBS)
    assert lines_of("```console\n$ narrows train a \\\n    -o b  # c\n```") == ["$ narrows train a      -o b  # c"]
    assert COMMAND.findall("$ A=1 narrows data x | narrows stream m > y") == ["data x ", "stream m "]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_line_of_the_documents_is_taken(words: tuple[str, ...]) -> None:
    # What it returns would do the work; verb, options and values have been read by then.
    assert callable(READ[words[0]].main(args=spread(list(words)), prog_name="narrows", standalone_mode=False))


def test_an_option_that_there_is_not_is_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        READ["data"].main(args=["data", "--none"], prog_name="narrows", standalone_mode=False)


def chapters() -> dict[str, list[str]]:
    """The pages that the first page names for each verb."""
    rows = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \|.*\| (.*) \|$", (DOCS / "index.md").read_text(), re.MULTILINE)
    return {
        verb: re.findall(r"\]\(([\w/]+\.md)\)", pages)
        for verbs, pages in rows
        for verb in re.findall(r"`(.+?)`", verbs)
    }


def navigated(part: object) -> set[str]:
    if isinstance(part, str):
        return {part}
    parts = part.values() if isinstance(part, dict) else part
    return set().union(*map(navigated, parts))


def test_every_verb_has_its_chapter_with_a_command_line() -> None:
    named = chapters()
    assert set(named) == set(VERBS), "docs/index.md has the table of verbs"
    for verb, pages in named.items():
        assert pages
        assert set(pages) <= navigated(SETTINGS["nav"]), "mkdocs.yml has the pages"
        assert any(words[0] == verb for page in pages for words in commands_in(DOCS / page)), verb


def test_every_page_is_in_the_navigation() -> None:
    assert {str(path.relative_to(DOCS)) for path in PAGES} == navigated(SETTINGS["nav"])


def test_every_public_name_is_in_the_reference() -> None:
    text = (DOCS / "api.md").read_text()
    public = [name for name in narrows.__all__ if not name.startswith("_")]
    assert [name for name in public if not re.search(rf"\.{name}\b", text)] == []


def test_every_preset_is_chosen_for_something() -> None:
    text = (DOCS / "choosing.md").read_text()
    assert [name for name in (*PRESETS, *DETECTORS) if f"`{name}`" not in text] == []


def test_every_benchmark_is_on_its_page() -> None:
    page = (DOCS / "benchmarks.md").read_text()
    records = {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.json")}
    assert set(re.findall(r"^### (\w+)$", page, re.MULTILINE)) <= {p.stem for p in (ROOT / "benchmarks").glob("*.py")}
    assert set(re.findall(r"^\| .*?\(?`([\w-]+)`\)? \|", page, re.MULTILINE)) <= records


def test_the_guide_is_built_strictly_and_refers_to_nothing_outside(tmp_path: Path, monkeypatch) -> None:
    build = pytest.importorskip("mkdocs.commands.build", reason="pip install 'narrows[docs]' builds the guide")
    from mkdocs.config import load_config

    monkeypatch.chdir(ROOT)
    build.build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    for page in tmp_path.rglob("*.html"):
        text = page.read_text()
        assert not re.findall(r'<(?:script|img|iframe)[^>]* src="(?:https?:)?//|<link[^>]* href="(?:https?:)?//', text)
        assert "arithmatex" not in text, "a formula was not written as MathML"
    assert "<math" in (tmp_path / "theory" / "bound.html").read_text()
    assert "Usage: narrows train" in (tmp_path / "commands.html").read_text()
    assert "class Laplace" in re.sub("<[^>]+>", "", (tmp_path / "adding.html").read_text())
