"""Every malformed input is refused in one line, with no file touched, or gets the treatment that is documented."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from inputs import GROUPS
from inputs.case import Case, figures
from inputs.models import DETECTOR, IMPUTER
from inputs.scoring import as_csv, flows, new
from narrows.cli import run
from narrows.data import limits

CASES = [case for cases in GROUPS.values() for case in cases]
FAST = "detector-without-network"
VERBS = {
    "data": lambda file, sound: ("data", file),
    "train": lambda file, sound: ("train", file, "--preset", FAST, "-o", "out.safetensors"),
    "detect": lambda file, sound: ("detect", sound / DETECTOR, file, "-o", "out.csv"),
    "impute": lambda file, sound: ("impute", sound / IMPUTER, file, "-o", "out.csv"),
    "detector": lambda file, sound: ("detect", file, sound / "new.csv", "-o", "out.csv"),
    "imputer": lambda file, sound: ("impute", file, sound / "new.csv", "-o", "out.csv"),
}


@pytest.fixture(scope="session")
def sound(tmp_path_factory) -> Path:
    """A folder of sound rows, two models, and the scores of the rows."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "flows.csv").write_text(as_csv(flows(1200, 0)))
    (folder / "new.csv").write_text(as_csv(new()))
    for words in (
        ("train", folder / "flows.csv", "--preset", FAST, "-o", folder / DETECTOR),
        ("train", folder / "flows.csv", "--preset", "imputing", "-o", folder / IMPUTER, "--epochs", "1"),
        ("detect", folder / DETECTOR, folder / "new.csv", "-o", folder / "scores.csv"),
    ):
        assert run([str(word) for word in words]) == 0
    return folder


def scores_in(file: Path) -> list[float]:
    with file.open() as lines:
        return [float(row["score"]) for row in csv.DictReader(lines)]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_input_has_its_treatment(case: Case, sound, here, tmp_path_factory, monkeypatch, refused, done):
    monkeypatch.setattr(limits, "FREE_BYTES", 8 * 2**20)  # a bomb need not be large to be one
    folder = tmp_path_factory.mktemp("made")
    if case.verb in ("detector", "imputer"):
        for name in (DETECTOR, IMPUTER):
            shutil.copy(sound / name, folder)
    words = (*VERBS[case.verb](case.make(folder), sound), *case.options)
    if case.refused:
        refused(*words, says=case.refused)
        return
    result = figures(json.loads(done(*words, "--json")))
    assert {name: result[name] for name in case.result} == dict(case.result)
    assert case.told in " ".join(result.get("notes", []))
    if case.scores:
        compare_scores(case.scores, scores_in(here / "out.csv"), scores_in(sound / "scores.csv"))


def compare_scores(how: str, scores: list[float], before: list[float]) -> None:
    pairs = list(zip(scores, before, strict=True))
    changed = {"same": [], "higher": pairs[:1], "higher everywhere": pairs}[how]
    assert all(score > usual for score, usual in changed)
    assert all(score == usual for score, usual in pairs[len(changed) :])


def test_there_are_hundreds_and_no_two_alike():
    assert len({case.name for case in CASES}) == len(CASES) >= 200
    assert all(bool(case.refused) != bool(case.treatment) for case in CASES)
