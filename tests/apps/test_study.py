"""The laboratory from the command line: tables, JSON, files whole or none, with matplotlib and without."""

import importlib
import json
from dataclasses import dataclass

import pytest

from narrows.apps import study as app
from narrows.apps.study import NO_FIGURES, STUDIES
from narrows.study.tables import Table


@dataclass(frozen=True)
class Found:
    seed: int
    figures: list[float]

    def tables(self):
        rows = [("one | two", 0.123456, None), ("three", 12345, "4e-16")]
        return [Table("some figures, in nats", ("what", "first", "second"), rows), Table("more", ("x",), [(1.0,)])]


@pytest.fixture
def quick(monkeypatch):
    """A study of the bound that takes no time, and its figure."""
    monkeypatch.setattr("narrows.study.bound.run", lambda seed: Found(seed, [1.0, float("nan")]))


def test_without_a_name_the_studies_are_listed(done):
    told = json.loads(done("study", "--json"))
    assert {row["study"]: row["what it asks"] for row in told} == STUDIES


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_runs_and_draws(name):
    module = importlib.import_module(f"narrows.study.{name}")
    assert callable(module.run)
    pytest.importorskip("matplotlib")
    assert callable(importlib.import_module(f"narrows.study.charts.{name}").draw)


def test_tables_for_a_person(quick, done):
    lines = done("study", "bound").splitlines()
    assert lines[0] == "some figures, in nats"
    assert lines[1].split() == ["what", "first", "second"]
    assert lines[2].split() == ["one", "|", "two", "0.1235"]
    assert lines[3].split() == ["three", "12,345", "4e-16"]
    assert "more" in lines


def test_all_of_it_for_a_machine(quick, here, done):
    assert json.loads(done("study", "bound", "--seed", "3", "--json")) == {
        "seed": 3,
        "figures": [1.0, None],
        "files": [],
    }
    assert not list(here.iterdir())


def test_files(quick, here, done, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib.figure")
    charts = importlib.import_module("narrows.study.charts.bound")
    monkeypatch.setattr(charts, "draw", lambda _: {"bound-one": matplotlib.Figure(figsize=(8, 3), dpi=100)})
    told = json.loads(done("study", "bound", "-o", "out/study", "--json"))
    written = sorted(path.name for path in (here / "out" / "study").iterdir())
    assert written == ["bound-one.png", "bound.json", "bound.md"]
    assert sorted(told["files"]) == [f"out/study/{name}" for name in written]
    image = pytest.importorskip("PIL.Image")
    with image.open(here / "out" / "study" / "bound-one.png") as picture:
        assert picture.size == (800, 300)
    page = (here / "out" / "study" / "bound.md").read_text()
    assert page.startswith(
        "some figures, in nats\n\n| what | first | second |\n| --- | --- | --- |\n| one \\| two | 0.1235 |  |"
    )
    assert "written" in done("study", "bound", "-o", "out/study")


def test_without_matplotlib_tables_still_come(quick, here, capfd, monkeypatch):
    from narrows.cli import run

    monkeypatch.setattr(app.importlib.util, "find_spec", lambda name: None)
    assert run(["study", "bound", "-o", "out"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("some figures, in nats\n")
    assert err == f"narrows: {NO_FIGURES}\n"
    assert sorted(path.name for path in (here / "out").iterdir()) == ["bound.json", "bound.md"]


def test_refused(here, refused):
    (here / "taken").write_text("a file")
    refused(
        "study", "bund", says="unknown study 'bund'; did you mean 'bound'? allowed: bound, gradients, latents, descent"
    )
    refused("study", "bound", "--seed", "-1", says="seed was given as -1; it must be at least 0")
    refused("study", "bound", "-o", "taken", says="taken is a file; give the name of a folder to write into")
    refused("study", "bound", "-o", "taken/deeper", says="taken is a file; give the name of a folder to write into")
    refused("study", "bound", "more", says="unexpected extra argument")
