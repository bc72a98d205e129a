"""Every malformed input is refused in one line, with no file touched, or gets the treatment that is documented."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from inputs import GROUPS, table
from inputs.case import Case, figures
from inputs.models import DETECTOR, IMPUTER
from inputs.rows import as_csv, flows, new
from inputs.sparse import DICTIONARY, SMALL, numbers
from narrows import AnomalyDetector, read
from narrows.cli import run
from narrows.data import limits
from narrows.data.writers import TABLE_WRITERS

CASES = [case for cases in GROUPS.values() for case in cases]
FAST = "detector-without-network"
VERBS = {
    "data": lambda file, sound: ("data", file),
    "train": lambda file, sound: ("train", file, "--preset", FAST, "-o", "out.safetensors"),
    "detect": lambda file, sound: ("detect", sound / DETECTOR, file, "-o", "out.csv"),
    "impute": lambda file, sound: ("impute", sound / IMPUTER, file, "-o", "out.csv"),
    "dictionary": lambda file, sound: (
        "train",
        file,
        "--preset",
        "dictionary",
        "--epochs",
        "1",
        "-o",
        "out.safetensors",
    ),
    "codes": lambda file, sound: ("embed", sound / DICTIONARY, file, "--sparse", "-o", "codes.npz"),
    "dense": lambda file, sound: ("embed", sound / IMPUTER, file, "--sparse", "-o", "codes.npz"),
    "detector": lambda file, sound: ("detect", file, sound / "new.csv", "-o", "out.csv"),
    "imputer": lambda file, sound: ("impute", file, sound / "new.csv", "-o", "out.csv"),
    "report": lambda file, sound: ("report", file, sound / "new.csv", "-o", "out.html"),
    "report of rows": lambda file, sound: ("report", sound / DETECTOR, file, "-o", "out.html"),
    "export": lambda file, sound: ("export", file, "-o", "graphs"),
    "export into": lambda file, sound: ("export", sound / DETECTOR, "-o", file),
    "export on rows": lambda file, sound: ("export", sound / DETECTOR, file, "-o", "graphs"),
}


@pytest.fixture(scope="session")
def sound(tmp_path_factory) -> Path:
    """A folder of sound rows, three models, and the scores of the rows."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "flows.csv").write_text(as_csv(flows(1200, 0)))
    (folder / "new.csv").write_text(as_csv(new()))
    np.save(folder / "rows.npy", numbers())
    for words in (
        ("train", folder / "flows.csv", "--preset", FAST, "-o", folder / DETECTOR),
        ("train", folder / "flows.csv", "--preset", "imputing", "-o", folder / IMPUTER, "--epochs", "1"),
        (*VERBS["dictionary"](folder / "rows.npy", folder)[:-1], folder / DICTIONARY, "--set", *SMALL),
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
    if case.verb in ("detector", "imputer", "report", "export"):
        for name in (DETECTOR, IMPUTER):
            shutil.copy(sound / name, folder)
    words = (*VERBS[case.verb](case.make(folder), sound), *case.options)
    if case.refused:
        refused(*words, says=case.refused)
        return
    printed = printed_within(case.memory, *words, "--json") if case.memory else done(*words, "--json")
    result = figures(json.loads(printed))
    assert {name: result[name] for name in case.result} == dict(case.result)
    assert case.told in " ".join(result.get("notes", []))
    if case.scores:
        compare_scores(case.scores, scores_in(here / "out.csv"), scores_in(sound / "scores.csv"))


def printed_within(memory: int, *words: object) -> str:
    """What a process of its own prints, which may take so many bytes of memory."""
    line = [sys.executable, "-m", "narrows", *map(str, words)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        printed = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) < memory
    return printed


def compare_scores(how: str, scores: list[float], before: list[float]) -> None:
    pairs = list(zip(scores, before, strict=True))
    changed = {"same": [], "higher": pairs[:1], "higher everywhere": pairs}[how]
    assert all(score > usual for score, usual in changed)
    assert all(score == usual for score, usual in pairs[len(changed) :])


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.npy", "t.png", "folder"])
def test_what_may_not_be_read_is_refused(name, here, capfd):
    path = here / name
    path.write_text("a,b\n1,2\n3,5\n") if path.suffix else path.mkdir()
    path.chmod(0)
    try:
        status = run(["data", name])
    finally:
        path.chmod(0o700)
    out, err = capfd.readouterr()
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "Permission denied" in err


def test_there_are_hundreds_and_no_two_alike():
    assert len({case.name for case in CASES}) == len(CASES) >= 200
    assert all(bool(case.refused) != bool(case.treatment) for case in CASES)


def test_the_page_of_treatments_is_that_of_the_collection():
    assert (Path(__file__).parents[2] / "docs" / "malformed.md").read_text() == table()


# --- columns in another order ----------------------------------------------------------------------------------------

ORDERS = [(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 4, 0, 3, 1)]
SOURCES: dict[str, Callable[[pa.Table, Path], object]] = {
    "csv": lambda rows, folder: written(rows, folder / "t.csv", arrow_csv.write_csv),
    "parquet": lambda rows, folder: written(rows, folder / "t.parquet", parquet.write_table),
    "arrow": lambda rows, folder: rows,
    "pandas": lambda rows, folder: rows.to_pandas(),
    "polars": lambda rows, folder: pl.from_arrow(rows),
}


def written(rows: pa.Table, file: Path, write: Callable[[pa.Table, Path], None]) -> Path:
    write(rows, file)
    return file


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("source", SOURCES)
def test_columns_in_another_order_score_the_same(source, order, sound, tmp_path):
    detector = AnomalyDetector.load(sound / DETECTOR)
    rows = arrow_csv.read_csv(sound / "new.csv")
    given = SOURCES[source](rows.select(order), tmp_path)
    given = read(given, schema=detector.fitted_.schema) if isinstance(given, Path) else given
    assert (-detector.score_samples(given) == scores_in(sound / "scores.csv")).all()
    assert (detector.contributions(given) == detector.contributions(rows)).all()
    assert detector.reasons(given) == detector.reasons(rows)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
def test_columns_of_numbers_in_another_order_score_the_same(suffix, here, done):
    random = np.random.default_rng(0)
    rows = pa.table({name: random.normal(size=1200) for name in "abcde"})
    arrow_csv.write_csv(rows, here / "train.csv")
    done("train", "train.csv", "--preset", FAST, "-o", "d.safetensors")
    found = []
    for order in ORDERS:
        TABLE_WRITERS[suffix](rows.select(order).slice(0, 100), here / f"t{suffix}")
        done("detect", "d.safetensors", f"t{suffix}", "-o", "out.csv")
        found.append(scores_in(here / "out.csv"))
    assert found[0] == found[1] == found[2]
