"""Steps that are captured and replayed are those that would be taken, to the last bit; none asks an accelerator."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from narrows import captured
from narrows.captured import WARMING, CapturedStep, CudaGraph, ProcessorGraph, graph_for
from narrows.combinations import AXES, completions, variants
from narrows.data.batches import Batches
from narrows.data.schema import infer_schema
from narrows.data.specimens import examples
from narrows.errors import InputError
from narrows.fit import fit
from narrows.latents import Gaussian
from narrows.likelihoods.bits import log_prob_of_bits
from narrows.model import Model
from narrows.networks import few
from narrows.noise import Noise
from narrows.noting import Asked, Noting, Program, as_one, asked
from narrows.optimizers import OPTIMIZERS, make_optimizer
from narrows.parts import Part, kinds
from narrows.plan import Plan
from narrows.presets import PRESETS, choose
from narrows.schedules import make_schedule
from narrows.train import Run
from narrows.values import Clock, Labelled, Scores

SPECIMENS = examples()
LABELS = ("a", "b")
ROWS, SIZE, STEPS = 17, 5, 8  # three whole batches in an epoch, and a shorter one
REPLAYS = 6 - WARMING - 1  # the first after the warm-up is the one captured


class Counted(ProcessorGraph):
    replays = 0

    def replay(self, rows):
        self.replays += 1
        return super().replay(rows)


def model_of(recipe, specimen):
    model = Model(recipe, specimen.schema)
    rows = specimen.values.repeat(-(-ROWS // len(specimen.values)), *[1] * (specimen.values.dim() - 1))[:ROWS]
    model.adapt(rows)
    model.start(lambda: rows)
    return model, torch.cat([rows, rows], 1) if recipe.corruption.own else rows


def run_with(model, rows, *, graphed, size=SIZE, steps=STEPS, optimizer="adam", average=0.0, condition=None):
    noise, moved = Noise(1), make_optimizer(optimizer, model)
    graph = Counted(model, noise) if graphed else None
    batches = Batches(rows, size, condition=condition)
    return Run(model, batches, moved, make_schedule("cosine"), noise, steps=steps, average=average, graph=graph), graph


def run_of(recipe, specimen, **more):
    condition = torch.arange(ROWS) % len(LABELS) if recipe.latent.conditional else None
    return run_with(*model_of(recipe, specimen), condition=condition, **more)


def trained(run):
    batches = iter(run.batches)
    figures = []
    while run.share < 1.0:
        run.interval(batches)
        figures.append(run.figures)
    return figures


def check_same(replayed, alone):
    """Figures, weights, moments, what parts keep, and the place in the stream of draws."""
    for ours, theirs in zip(trained(replayed), trained(alone), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
    tensors, others = replayed.state()[0], alone.state()[0]
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, others[name], rtol=0, atol=0, equal_nan=True, msg=name)


def check_alike(recipe, specimen, **more):
    (alone, _), (replayed, graph) = (run_of(recipe, specimen, graphed=graphed, **more) for graphed in (False, True))
    check_same(replayed, alone)
    assert graph.replays == REPLAYS


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
        assert graph_for(Model(recipe, specimen.schema), Noise(0)) is None
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


def pictures(rows, levels=2):
    drawn = np.random.default_rng(0).integers(0, levels, (rows, 28, 28), dtype=np.uint8)
    schema = infer_schema(drawn)
    return torch.from_numpy(schema.from_user(drawn)), schema


@pytest.mark.parametrize(
    ("settings", "dtype"),
    [(["network=conv"], None), (["network=mlp"], torch.bfloat16), (["network=mlp", "network.residual=true"], None)],
)
def test_the_processor_s_own_ways_are_replayed(settings, dtype):
    """Layers of few channels as products, no map permuted, one logarithm for eight bits, products in bfloat16."""
    rows, schema = pictures(40)
    runs = []
    for graphed in (False, True):
        model = Model(choose("variational", schema, settings), schema)
        model.adapt(rows)
        model.matrix_dtype = dtype
        runs.append(run_with(model, rows, graphed=graphed, size=16, steps=9))
    check_same(runs[1][0], runs[0][0])
    assert runs[1][1].replays == 2


def test_a_step_that_looks_for_few_numbers_is_taken_as_it_comes(monkeypatch):
    """Which numbers of a code are not zero is seen by NumPy, behind torch's back."""
    monkeypatch.setattr(few, "LEAST_PRODUCTS", 1)
    rows = torch.randn(40, 12, generator=torch.Generator().manual_seed(0))
    schema = infer_schema(rows.numpy())
    runs = []
    for graphed in (False, True):
        model = Model(choose("autoencoder", schema, ["network=dictionary", "latent=top-k", "latent.size=24"]), schema)
        model.adapt(rows)
        runs.append(run_with(model, rows, graphed=graphed, size=8, steps=10))
    check_same(runs[1][0], runs[0][0])
    assert runs[1][1].replays == 0


def test_where_a_step_cannot_be_captured_nothing_of_it_is_left():
    class Keeping(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("kept", torch.zeros(3))

    model, noise = Keeping(), Noise(0)
    graph, drawn = ProcessorGraph(model, noise), noise.state()

    def step(rows):
        model.kept += noise.normal(rows.shape, rows=0).sum(0)
        return Scores(*[rows.sum(1) * float(rows.sum())] * 3)

    assert graph.capture(step, torch.ones(2, 3)) is None
    assert torch.equal(model.kept, torch.zeros(3))
    assert torch.equal(noise.state(), drawn)
    taking = CapturedStep((2,), graph)
    for number in range(1, WARMING + 4):
        assert taking.take(step, torch.full((2, 3), float(number))).nats.tolist() == [18 * number**2] * 2


def test_a_part_from_elsewhere_is_captured_only_if_it_says_that_it_may_be():
    class Elsewhere(Gaussian):
        pass

    recipe, specimen = first_recipe("variational")
    for asks, graph in ((None, type(None)), (True, type(None)), (False, ProcessorGraph)):
        if asks is not None:
            Elsewhere.asks_host = asks
        model = Model(dataclasses.replace(recipe, latent=Elsewhere(4)), specimen.schema)
        assert isinstance(graph_for(model, Noise(0)), graph)


# --- What is noted ---------------------------------------------------------------------------------------------------


def noted(function, *tensors):
    program = Program(tensors)
    with Noting(program):
        outs = function(*tensors)
    program.finish(outs)
    return program


def test_a_program_follows_what_it_is_given_and_what_is_written_in_place():
    total, factor = torch.zeros(3), torch.tensor([1.0, 2.0, 3.0])

    def function(x):
        y = (x * factor).t()
        y[0] += 1
        total.add_(y.sum(1))
        left, right = y.split([1, 1], 1)
        return left.clone(), torch.cat([right, left], 1), total + 0

    x = torch.arange(6.0).view(2, 3)
    program = noted(function, x)
    total.zero_()
    factor.mul_(10)
    for number in range(3):
        before = total.clone()
        found, after = program.run([x + number]), total.clone()
        total.copy_(before)
        for ours, theirs in zip(found, function(x + number), strict=True):
            assert torch.equal(ours, theirs)
        assert torch.equal(total, after)
        before = after


def test_draws_go_on_and_ways_that_hang_on_numbers_are_refused():
    generator = torch.Generator().manual_seed(0)
    program = noted(lambda x: (x + torch.randn(4, generator=generator),), torch.zeros(4))
    expected = torch.Generator().manual_seed(0)
    torch.randn(4, generator=expected)
    for _ in range(3):
        assert torch.equal(program.run([torch.zeros(4)])[0], torch.randn(4, generator=expected))
    ways = (
        lambda x: x[x > 0], lambda x: x * float(x[0]), lambda x: x.nonzero(), lambda x: x if x.sum() > 0 else -x,
        lambda x: (asked(), x),
    )  # fmt: skip
    for way in ways:
        with pytest.raises(Asked):
            noted(way, torch.randn(4))


def test_what_is_one_operation_may_look_at_numbers():
    def relative(x):
        return x / float(x.max()), x.argmax()

    program = noted(lambda x: as_one(relative, x + 1), torch.arange(4.0))
    found, place = program.run([torch.tensor([3.0, 0, 1, 7])])
    assert torch.equal(found, torch.tensor([0.5, 0.125, 0.25, 1]))
    assert place.item() == 3
    assert as_one(relative, torch.tensor([2.0, 4.0]))[0].tolist() == [0.5, 1]


def test_improbable_bits_are_scored_in_replays_too():
    """Where a product of eight probabilities would vanish, the sum is taken another way: in that step alone."""
    bits = torch.ones(2, 16)

    def gradient(logits):
        logits = logits.detach().requires_grad_()
        nats = log_prob_of_bits(logits, bits)
        (slope,) = torch.autograd.grad(nats.sum(), logits)
        return nats, slope

    program = noted(gradient, torch.zeros(2, 16))
    for logits in (torch.full((2, 16), -40.0), torch.linspace(-3, 3, 32).view(2, 16)):
        for ours, theirs in zip(program.run([logits]), gradient(logits), strict=True):
            assert torch.equal(ours, theirs)


def test_a_program_holds_nothing_of_a_step_that_is_over():
    program = noted(lambda x: ((x @ x.T).relu().sum(0),), torch.randn(50, 50))
    program.run([torch.randn(50, 50)])
    assert not any(isinstance(value, torch.Tensor) for value in program._values)


def test_noting_does_not_load_torch_s_compiler():
    code = (
        "import sys, torch; from narrows.noting import Noting, Program\n"
        "with Noting(Program([])): torch.ones(3) * 2\n"
        "assert not any(name.startswith('torch._dynamo') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- On an accelerator -----------------------------------------------------------------------------------------------


def test_steps_are_captured_where_no_part_asks_the_host(monkeypatch):
    class Card:
        generator = type("Generator", (), {"device": torch.device("cuda")})()

    monkeypatch.setattr(captured, "CudaGraph", lambda device, noise: (device.type, noise))
    for preset in PRESETS:
        recipe, specimen = first_recipe(preset)
        model = Model(recipe, specimen.schema)
        assert isinstance(graph_for(model, Noise(0)), type(None) if asks_host(recipe) else ProcessorGraph)
        assert graph_for(model, Card) == (None if asks_host(recipe) else ("cuda", Card))
    Card.generator = type("Generator", (), {"device": torch.device("xpu")})()
    assert graph_for(model, Card) is None


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
    noise = type("Drawn", (), {"generators": ["noise"]})
    graph, seen = CudaGraph("card", noise), []

    def step(rows):
        told.append("step")
        seen.append(rows)
        return Scores(rows.sum(1), rows.sum(1)[None], rows.sum(1)[None])

    with graph.warming():
        told.append("warm")
    scores = graph.capture(step, torch.ones(2, 3))
    assert graph.replay(torch.zeros(2, 3)).nats is not scores.nats
    aside = ["card waits for here", "on card", "warm", "off card", "here waits for card"]
    kernels = ["on kernels {'stream': 'card'}", "step", "off kernels {'stream': 'card'}"]
    assert told == ["draws from noise", *aside, *kernels, "replay", "replay"]
    assert torch.equal(seen[0], torch.zeros(2, 3))  # where the captured step looks for its rows


def test_what_cuda_refuses_is_said_with_a_way_out(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    stand_in = type("Anything", (), {"__init__": lambda *_: None, "register_generator_state": id})
    for name in ("Stream", "CUDAGraph"):
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(torch.cuda, "graph", refuse)
    graph = CudaGraph("card", type("Drawn", (), {"generators": ["noise"]}))
    said = r"^a step .* \(operation not permitted when stream is capturing\); take --eager, which launches"
    with pytest.raises(InputError, match=said):
        graph.capture(None, torch.ones(2, 3))


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
    """Refuses what brings tensors of two devices together, as sending one to the other does, and what looks at them."""

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        assert operation is not torch.ops.aten._linalg_check_errors.default, "a factorisation asks whether it is one"
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
