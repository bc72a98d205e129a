"""Steps that are captured and replayed are those that would be taken; none waits for an accelerator."""

import dataclasses

import numpy as np
import pytest
import torch
from imitated_graph import ImitatedGraph
from torch.utils._python_dispatch import TorchDispatchMode

from narrows import captured
from narrows.captured import WARMING, CapturedStep, CudaGraph, graph_for
from narrows.combinations import AXES, completions, variants
from narrows.data.batches import Batches
from narrows.data.specimens import examples
from narrows.errors import InputError
from narrows.fit import fit
from narrows.model import Model
from narrows.noise import Noise
from narrows.optimizers import OPTIMIZERS, make_optimizer
from narrows.parts import Part, kinds
from narrows.plan import Plan
from narrows.presets import PRESETS, choose
from narrows.schedules import make_schedule
from narrows.train import Run
from narrows.values import Clock, Labelled, Scores

# On a processor what bits cost is computed in a way of its own, which asks for the smallest of its numbers.
SPECIMENS = sorted(examples(), key=lambda specimen: specimen.schema.levels == 2)
LABELS = ("a", "b")
ROWS, SIZE, STEPS = 17, 5, 11  # three whole batches in an epoch, and a shorter one
REPLAYS = 9 - WARMING


def model_of(recipe, specimen):
    model = Model(recipe, specimen.schema)
    rows = specimen.values.repeat(-(-ROWS // len(specimen.values)), *[1] * (specimen.values.dim() - 1))[:ROWS]
    model.adapt(rows)
    model.start(lambda: rows)
    return model, torch.cat([rows, rows], 1) if recipe.corruption.own else rows


def run_of(recipe, specimen, *, graphed, optimizer="adam", average=0.0):
    model, rows = model_of(recipe, specimen)
    noise = Noise(1)
    condition = torch.arange(ROWS) % len(LABELS) if recipe.latent.conditional else None
    batches = Batches(rows, SIZE, condition=condition)
    graph = ImitatedGraph(noise.generator) if graphed else None
    moved = make_optimizer(optimizer, model)
    run = Run(model, batches, moved, make_schedule("cosine"), noise, steps=STEPS, average=average, graph=graph)
    return run, graph


def trained(run):
    batches = iter(run.batches)
    figures = []
    while run.share < 1.0:
        run.interval(batches)
        figures.append(run.figures)
    return figures


def check_alike(recipe, specimen, **more):
    (alone, _), (replayed, graph) = (run_of(recipe, specimen, graphed=graphed, **more) for graphed in (False, True))
    for ours, theirs in zip(trained(replayed), trained(alone), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert graph.replays == REPLAYS
    assert torch.equal(replayed.noise.state(), alone.noise.state())
    tensors, others = replayed.state()[0], alone.state()[0]
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, others[name], equal_nan=True, msg=name)


def asks_host(recipe):
    return any(
        isinstance(inner, Part) and inner.asks_host for part in recipe.parts().values() for inner in part.modules()
    )


def first_recipe(preset):
    """A preset for the first specimen that it takes."""
    for specimen in SPECIMENS:
        try:
            recipe = choose(preset, specimen.schema)
        except InputError:
            continue
        settings = {"latent.labels": LABELS} if recipe.latent.conditional else {}
        return choose(preset, specimen.schema, settings), specimen
    raise AssertionError(preset)


def recipes_with(part):
    """The first recipe of this part for each specimen that it goes with."""
    for specimen in SPECIMENS:
        for recipe in completions({part.axis: [part]}, specimen.schema):
            if not next(recipe.refusals(specimen.schema), None):
                yield recipe, specimen
                break


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_takes_the_same_steps_by_replays(preset):
    recipe, specimen = first_recipe(preset)
    if asks_host(recipe):
        with pytest.raises(InputError, match=r"^a step of this model cannot be captured on the accelerator \(the host"):
            trained(run_of(recipe, specimen, graphed=True)[0])
    else:
        check_alike(recipe, specimen)


@pytest.mark.parametrize("axis", AXES)
def test_each_part_takes_the_same_steps_by_replays(axis):
    for part in (part for kind in kinds(axis).values() for part in variants(kind)):
        recipe, specimen = next(recipes_with(part))
        if not asks_host(recipe):
            check_alike(recipe, specimen)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_optimizer_and_averaged_weights_follow_the_rate(optimizer):
    recipe, specimen = first_recipe("variational")
    check_alike(recipe, specimen, optimizer=optimizer, average=0.9)


def test_labels_are_taken_along():
    recipe, specimen = first_recipe("conditional")
    run, graph = run_of(recipe, specimen, graphed=True)
    trained(run)
    assert graph.replays == REPLAYS
    assert isinstance(next(iter(run.batches)), Labelled)


def test_scores_of_a_step_outlive_the_next_one():
    """A replay writes over those of the one before."""
    seen = []

    def step(raw):
        seen.append(raw)
        return Scores(raw.sum(1), raw.sum(1)[None] * 2, raw.sum(1)[None] * 3)

    graph = ImitatedGraph()
    taking = CapturedStep(2, graph)
    batches = [torch.full((rows, 3), float(number)) for number, rows in enumerate((2, 2, 2, 1, 2, 2, 2))]
    scores = [taking.take(step, raw) for raw in batches]
    assert [len(raw) for raw in seen] == [2, 2, 2, 1, 2]
    assert graph.replays == 3
    for raw, score in zip(batches, scores, strict=True):
        for times, figures in enumerate((score.nats, score.log_px[0], score.kl[0]), 1):
            assert torch.equal(figures, times * raw.sum(1))


def test_what_cannot_be_captured_is_said_with_a_way_out():
    def step(raw):
        return Scores(*[raw.sum(1) * float(raw.sum())] * 3)

    taking = CapturedStep(2, ImitatedGraph())
    for _ in range(WARMING):
        taking.take(step, torch.ones(2, 3))
    said = r"^a step of this model cannot be captured on the accelerator \(the host asks .*\); take --eager, which"
    with pytest.raises(InputError, match=said):
        taking.take(step, torch.ones(2, 3))


def test_steps_are_captured_on_an_accelerator_where_no_part_asks_the_host(monkeypatch):
    class Card:
        generator = type("Generator", (), {"device": torch.device("cuda")})()

    made = []
    monkeypatch.setattr(captured, "CudaGraph", lambda device, generators: made.append((device, generators)) or "graph")
    for preset in PRESETS:
        recipe, specimen = first_recipe(preset)
        model = Model(recipe, specimen.schema)
        assert graph_for(model, Noise(0)) is None
        assert graph_for(model, Card) == (None if asks_host(recipe) else "graph")
    assert made
    assert all(given == (torch.device("cuda"), [Card.generator]) for given in made)


def test_a_graph_of_cuda_is_captured_on_the_stream_that_its_warm_up_was_on(monkeypatch):
    told = []

    class Stream:
        def __init__(self, name):
            self.name = self.device = name

        def wait_stream(self, other):
            told.append(f"{self.name} waits for {other.name}")

    class Block:
        def __init__(self, *what, **more):
            self.what = f"{what[0]} {more}" if more else what[0].name

        def __enter__(self):
            told.append(f"on {self.what}")

        def __exit__(self, *raised):
            told.append(f"off {self.what}")

    class Kernels:
        def register_generator_state(self, generator):
            told.append(f"draws from {generator}")

        def replay(self):
            told.append("replay")

        def __repr__(self):
            return "kernels"

    stand_ins = {"Stream": Stream, "current_stream": lambda _: Stream("here"), "stream": Block, "CUDAGraph": Kernels}
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, stream: Block(graph, stream=stream.name))
    graph = CudaGraph("card", ["a", "b"])
    with graph.warming():
        told.append("warm")
    with graph.capturing():
        told.append("capture")
    graph.replay()
    aside = ["card waits for here", "on card", "warm", "off card", "here waits for card"]
    kernels = ["on kernels {'stream': 'card'}", "capture", "off kernels {'stream': 'card'}"]
    assert told == ["draws from a", "draws from b", *aside, *kernels, "replay"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator is here")
@pytest.mark.parametrize("preset", PRESETS)
def test_a_captured_training_on_an_accelerator_is_the_eager_one(preset):
    recipe, specimen = first_recipe(preset)
    rows = specimen.values.repeat(4, *[1] * (specimen.values.dim() - 1)).numpy()
    given = {"labels": np.arange(len(rows)) % 2, "noisy": rows if recipe.corruption.own else None}
    plan = Plan(epochs=6, batch_size=5, device="cuda", precision="float32")
    graphed, alone = (
        fit(rows, specimen.schema, preset, (), dataclasses.replace(plan, eager=eager), **given).model.state_dict()
        for eager in (False, True)
    )
    for name, tensor in graphed.items():
        torch.testing.assert_close(tensor, alone[name], rtol=1e-3, atol=1e-4, equal_nan=True, msg=name)


# --- No step waits for an accelerator --------------------------------------------------------------------------------


class Apart(TorchDispatchMode):
    """Refuses what brings tensors of two devices together, as sending one to the other does."""

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        result = operation(*arguments, **(options or {}))
        leaves = torch.utils._pytree.tree_leaves((arguments, options, result))
        devices = {leaf.device for leaf in leaves if isinstance(leaf, torch.Tensor)}
        assert len(devices) <= 1, f"{operation} brings {devices} together"
        return result


class FarNoise(Noise):
    """Draws on the device that holds no numbers, which has no generator."""

    def __init__(self):
        self.shared = False

    def poisson(self, mean):
        return torch.poisson(mean)

    def _spread(self, draw, shape, rows):
        return draw(tuple(shape), device="meta")


@pytest.fixture
def far(monkeypatch):
    """A stand-in for an accelerator: on torch's meta device nothing can be asked for."""

    def refuse(*values, **options):
        raise AssertionError(f"a step sends {values} to the device")

    real = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda _, *given, **options: real("cpu", *given, **options))

    def step(recipe, specimen):
        model, rows = model_of(recipe, specimen)
        model._apply(lambda tensor: torch.empty_like(tensor, device="meta"))
        raw = torch.empty_like(rows, device="meta")
        if recipe.latent.conditional:
            raw = Labelled(raw, torch.zeros(ROWS, dtype=torch.int64, device="meta"))
        optimizer, clock = make_optimizer("adam", model.train()), Clock("meta")
        with monkeypatch.context() as sending, Apart():
            for owner, name in ((torch, "tensor"), (torch, "as_tensor"), (torch.Tensor, "new_tensor")):
                sending.setattr(owner, name, refuse)
            model.loss(raw, FarNoise(), clock)[0].backward()
            optimizer.step()

    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    yield step
    torch.__future__.set_overwrite_module_params_on_conversion(before)


@pytest.mark.parametrize("axis", AXES)
def test_a_part_asks_the_host_or_says_so(far, axis):
    parts = [part for kind in kinds(axis).values() for part in variants(kind)]
    for part in parts:
        recipe, specimen = next(recipes_with(part))
        if asks_host(recipe):
            with pytest.raises((RuntimeError, AssertionError)):
                far(recipe, specimen)
        else:
            far(recipe, specimen)
