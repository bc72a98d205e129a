"""Many models trained at once: each is what its seed alone gives, or is refused in one line."""

import dataclasses
import itertools
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from narrows import load
from narrows.captured import WARMING, ProcessorGraph
from narrows.combinations import AXES, completions, variants
from narrows.data.batches import Batches
from narrows.data.filed import Filed
from narrows.data.schema import Schema, infer_schema
from narrows.data.specimens import MIXED, examples
from narrows.errors import InputError
from narrows.fit import fit
from narrows.inference import bounds
from narrows.members import check_parts, fit_members
from narrows.model import Model
from narrows.noise import Noise
from narrows.optimizers import make_optimizer
from narrows.parts import Part, kinds
from narrows.persist import save
from narrows.plan import Plan
from narrows.presets import PRESETS, choose
from narrows.schedules import make_schedule
from narrows.stacked import Stack
from narrows.train import Run, held_out

ALIKE = (
    1e-4  # held-out nats, as a share: sums are rounded in another order, and Adam moves by signs where little is left
)
PLAN = Plan(epochs=2, batch_size=16, precision="float32", validation=0.2, seed=3)


def correlated(n, columns, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 3)) @ random.normal(size=(3, columns)) + 0.3 * random.normal(size=(n, columns))


def mixed(n):
    random = np.random.default_rng(1)
    drawn = [random.integers(0, top, n) for top in (9, 2, 3)]
    rows = np.column_stack([correlated(n, 1), *drawn, correlated(n, 1), random.integers(0, 12, n)]).astype("float32")
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


TABLE = correlated(60, 6).astype("float32")
LEVELS = (16 / (1 + np.exp(-correlated(60, 64)))).astype("uint8").reshape(-1, 1, 8, 8)
DATA = {
    "table": (TABLE, infer_schema(TABLE)),
    "levels": (LEVELS, Schema((1, 8, 8), 0.0, 16.0, 1.0)),
    "mixed": (mixed(60), MIXED),
}
LABELS = np.array(["a", "b", "c"] * 20)


def members_of(rows=TABLE, preset="variational", settings=("network.width=8",), members=2, **plan):
    plan = dataclasses.replace(PLAN, **plan)
    return fit_members(rows, infer_schema(rows), preset, settings, plan, members)


def check_alike(trained, rows, schema, preset, settings, plan, **more):
    """Each member against a training of its seed alone."""
    for seed, member in enumerate(trained, plan.seed):
        alone = fit(rows, schema, preset, settings, dataclasses.replace(plan, seed=seed), **more)
        theirs, ours = alone.record["history"], member.record["history"]
        for kind in ("validation", "training"):
            nats = [[entry[kind]["nats"] for entry in history if entry[kind]] for history in (ours, theirs)]
            assert nats[0] == pytest.approx(nats[1], rel=ALIKE, abs=ALIKE)
        same = ("plan", "data", "steps", "versions")
        assert {name: member.record[name] for name in same} == {name: alone.record[name] for name in same}
        assert [entry["name"] for entry in member.record["findings"]] == [
            entry["name"] for entry in alone.record["findings"]
        ]
        assert member.model.state_dict().keys() == alone.model.state_dict().keys()
        if alone.baseline is not None:
            for name, tensor in alone.baseline.tensors().items():
                torch.testing.assert_close(member.baseline.tensors()[name], tensor, equal_nan=True)
        assert not member.model.training


def refusal(recipe):
    """The line that says which part trains one model at a time, with the way out."""
    for axis, part in recipe.parts().items():
        if part.instead:
            return (
                f"{axis} {part.kind} trains one model at a time; take {part.instead}, or leave members out and train "
                f"one seed after the other"
            )
    return ""


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_trains_as_members_or_says_what_to_take(preset):
    for rows, schema in DATA.values():
        try:
            recipe = choose(preset, schema)
        except InputError:
            continue
        settings = {"network.width": 8} if hasattr(recipe.network, "width") else {}
        if refusal(recipe):
            with pytest.raises(InputError, match=f"^{re.escape(refusal(recipe))}$"):
                fit_members(rows, schema, preset, settings, PLAN, 2, labels=LABELS)
        else:
            trained = fit_members(rows, schema, preset, settings, PLAN, 2, labels=LABELS)
            check_alike(trained, rows, schema, preset, settings, PLAN, labels=LABELS)


@pytest.mark.parametrize("preset", PRESETS)
def test_steps_of_members_by_replays_are_those_that_would_be_taken(preset, monkeypatch):
    replays = []
    replay = ProcessorGraph.replay
    monkeypatch.setattr(ProcessorGraph, "replay", lambda self, rows: replays.append(rows) or replay(self, rows))
    for rows, schema in DATA.values():
        try:
            recipe = choose(preset, schema)
        except InputError:
            continue
        if refusal(recipe):
            continue
        settings = {"network.width": 8} if hasattr(recipe.network, "width") else {}
        captured, eager = (
            fit_members(rows, schema, preset, settings, plan, 2, labels=LABELS)
            for plan in (PLAN, dataclasses.replace(PLAN, eager=True))
        )
        steps = captured[0].record["steps"]
        asks = any(isinstance(part, Part) and part.asks_host for part in captured[0].model.modules())
        assert len(replays) == (0 if asks else steps - WARMING - 1) or not steps
        for ours, theirs in zip(captured, eager, strict=True):
            for entry, other in zip(ours.record["history"], theirs.record["history"], strict=True):
                assert {**entry, "seconds": 0} == {**other, "seconds": 0}
            for name, tensor in ours.model.state_dict().items():
                torch.testing.assert_close(tensor, theirs.model.state_dict()[name], rtol=0, atol=0, equal_nan=True)
        return


@pytest.mark.parametrize(
    ("preset", "refused"),
    [
        ("convolutional", "network conv trains one model at a time; take network=mlp, or leave members out"),
        ("denoiser", "network u-net trains one model at a time; take --preset denoising with network=mlp"),
        ("dictionary", "latent batch-top-k trains one model at a time; take latent=top-k"),
        ("iwae", "network conv trains one model at a time; take network=mlp"),
        ("vq", "network conv"),
    ],
)
def test_refusals_of_images(preset, refused):
    with pytest.raises(InputError, match=refused):
        check_parts(choose(preset, Schema((1, 28, 28), 0.0, 255.0, 1.0)))


# --- Every part of the registry --------------------------------------------------------------------------------------


def together(axis):
    """Parts of one axis that train as members."""
    return [part for kind in kinds(axis).values() for part in variants(kind) if not part.instead]


def recipe_with(part):
    """Parts that go with this one and train as members, and rows of a kind of data that they take."""
    given = {axis: [part] if axis == part.axis else together(axis) for axis in AXES}
    for example in reversed(examples()):
        for recipe in itertools.islice(completions(given, example.schema), 1):
            if not any(recipe.refusals(example.schema)):
                return recipe, example
    return None


def run_of(recipe, example, seed):
    model = Model(recipe, example.schema, seed=seed)
    rows = example.values
    if recipe.corruption.own:
        rows = torch.cat([rows, rows.flip(0)], 1)
    condition = torch.arange(len(rows)) % 2 if recipe.latent.conditional else None
    chosen = torch.arange(seed, seed + 9)  # members learn from different rows
    batches = Batches(rows, 5, seed=seed, chosen=chosen, condition=condition)
    if condition is not None:
        model.latent.weigh(condition[chosen])
    model.objective.adapt(len(batches))
    model.adapt(example.values[chosen])
    model.start(lambda: example.values[chosen])
    return Run(model, batches, make_optimizer("adam", model), make_schedule("cosine"), Noise(seed), steps=4)


def check_steps(recipe, example):
    """Gradients of the first step, scores of each, and what is kept besides weights."""
    stack = Stack([run_of(recipe, example, seed) for seed in (1, 2)], partial(make_optimizer, "adam"))
    runs = [run_of(recipe, example, seed) for seed in (1, 2)]
    batches = [iter(run.batches) for run in runs]
    for step in range(3):
        scores = stack.update()
        for place, run in enumerate(runs):
            expected = run.model.train() and run.update(next(batches[place]))
            torch.testing.assert_close(scores.nats[place], expected.nats, rtol=ALIKE, atol=ALIKE)
            for (name, ours), theirs in zip(stack.model.named_parameters(), run.model.parameters(), strict=True):
                if step == 0 and theirs.grad is not None:
                    torch.testing.assert_close(ours.grad[place], theirs.grad, rtol=1e-3, atol=1e-5, msg=name)
            for (name, ours), theirs in zip(stack.model.named_buffers(), run.model.buffers(), strict=True):
                torch.testing.assert_close(ours[place], theirs, rtol=1e-3, atol=1e-4, equal_nan=True, msg=name)


@pytest.mark.parametrize("kind", [kind for axis in AXES for kind in kinds(axis).values()], ids=lambda kind: kind.kind)
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_each_part_takes_the_steps_of_each_member(kind):
    found = [recipe_with(part) for part in variants(kind) if not part.instead]
    assert (None in found) == (kind.kind in COMPANY_ALONE)
    for recipe, example in filter(None, found):
        check_steps(recipe, example)


COMPANY_ALONE = ("whole", "straight-through", "relaxed")  # what these go with trains one model at a time


# --- What a training may ask for -------------------------------------------------------------------------------------


def test_one_member_is_a_model():
    check_alike(members_of(members=1), TABLE, infer_schema(TABLE), "variational", ["network.width=8"], PLAN)


def test_members_differ_by_their_seeds_alone():
    three, two = members_of(members=3), members_of(members=2, seed=4)
    assert [member.record["plan"]["seed"] for member in three] == [3, 4, 5]
    for ours, theirs in zip(three[1:], two, strict=True):
        assert ours.record["history"][-1]["validation"]["nats"] == pytest.approx(
            theirs.record["history"][-1]["validation"]["nats"], rel=ALIKE
        )
    assert not torch.equal(three[0].model.transform.mean, three[1].model.transform.mean)


@pytest.mark.parametrize(
    "plan",
    [
        {"average": 0.9},
        {"optimizer": "adamw", "rate": 3e-3, "schedule": "constant"},
        {"validation": 0.0},
        {"batch_size": "full", "epochs": 5},
        {"batch_size": 1, "epochs": 1},
    ],
    ids=str,
)
def test_ways_to_train(plan):
    plan = dataclasses.replace(PLAN, **plan)
    trained = fit_members(TABLE, infer_schema(TABLE), "sparse", ["network.width=8"], plan, 2)
    check_alike(trained, TABLE, infer_schema(TABLE), "sparse", ["network.width=8"], plan)


def test_what_is_seen_may_come_with_the_rows():
    noisy = TABLE + np.random.default_rng(2).normal(size=TABLE.shape).astype("float32")
    settings = ["network.width=8", "corruption=own"]
    trained = fit_members(TABLE, infer_schema(TABLE), "autoencoder", settings, PLAN, 2, noisy=noisy)
    check_alike(trained, TABLE, infer_schema(TABLE), "autoencoder", settings, PLAN, noisy=noisy)


def test_values_may_be_made_binary_by_draws():
    schema, plan = DATA["levels"][1], dataclasses.replace(PLAN, binarize="draw")
    trained = fit_members(LEVELS, schema, "variational", ["network.width=8"], plan, 2)
    check_alike(trained, LEVELS, schema, "variational", ["network.width=8"], plan)


def test_each_member_stops_by_its_own_figure():
    noise = np.random.default_rng(0).normal(size=(60, 8)).astype("float32")  # nothing to learn: it overfits at once
    settings = {"network.width": 32, "latent.size": 8, "objective.warm_up": 0.9}
    plan = dataclasses.replace(
        PLAN, epochs=20, batch_size=1, patience=2, rate=3e-3, validation=0.4, average=0.9, seed=1
    )
    trained = fit_members(noise, infer_schema(noise), "variational", settings, plan, 3)
    steps = [member.record["steps"] for member in trained]
    assert steps[1] < steps[0] < steps[2] < 20 * 36  # the first that goes on is one after the other
    check_alike(trained, noise, infer_schema(noise), "variational", settings, plan)
    for member in trained:
        figures = [entry["validation"]["nats"] for entry in member.record["history"]]
        order = torch.randperm(60, generator=torch.Generator().manual_seed(member.record["plan"]["seed"]))
        kept = torch.from_numpy(noise)[order[:24].sort().values]
        assert held_out(member.model, kept).nats == pytest.approx(min(figures), rel=1e-6)


def test_figures_that_are_no_numbers_leave_the_weights_from_before():
    plan = dataclasses.replace(PLAN, rate=1e37, validation=0.0)
    for seed, member in enumerate(members_of(rate=1e37, validation=0.0), 3):
        one = dataclasses.replace(plan, seed=seed)
        alone = fit(TABLE, infer_schema(TABLE), "variational", ["network.width=8"], one)
        assert member.record["findings"][0]["name"] == "not a number"
        for ours, theirs in zip(member.model.state_dict().values(), alone.model.state_dict().values(), strict=True):
            assert torch.equal(ours, theirs)


def test_a_watcher_sees_the_intervals():
    seen = []

    def watch(progress):
        for now in progress:
            seen.append(now.share)
            yield now

    fit_members(TABLE, infer_schema(TABLE), "autoencoder", ["network.width=8"], PLAN, 3, watch)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_members_have_tensors_of_their_own(tmp_path):
    members = members_of()
    for place, member in enumerate(members):
        for tensor in member.model.state_dict().values():
            assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        save(member, tmp_path / f"{place}.safetensors")
        loaded = load(tmp_path / f"{place}.safetensors")
        rows = torch.from_numpy(TABLE)
        assert torch.equal(bounds(loaded.model, rows), bounds(member.model, rows))


# --- Refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "given"),
    [
        ({"epochs": None, "minutes": 1.0}, "--minutes"),
        ({"online": True}, "--online"),
        ({"rate": "auto"}, "--rate auto"),
        ({"schedule": "plateau"}, "--schedule plateau"),
        ({"optimizer": "sgd"}, "--optimizer sgd"),
        ({"checkpoint": Path("kept")}, "--checkpoint"),
        ({"log": Path("log")}, "--log"),
    ],
)
def test_refuses_what_is_of_one_model(plan, given):
    with pytest.raises(InputError, match=f"{given} is for a model by itself, and members were given") as error:
        members_of(**plan)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("members", "plan", "said"),
    [
        (0, {}, "members was given as 0; it must be at least 1"),
        (1001, {}, "members was given as 1001; it must be at most 1000"),
        (2, {"seed": -1}, "seed was given as -1"),
        (2, {"seed": 2**63 - 1}, "seed was given as 9223372036854775808"),
        (2, {"optimizer": "adm"}, "did you mean 'adam'"),
        (2, {"patience": 0}, "patience was given as 0"),
    ],
)
def test_refuses_numbers_that_make_no_sense(members, plan, said):
    with pytest.raises(InputError, match=said):
        members_of(members=members, **plan)


def test_refuses_rows_in_a_file_and_dead_units():
    with pytest.raises(InputError, match="rows that stay in their file are for a model by itself"):
        fit_members(Filed((), 6, np.dtype("float32")), infer_schema(TABLE), members=2)
    with pytest.raises(InputError, match=r"latent top-k trains one model at a time; take latent\.dead_after=0"):
        members_of(preset="sparse", settings=["latent.dead_after=100"])
