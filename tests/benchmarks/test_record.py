"""The record of a benchmark: complete, readable, whole, and free of what holds on one machine alone."""

import importlib.util
import json
import platform
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

SOURCE = Path(__file__).parents[2] / "benchmarks" / "record.py"


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    """The module, in a repository of its own under ``tmp_path``."""
    spec = importlib.util.spec_from_file_location("benchmark_record", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "RESULTS", tmp_path / "benchmarks" / "results")
    monkeypatch.delenv("NARROWS_DATA", raising=False)
    return module


def git(folder, *words):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, "-C", str(folder), *words], check=True, capture_output=True)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_figures_come_back_as_plain_values(recorder):
    figures = {"ratio": np.float32(1.5), "images_per_s": torch.tensor([1.0, 2.0]), "counts": np.arange(3), "note": "ü"}
    path = recorder.record("train_speed", figures, command="make bench", seconds=1.23456, protocol="three seeds")
    page = read(path)
    assert path == recorder.RESULTS / "train_speed.json"
    assert page["figures"] == {"ratio": 1.5, "images_per_s": [1.0, 2.0], "counts": [0, 1, 2], "note": "ü"}
    assert (page["command"], page["seconds"], page["protocol"]) == ("make bench", 1.235, "three seeds")


def test_says_when_on_what_and_with_which_versions(recorder):
    page = read(recorder.record("one", {}, seconds=0))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", page["date"])
    assert page["machine"]["cores"] >= 1
    assert page["machine"]["processor"]
    assert page["machine"]["torch_threads"] == torch.get_num_threads()
    assert page["versions"]["python"] == platform.python_version()
    assert page["versions"]["torch"] == torch.__version__
    assert page["versions"]["numpy"] == np.__version__


def test_names_neither_the_machine_nor_its_folders(recorder, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "benchmarks" / "one.py"), str(Path.home() / "images")])
    path = recorder.record("one", {"model": tmp_path / "m.safetensors"}, seconds=0)
    text = path.read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert read(path)["command"] == "python benchmarks/one.py images"
    assert read(path)["figures"] == {"model": "m.safetensors"}
    assert socket.gethostname() not in read(path)["machine"].values()


def test_keys_are_sorted_and_lines_short_enough_to_read(recorder):
    text = recorder.record("one", {"b": 1, "a": {"d": 1, "c": 2}}, seconds=0).read_text(encoding="utf-8")
    assert text.index('"a"') < text.index('"b"')
    assert text.index('"c"') < text.index('"d"')
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["{root}/benchmarks/one.py", "--epochs", "3"], "python benchmarks/one.py --epochs 3"),
        (["benchmarks/one.py", "two words"], "python benchmarks/one.py 'two words'"),
        (["/usr/local/bin/narrows", "study", "bound"], "narrows study bound"),
        (
            ["{root}/benchmarks/one.py", "--out={root}/a/b", "{data}/x.npz"],
            "python benchmarks/one.py --out=a/b $NARROWS_DATA/x.npz",
        ),
        (["-c", "7"], "python -c ... 7"),
    ],
)
def test_command_is_the_running_line(recorder, monkeypatch, tmp_path, argv, command):
    data = tmp_path.parent / "sets"
    monkeypatch.setenv("NARROWS_DATA", str(data))
    monkeypatch.setattr(sys, "argv", [part.format(root=tmp_path, data=data) for part in argv])
    assert read(recorder.record("one", {}, seconds=0))["command"] == command


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_commit_is_dirty_only_when_something_other_than_results_changed(recorder, tmp_path):
    assert recorder._commit() is None
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "init")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-m", "first")
    recorder.record("one", {}, seconds=0)
    clean = recorder._commit()
    assert re.fullmatch(r"[0-9a-f]{40}", clean)
    (tmp_path / "code.py").write_text("2")
    assert recorder._commit() == f"{clean}-dirty"


def test_the_commit_is_the_one_at_the_start(recorder, monkeypatch):
    """What is committed while a benchmark runs was not measured."""
    monkeypatch.setattr(recorder, "_commit", lambda: "a later one")
    assert read(recorder.record("one", {}, seconds=0))["commit"] == recorder.MEASURED != "a later one"


@pytest.mark.parametrize("figure", [float("nan"), float("inf"), np.float32("nan"), torch.tensor([1.0, float("nan")])])
def test_a_figure_that_is_no_number_is_refused_and_the_old_file_kept(recorder, figure):
    path = recorder.record("one", {"ratio": 1.0}, seconds=0)
    with pytest.raises(ValueError, match="not JSON compliant"):
        recorder.record("one", {"ratio": figure}, seconds=0)
    assert read(path)["figures"] == {"ratio": 1.0}
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(recorder, monkeypatch):
    path = recorder.record("one", {"ratio": 1.0}, seconds=0)

    def full_disk(self, target):
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        recorder.record("one", {"ratio": 2.0}, seconds=0)
    assert read(path)["figures"] == {"ratio": 1.0}
    assert list(path.parent.iterdir()) == [path]


def test_a_figure_of_a_strange_type_is_refused(recorder):
    with pytest.raises(TypeError, match="object"):
        recorder.record("one", {"ratio": object()}, seconds=0)


@pytest.mark.parametrize("name", ["", "..", "a/b", "/tmp/x"])
def test_a_name_that_is_no_stem_is_refused(recorder, name):
    with pytest.raises(ValueError, match="stem"):
        recorder.record(name, {}, seconds=0)
