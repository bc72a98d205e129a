"""Resuming: bit for bit after a kill at any moment, from a whole file or none, with the same data and settings."""

import copy
import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from narrows import filters
from narrows.checkpoint import FILE, Best, load_checkpoint, save_checkpoint
from narrows.data.batches import Batches
from narrows.data.schema import infer_schema
from narrows.errors import InputError
from narrows.fit import fit
from narrows.model import Model
from narrows.noise import Noise
from narrows.optimizers import make_optimizer
from narrows.persist import Fitted, read_tensors, save
from narrows.plan import Plan
from narrows.presets import choose
from narrows.schedules import make_schedule
from narrows.tensors import data_fingerprint
from narrows.train import Run, train
from narrows.values import Figures, Progress

KILLED_RUN = Path(__file__).with_name("killed_run.py")


def table(n: int = 130) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 6)).astype("float32")


def small_run(preset: str = "variational", settings=None, *, seed: int = 0, **changes) -> Run:
    given = {"optimizer": "adam", "schedule": "cosine", "average": 0.9, "momentum": None} | changes
    rows = table()
    schema = infer_schema(rows)
    model = Model(choose(preset, schema, {"network.width": 8, **(settings or {})}), schema, seed=seed)
    values = torch.from_numpy(rows)
    model.adapt(values)
    optimizer = make_optimizer(given["optimizer"], model, 0.01, given["momentum"])
    schedule = make_schedule(given["schedule"])
    return Run(model, Batches(values, 10), optimizer, schedule, Noise(seed), steps=200, average=given["average"])


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Equal names, types and bytes."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and one[name].numpy().tobytes() == other[name].numpy().tobytes()
        for name in one
    )


# --- Killed ----------------------------------------------------------------------------------------------------------


def test_a_run_killed_five_times_ends_with_the_same_bytes(tmp_path):
    line = [sys.executable, str(KILLED_RUN), str(tmp_path), "2014"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    recipes = sorted(tmp_path.iterdir())
    assert [recipe.name for recipe in recipes] == ["kl-sparse", "vq"]
    for recipe in recipes:
        whole, killed = (read_tensors(recipe / f"{name}.safetensors", what="model") for name in ("whole", "killed"))
        assert equal(whole[0], killed[0]), recipe.name
        records = [header["record"] for _, header in (whole, killed)]
        assert [record["steps"] for record in records] == [6 * 68, 6 * 68]
        untimed = [[{**entry, "seconds": 0} for entry in record["history"]] for record in records]
        assert untimed[0] == untimed[1]
        # Nothing that a kill in the middle of a write left behind is kept.
        assert [path.name for path in (recipe / "killed").iterdir()] == [FILE]


VARIANTS = [
    ("autoencoder", {}, {"optimizer": "sgd"}),
    ("autoencoder", {}, {"optimizer": "sgd", "momentum": 0.0}),
    ("autoencoder", {"latent": "kl-sparse"}, {"schedule": "plateau"}),
    ("autoencoder", {"latent": "l1"}, {"optimizer": "adamw"}),
    ("denoising", {}, {"optimizer": "adamw", "average": 0.0}),
    ("sparse", {"latent.size": 8}, {"optimizer": "sgd", "schedule": "constant"}),
    ("variational", {}, {}),
    ("variational", {"objective.warm_up": 0.7, "likelihood.by_cell": True}, {"optimizer": "sgd"}),
    ("iwae", {}, {"optimizer": "adamw", "schedule": "plateau"}),
    ("vq", {"latent.entries": 8}, {}),
    ("discrete", {"latent.size": 8}, {"average": 0.0}),
]


@pytest.mark.parametrize(("preset", "settings", "changes"), VARIANTS)
def test_a_fresh_run_goes_on_from_any_interval_as_the_first_would(preset, settings, changes, tmp_path, monkeypatch):
    monkeypatch.setattr("narrows.train.INTERVAL_STEPS", 10)
    run, best, history = small_run(preset, settings, **changes), Best(), []
    run.steps = 45
    values = torch.from_numpy(table(20))

    def through(run: Run, best: Best, history: list[Progress]):
        progress = filters.validated(run, train(run), values)
        return filters.recorded(filters.keeping_best(run, progress, best, 1000), history)

    for now in through(run, best, history):
        (tmp_path / str(now.step)).mkdir()
        save_checkpoint(tmp_path / str(now.step), run, best, history, {"a": 1})
    tensors, numbers = run.state()
    for step in (10, 13, 23, 45):  # within the first epoch, at its end, within the second, at the end of the training
        # Other first weights, another place in the noise: all has to come from the file.
        resumed, best_again, history_again = small_run(preset, settings, seed=1, **changes), Best(), []
        resumed.steps = 45
        assert load_checkpoint(tmp_path / str(step), resumed, best_again, history_again, {"a": 1})
        assert resumed.step == step
        for _ in through(resumed, best_again, history_again):
            pass
        tensors_again, numbers_again = resumed.state()
        assert equal(tensors, tensors_again)
        assert {**numbers, "seconds": 0} == {**numbers_again, "seconds": 0}
        assert equal(best.weights, best_again.weights)
        assert (best.nats, best.waited) == (best_again.nats, best_again.waited)
        untimed = [[dataclasses.replace(now, seconds=0) for now in kept] for kept in (history, history_again)]
        assert untimed[0] == untimed[1]


def test_the_state_holds_everything_that_moves():
    """What a kind of state is called in the file; a kind that is forgotten here would be forgotten by the resume."""
    run = small_run("autoencoder", {"latent": "kl-sparse"})
    next(iter(train(run)))
    tensors, numbers = run.state()
    names = {name.partition(".")[0] for name in tensors}
    assert names == {"model", "average", "optimizer", "noise"}
    parameters = len(list(run.model.parameters()))
    assert sum(name.startswith("optimizer.") for name in tensors) == 3 * parameters  # step and both moments
    assert "model.latent.use" in tensors
    assert numbers.keys() == {"step", "seconds", "epoch", "position", "full_rate", "schedule"}
    assert (numbers["step"], numbers["epoch"], numbers["position"]) == (39, 3, 0)


# --- A whole file or the one before ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device"), MemoryError])
def test_a_write_that_breaks_off_leaves_the_checkpoint_before(error, tmp_path, monkeypatch):
    run, best = small_run(), Best()
    intervals = train(run)
    next(intervals)
    save_checkpoint(tmp_path, run, best, [], {})
    before = run.state()[0]
    before = {name: tensor.clone() for name, tensor in before.items()}
    next(intervals)

    def breaks_off(tensors, path, metadata):
        Path(path).write_bytes(safetensors.torch.save(tensors, metadata)[:1000])
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(safetensors.torch, "save_file", breaks_off)
        with pytest.raises(type(error) if isinstance(error, Exception) else error):
            save_checkpoint(tmp_path, run, best, [], {})
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    resumed = small_run(seed=1)
    assert load_checkpoint(tmp_path, resumed, Best(), [], {})
    assert equal(resumed.state()[0], before)


def test_what_a_kill_left_beside_the_checkpoint_is_cleared_away(tmp_path):
    run = small_run()
    next(iter(train(run)))
    save_checkpoint(tmp_path, run, Best(), [], {})
    (tmp_path / ".checkpoint.0123abcd.safetensors").write_bytes(b"half")
    (tmp_path / "mine.safetensors").write_bytes(b"not ours")
    assert load_checkpoint(tmp_path, small_run(), Best(), [], {})
    assert {path.name for path in tmp_path.iterdir()} == {FILE, "mine.safetensors"}


def test_without_a_checkpoint_a_run_begins_anew(tmp_path):
    run = small_run()
    before = copy.deepcopy(run.state()[0])
    assert not load_checkpoint(tmp_path, run, Best(), [], {})
    assert equal(run.state()[0], before)


def spoilt(whole: bytes) -> dict[str, bytes]:
    flipped = {place: bytearray(whole) for place in (9, 300, len(whole) - 5)}
    for place, copied in flipped.items():
        copied[place] ^= 4
    return {
        "empty": b"",
        "cut in the header": whole[:50],
        "cut in the tensors": whole[: len(whole) // 2],
        "cut at the end": whole[:-1],
        "longer": whole + b"\0",
        **{f"flipped at {place}": bytes(copied) for place, copied in flipped.items()},
    }


def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path):
    run = small_run()
    next(iter(train(run)))
    save_checkpoint(tmp_path, run, Best(), [], {})
    for damage, content in spoilt((tmp_path / FILE).read_bytes()).items():
        (tmp_path / FILE).write_bytes(content)
        with pytest.raises(InputError) as refusal:
            load_checkpoint(tmp_path, small_run(), Best(), [], {})
        assert FILE in str(refusal.value), damage
        assert "\n" not in str(refusal.value), damage


def test_a_model_file_is_no_checkpoint(tmp_path):
    save(Fitted(small_run().model, "variational"), tmp_path / FILE)
    with pytest.raises(InputError, match="is not a narrows checkpoint file"):
        load_checkpoint(tmp_path, small_run(), Best(), [], {})


# --- Through fit -----------------------------------------------------------------------------------------------------

SMALL = {"network.width": 8, "latent.size": 2}
PLAN = {"epochs": 4, "batch_size": 4, "precision": "float32"}


def fit_table(folder: Path | None, *, rows=None, preset="autoencoder", settings=SMALL, kind=None, **plan) -> Fitted:
    rows = table() if rows is None else rows
    schema = infer_schema(rows, kind=kind)
    return fit(rows, schema, preset, settings, Plan(**PLAN | plan, checkpoint=folder))


@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("seed", {"seed": 1}),
        ("epochs", {"epochs": 5}),
        ("batch_size", {"batch_size": 8}),
        ("optimizer", {"optimizer": "sgd"}),
        ("rate", {"rate": 0.01}),
        ("schedule", {"schedule": "plateau"}),
        ("average", {"average": 0.9}),
        ("validation", {"validation": 0.2}),
        ("patience", {"patience": 3}),
        ("online", {"online": True}),
        ("parts", {"settings": {**SMALL, "network.width": 9}}),
        ("parts", {"preset": "variational"}),
        ("data", {"rows": table() + np.eye(130, 6, dtype="float32") * 1e-3}),
        ("data", {"rows": table()[::-1]}),
        ("epochs, seed", {"seed": 1, "epochs": 5}),
    ],
)
def test_other_data_or_settings_are_refused_by_name(named, change, tmp_path):
    fit_table(tmp_path)
    content = (tmp_path / FILE).read_bytes()
    with pytest.raises(InputError, match=f"made with other {named}") as refusal:
        fit_table(tmp_path, resume=True, **change)
    assert "another folder" in str(refusal.value)
    assert (tmp_path / FILE).read_bytes() == content


def test_another_number_of_threads_is_refused(tmp_path, monkeypatch):
    fit_table(tmp_path)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    with pytest.raises(InputError, match="made with other threads"):
        fit_table(tmp_path, resume=True)


def test_rows_read_as_another_kind_of_values_are_refused(tmp_path):
    rows = np.random.default_rng(0).integers(0, 9, (60, 5)).astype("float32")
    settings = {**SMALL, "likelihood": "gaussian"}
    fit_table(tmp_path, rows=rows, settings=settings, kind="levels")
    with pytest.raises(InputError, match="made with other schema"):
        fit_table(tmp_path, rows=rows, settings=settings, kind="reals", resume=True)


def test_a_run_that_had_ended_is_not_trained_again(tmp_path):
    first = fit_table(tmp_path)
    again = fit_table(tmp_path, resume=True, log=tmp_path / "log.jsonl")
    assert (tmp_path / "log.jsonl").read_text() == ""
    assert equal(first.model.state_dict(), again.model.state_dict())
    assert again.record["history"] == first.record["history"]
    assert again.record["seconds"] == first.record["seconds"]
    anew = fit_table(tmp_path, log=tmp_path / "log.jsonl")
    assert (tmp_path / "log.jsonl").read_text()
    assert equal(first.model.state_dict(), anew.model.state_dict())


def test_a_run_stopped_early_stays_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(filters, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    plan = {"epochs": 300, "patience": 2, "settings": {"network.width": 64, "latent.size": 6}, "rows": table(40)}
    first = fit_table(tmp_path, **plan)
    assert first.record["steps"] < 300 * 9
    again = fit_table(tmp_path, resume=True, **plan)
    assert again.record["steps"] == first.record["steps"]
    assert equal(first.model.state_dict(), again.model.state_dict())


def interrupt_after_one_interval(progress):
    yield next(progress)


def fit_in_two_parts(folder: Path, **plan) -> Fitted:
    rows = table()
    settings = Plan(**PLAN | plan, checkpoint=folder)
    fit(rows, infer_schema(rows), "autoencoder", SMALL, settings, interrupt_after_one_interval)
    return fit_table(folder, resume=True, **plan)


def test_a_rate_that_was_found_is_kept(tmp_path):
    plan = {"rate": "auto", "batch_size": 1, "epochs": 2}
    assert equal(fit_table(None, **plan).model.state_dict(), fit_in_two_parts(tmp_path, **plan).model.state_dict())
    header = read_tensors(tmp_path / FILE, what="checkpoint")[1]
    assert header["plan"]["rate"] == "auto"
    assert header["numbers"]["full_rate"] not in (None, 1e-3)


def test_a_plateau_resumes_before_its_first_validation(tmp_path, monkeypatch):
    """The lowest figure is still infinite then, for which JSON has no word."""
    monkeypatch.setattr(filters, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    plan = {"schedule": "plateau", "batch_size": 1, "epochs": 2}
    resumed = fit_in_two_parts(tmp_path, **plan)
    assert equal(fit_table(None, **plan).model.state_dict(), resumed.model.state_dict())


def test_figures_that_are_no_numbers_survive_a_checkpoint(tmp_path):
    run, history = small_run(), []
    figures = Figures(math.nan, math.inf, 0.0)
    kept = [Progress(1, 2, 0.5, 0.1, 0.2, 0.3, Figures(1.0, 1.0, 0.0), figures, True)]
    save_checkpoint(tmp_path, run, Best(), kept, {})
    load_checkpoint(tmp_path, run, Best(), history, {})
    assert dataclasses.replace(history[0], validation=None) == dataclasses.replace(kept[0], validation=None)
    assert math.isnan(history[0].validation.nats)
    assert not math.isfinite(history[0].validation.distortion)


def test_the_fingerprint_of_the_data_sees_values_type_and_shape():
    rows = torch.arange(12, dtype=torch.uint8).reshape(4, 3)
    others = [rows.flip(0), rows.reshape(3, 4), rows.to(torch.int16), rows[:3], rows + 1]
    prints = [data_fingerprint(values) for values in (rows, *others)]
    assert len(set(prints)) == len(prints)
    assert data_fingerprint(rows.clone()) == prints[0]
    assert data_fingerprint(rows.T.contiguous().T) == prints[0]
    many = torch.arange(20_003, dtype=torch.int32)[:, None]
    changed = many.clone()
    changed[-1] += 1
    assert data_fingerprint(many) != data_fingerprint(changed)
