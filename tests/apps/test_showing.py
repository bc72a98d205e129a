"""Results printed for a person and for a machine."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from narrows.apps.listing import Listing
from narrows.apps.showing import show, text


@dataclass(frozen=True)
class Result:
    where: Path
    rows_in_it: int
    share: float
    missing: float | None
    notes: list[str]


RESULT = Result(Path("a") / "b", 12345, float("nan"), None, ["one note: [bold]", "another :snake:"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.123456, "0.1235"),
        (-21.5, "-21.5"),
        (1e-14, "1e-14"),
        (123456.7, "123,457"),
        (1234567, "1,234,567"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        ([1, 2.5], "1, 2.5"),
        (["two words", "x"], "two words\nx"),
        ("as it is", "as it is"),
    ],
)
def test_values(value, expected):
    assert text(value) == expected


def test_record_for_a_person(capsys):
    show(RESULT, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        f"where       {Path('a') / 'b'}",
        "rows in it  12,345",
        "notes       one note: [bold]",
        "            another :snake:",
    ]


def test_record_for_a_machine(capsys):
    show(RESULT, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "where": str(Path("a") / "b"),
        "rows_in_it": 12345,
        "share": None,
        "missing": None,
        "notes": RESULT.notes,
    }


def test_listing(capsys):
    listing = Listing(("a", "b c"), [("1", "x" * 300), ("22", "")])
    show(listing, as_json=True)
    assert json.loads(capsys.readouterr().out) == [{"a": "1", "b c": "x" * 300}, {"a": "22", "b c": ""}]
    show(listing, as_json=False)
    assert capsys.readouterr().out.splitlines() == ["a   b c", "1   " + "x" * 300, "22"]


def test_nothing_is_cut_off_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show(Listing(("a", "b"), [("1", "/a/path/of/many/letters" * 5)]), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[1:])) <= 40
    assert "".join(line[3:].strip() for line in lines[1:]) == "/a/path/of/many/letters" * 5
