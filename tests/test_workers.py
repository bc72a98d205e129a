"""Workers that train one model take the steps of one process; what is lost or refused ends all of them cleanly."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributed

from narrows import launch
from narrows.errors import InputError, SaidByAnother
from narrows.noise import DealtNoise, Noise
from narrows.persist import load, read_tensors
from narrows.workers import ALONE, Workers, batch_mean, batch_rows, each, whole

pytestmark = pytest.mark.early
SCRIPT = Path(__file__).with_name("three_workers.py")
RECIPES = (
    "plain", "salt", "poisson", "recorrupted", "variational", "one at a time", "full", "online", "vamp", "iwae",
    "constrained", "kl-sparse", "batch-top-k", "jump-relu", "vq", "score", "local", "labels",
)  # fmt: skip
LAUNCHED = {"TORCHELASTIC_RUN_ID": "1", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """What three workers, and one process, made and said."""
    folder = tmp_path_factory.mktemp("workers")
    line = [sys.executable, str(SCRIPT), str(folder)]
    ran = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder


def said(folder: Path, name: str) -> list[str]:
    return [(folder / name / f"said{rank}").read_text() for rank in range(3)]


# --- The same steps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_workers_take_the_steps_of_one_process(done, name):
    together, alone = (np.load(done / place / f"{name}.npz") for place in ("together", "alone"))
    assert len(together["curve"]) == len(alone["curve"]) >= 15
    np.testing.assert_allclose(together["curve"], alone["curve"], rtol=1e-5)
    np.testing.assert_allclose(together["held_out"], alone["held_out"], rtol=1e-5)
    np.testing.assert_allclose(together["weights"], alone["weights"], rtol=1e-4, atol=1e-5)


def test_every_recipe_is_tried(done):
    assert {path.stem for path in (done / "alone").glob("*.npz")} == set(RECIPES)
    assert json.loads((done / "told.json").read_text())["curves"] == [0, 0, 0]


def test_the_gradient_is_that_of_distributed_data_parallel_and_of_the_whole_batch(done):
    first = None
    for rank in range(3):
        kept = np.load(done / "oracle" / f"gradients{rank}.npz")
        ours, theirs, whole_batch = (kept[name] for name in kept.files)
        size = np.abs(whole_batch).max()
        assert np.abs(ours - theirs).max() < 1e-6 * size
        assert np.abs(ours - whole_batch).max() < 1e-6 * size
        assert first is None or np.array_equal(ours, first)  # to the last bit, or workers would drift apart
        first = ours


def test_rows_that_one_worker_unpacks_are_read_by_all_and_nothing_of_them_is_left(done):
    assert json.loads((done / "told.json").read_text())["unpacked"] == [0, 0, 0, 0]
    alone, together = (
        read_tensors(done / f"{name}.safetensors", what="model")[0] for name in ("unpacked alone", "unpacked")
    )
    for name, tensor in alone.items():
        np.testing.assert_allclose(together[name].numpy(), tensor.numpy(), rtol=1e-4, atol=1e-5)
    assert not list((done / "scratch").iterdir())


# --- What goes wrong -------------------------------------------------------------------------------------------------


def test_a_worker_killed_and_started_again_ends_with_the_same_bytes(done):
    told = json.loads((done / "told.json").read_text())
    assert (told["whole"], told["killed"], told["again"]) == ([0, 0, 0], [2, -9, 2], [0, 0, 0])
    assert told["after the kill"] == []
    for line in said(done, "killing")[::2]:
        assert line.startswith("narrows: error: another worker ended, or cannot be reached (")
        assert len(line.splitlines()) == 1
    undisturbed, killed = (read_tensors(done / f"{name}.safetensors", what="model")[0] for name in ("whole", "killed"))
    assert undisturbed.keys() == killed.keys()
    for name, tensor in undisturbed.items():
        assert tensor.numpy().tobytes() == killed[name].numpy().tobytes(), name


@pytest.mark.parametrize("name", ["fewer", "more"])
def test_another_number_of_workers_goes_on_from_a_checkpoint(done, name):
    told = json.loads((done / "told.json").read_text())
    assert (told["fewer"], told["stopped"], told["more"]) == ([0], [-9], [0, 0, 0])
    undisturbed, resumed = (load(done / f"{model}.safetensors") for model in ("whole", name))
    curves = [[entry["validation"]["nats"] for entry in fitted.record["history"]] for fitted in (undisturbed, resumed)]
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-5)
    for tensor, expected in zip(resumed.model.parameters(), undisturbed.model.parameters(), strict=True):
        np.testing.assert_allclose(tensor.detach(), expected.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("pairs", "objective neighbours compares the examples of a batch with each other, and 3 workers have each a"),
        ("missing", "no such file or data set"),
        ("detector", "torchrun started 3 workers, and preset detector is for one process"),
        ("verb", "torchrun started 3 workers, and narrows presets is for one process"),
        ("optimizer", "momentum was given as 2.0"),
    ],
)
def test_bad_input_ends_all_workers_with_one_line_of_the_first(done, name, says):
    assert json.loads((done / "told.json").read_text())[name] == [2, 2, 2]
    first, *others = said(done, name)
    assert first.startswith(f"narrows: error: {says}")
    assert len(first.splitlines()) == 1
    assert others == ["", ""]


def test_what_one_worker_meets_ends_all_and_what_differs_is_named(done):
    facts = [json.loads((done / "oracle" / f"facts{rank}.json").read_text()) for rank in range(3)]
    elsewhere = "SaidByAnother: the second worker met it"
    assert [fact["met"] for fact in facts] == ["InputError: the second worker met it", elsewhere, elsewhere]
    assert all(fact["other"].startswith("worker 2 was given other data than worker 0") for fact in facts)
    for fact in facts:
        assert fact["told"] == [0, "é"]
        assert fact["columns"] == [[1.0, 2.0, 2.0]] * 2
        assert fact["state"] == {"a": ["torch.bool", True], "b": ["torch.float32", []]}


# --- How rows are dealt out ------------------------------------------------------------------------------------------


@given(rows=st.integers(0, 200), count=st.integers(1, 9))
def test_rows_are_dealt_out_in_order_evenly_and_without_rest(rows, count):
    group = [Workers(rank, count) for rank in range(count)]
    ends = [(worker.own(rows).start, worker.own(rows).stop) for worker in group]
    assert (ends[0][0], ends[-1][1]) == (0, rows)
    assert all(one[1] == other[0] for one, other in pairwise(ends))
    assert {stop - start for start, stop in ends} <= {rows // count, rows // count + 1}
    expected = ends if rows >= count else [(0, rows)] * count
    assert [(worker.part(rows).start, worker.part(rows).stop) for worker in group] == expected


@pytest.mark.parametrize("rank", range(3))
def test_the_noise_of_a_part_is_its_share_of_the_noise_of_all(rank):
    group, shape = Workers(rank, 3), (2, 10, 4)
    for draw in ("normal", "uniform"):
        everybody = getattr(Noise(7), draw)(shape, rows=1)
        noise = DealtNoise(7)
        with group.step(10):
            part = getattr(noise, draw)((2, group.own(10).stop - group.own(10).start, 4), rows=1)
            with pytest.raises(ValueError, match="a draw for 5 rows"):
                noise.normal((5, 4), rows=0)
        assert torch.equal(part, everybody[:, group.own(10)])
    with group.step(2):  # fewer rows than workers
        assert torch.equal(DealtNoise(7).normal((2, 4), rows=0), Noise(7).normal((2, 4), rows=0))


def test_alone_a_batch_is_what_is_here():
    rows = torch.arange(12.0).view(6, 2).requires_grad_()
    with ALONE.step(6) as weight:
        assert weight == 1
        assert torch.equal(whole(rows, 4), rows[::4])
        assert batch_rows(rows) == 6
        assert torch.equal(batch_mean(rows.mean(0)), rows.mean(0).detach())
        assert each(rows).shape == (1, 6, 2)
    assert ALONE.told({"a": 1}) == {"a": 1}
    assert ALONE.values(3) == [3]
    assert ALONE.gathered(rows) is rows


def test_workers_that_come_again_do_not_find_what_others_left():
    store = distributed.HashStore()
    for _ in range(3):  # attempts, of which the first worker sees the leavings of those before
        with ThreadPoolExecutor(3) as pool:
            parts = list(pool.map(lambda rank: launch.unused(store, rank, 3), range(3)))
        assert not any(part.check(["address"]) for part in parts)
        parts[1].set("address", "here")
        assert [part.get("address") for part in parts] == [b"here"] * 3


def test_workers_that_do_not_come_are_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(launch, "SECONDS_TO_COME", 0.05)
    with pytest.raises(InputError, match="2 of 3 workers did not come"):
        launch.unused(distributed.HashStore(), 0, 3)


# --- The launch ------------------------------------------------------------------------------------------------------


def test_without_torchrun_there_is_nobody_to_join(monkeypatch):
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    assert not launch.launched()
    assert not launch.silent()
    launch.refuse_workers("narrows detect")
    with launch.joined("cpu") as group:
        assert group is ALONE


def test_a_single_worker_of_torchrun_is_the_first_and_may_have_been_started_again(monkeypatch):
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    for name, value in {**LAUNCHED, **alone, "TORCHELASTIC_RESTART_COUNT": "2", "OMP_NUM_THREADS": "3"}.items():
        monkeypatch.setenv(name, value)
    with launch.joined("cpu") as group:
        assert (group.first, group.count, group.elastic, group.again) == (True, 1, True, True)
    launch.refuse_workers("narrows detect")


def test_others_are_silent_where_all_would_say_the_same(monkeypatch):
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    assert launch.silent()
    with pytest.raises(SaidByAnother, match="torchrun started 2 workers, and narrows detect is for one process"):
        launch.refuse_workers("narrows detect")


def test_each_worker_has_an_accelerator_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [launch.accelerator("auto", rank, 2) for rank in range(2)] == ["cuda:0", "cuda:1"]
    assert launch.accelerator("cpu", 1, 4) == "cpu"
    with pytest.raises(InputError, match="3 workers were started on a machine with 2 accelerators"):
        launch.accelerator("cuda", 0, 3)
    with pytest.raises(InputError, match="names one accelerator for 2 workers; take --device cuda"):
        launch.accelerator("cuda:1", 0, 2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert launch.accelerator("auto", 0, 3) == "cpu"


@pytest.mark.parametrize(("local_rank", "error"), [("0", InputError), ("1", SaidByAnother)])
def test_where_accelerators_are_missing_one_worker_of_each_machine_says_so(monkeypatch, local_rank, error):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in {**LAUNCHED, "LOCAL_RANK": local_rank, "OMP_NUM_THREADS": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="2 workers were started on a machine with 1 accelerators") as raised:
        launch.joined("cuda").__enter__()
    assert type(raised.value) is error
