"""The rule of the step, its rate, and averaged weights, against slow loops written out by hand."""

import copy
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from narrows import descent
from narrows.data.batches import Batches
from narrows.data.schema import infer_schema
from narrows.descent import Adam, Optimizer
from narrows.errors import InputError
from narrows.fit import fit
from narrows.model import Model
from narrows.optimizers import OPTIMIZERS, Average, make_optimizer
from narrows.plan import Plan
from narrows.preparation import rate_of
from narrows.presets import choose
from narrows.schedules import make_schedule


def table(n: int = 400, columns: int = 12, factors: int = 3) -> np.ndarray:
    random = np.random.default_rng(0)
    clean = random.normal(size=(n, factors)) @ random.normal(size=(factors, columns))
    return (clean + 0.3 * random.normal(size=(n, columns))).astype("float32")


def small_model(preset: str = "autoencoder") -> Model:
    rows = table()
    schema = infer_schema(rows)
    model = Model(choose(preset, schema, {"network.width": 8, "latent.size": 3}), schema)
    model.adapt(torch.from_numpy(rows))
    return model


def gradients(model: Model, seed: int, size: float = 0.01) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [size * torch.randn(p.shape, generator=generator) for p in model.parameters()]


def take_steps(model: Model, optimizer: Optimizer, steps: int) -> None:
    for step in range(steps):
        for parameter, gradient in zip(model.parameters(), gradients(model, step), strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()


def paces(model: Model, adaptive: bool) -> list[float]:
    """The pace of each parameter: that of the likelihood for its own, where the optimizer scales its steps."""
    own = {id(parameter) for parameter in model.likelihood.parameters()}
    return [model.likelihood.pace if adaptive and id(p) in own else 1.0 for p in model.parameters()]


@pytest.mark.parametrize("momentum", [0.0, 0.5, None])
def test_sgd_adds_up_gradients_with_momentum(momentum):
    model = small_model()
    weights = [p.detach().double().numpy().copy() for p in model.parameters()]
    velocity = [np.zeros_like(w) for w in weights]
    optimizer = make_optimizer("sgd", model, 0.05, momentum)
    take_steps(model, optimizer, 5)
    for step in range(5):
        for i, gradient in enumerate(gradients(model, step)):
            velocity[i] = (0.9 if momentum is None else momentum) * velocity[i] + gradient.numpy()
            weights[i] -= 0.05 * velocity[i]
    for parameter, expected in zip(model.parameters(), weights, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "decay"), [("adam", 0.0), ("adamw", 0.01)])
def test_adam_divides_by_the_root_of_the_running_square(name, decay):
    model = small_model()
    start = [p.detach().double().numpy().copy() for p in model.parameters()]
    take_steps(model, make_optimizer(name, model, 0.05), 5)
    rates = [0.05 * pace for pace in paces(model, adaptive=True)]
    for i, (parameter, weights) in enumerate(zip(model.parameters(), start, strict=True)):
        first, second = np.zeros_like(weights), np.zeros_like(weights)
        for step in range(1, 6):
            gradient = gradients(model, step - 1)[i].double().numpy()
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            weights *= 1 - rates[i] * decay
            weights -= rates[i] * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        np.testing.assert_allclose(parameter.detach().numpy(), weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("decay", "oracle"), [(0.0, torch.optim.Adam), (0.01, torch.optim.AdamW)])
def test_adam_is_torch_s_bit_for_bit(decay, oracle):
    """Also where a gradient is missing for a while, and over a state that is kept and taken up again."""
    ours, theirs = ([torch.nn.Parameter(torch.linspace(-1, 1, n)) for n in (3, 7)] for _ in range(2))
    mine = Adam([(ours[:1], 1.0), (ours[1:], 3.0)], 0.01, decay=decay)
    other = oracle(
        [{"params": theirs[:1]}, {"params": theirs[1:], "lr": 0.03}], lr=0.01, weight_decay=decay, fused=True
    )
    generator = torch.Generator().manual_seed(0)
    for step in range(12):
        if step == 8:
            kept = copy.deepcopy(mine.state())
            mine = Adam([(ours[:1], 1.0), (ours[1:], 3.0)], 0.01, decay=decay)
            mine.restore(kept)
        mine.forget()
        other.zero_grad()
        for own, given in zip(ours, theirs, strict=True):
            if not (len(own) == 7 and step in (0, 1, 5)):
                own.grad = torch.randn(own.shape, generator=generator)
                given.grad = own.grad.clone()
        mine.step()
        other.step()
        assert all(torch.equal(own, given) for own, given in zip(ours, theirs, strict=True)), step
    assert [int(mine.state()[f"{index}.step"]) for index in (0, 1)] == [12, 9]


def test_a_state_that_names_less_is_restored_to_the_start_where_it_does_not():
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = Adam([([parameter], 1.0)], 0.01)
    parameter.grad = torch.ones(2)
    optimizer.step()
    optimizer.restore({"0.step": torch.tensor(4.0)})
    assert {name: tensor.tolist() for name, tensor in optimizer.state().items()} == {
        "0.exp_avg": [0.0, 0.0],
        "0.exp_avg_sq": [0.0, 0.0],
        "0.step": 4.0,
    }


def test_no_optimizer_loads_torch_s_compiler():
    """It takes 66 MiB and a second; torch's own optimizers load it when the first is made."""
    code = (
        "import sys, numpy as np; from narrows import Autoencoder; "
        "Autoencoder(epochs=1, settings=['network.width=4']).fit(np.random.rand(40, 3).astype('float32')); "
        "print('torch._dynamo' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False"]


def test_sgd_cuts_a_gradient_that_is_too_long_and_keeps_its_direction():
    model = small_model()
    start = torch.cat([p.detach().flatten() for p in model.parameters()]).clone()
    given = gradients(model, 0, size=1e3)
    for parameter, gradient in zip(model.parameters(), given, strict=True):
        parameter.grad = gradient.clone()
    make_optimizer("sgd", model, 0.1).step()
    moved = start - torch.cat([p.detach().flatten() for p in model.parameters()])
    gradient = torch.cat([g.flatten() for g in given])
    assert float(moved.norm()) == pytest.approx(0.1, rel=1e-3)
    assert float(torch.cosine_similarity(moved, gradient, dim=0)) == pytest.approx(1, abs=1e-5)


def test_every_parameter_of_the_model_is_moved():
    model = small_model()
    for name in OPTIMIZERS:
        moved = make_optimizer(name, model).parameters
        assert {id(p) for p in moved} == {id(p) for p in model.parameters()}


def test_the_rate_is_set_for_each_group_by_its_pace():
    model = small_model()
    for name, rule in OPTIMIZERS.items():
        optimizer, used = make_optimizer(name, model), list[float]()
        assert optimizer.rate == rule.rate
        optimizer.rate = 0.25
        optimizer.move = lambda group, gradients, rate, used=used: used.append(rate)
        take_steps(model, optimizer, 1)
        assert set(used) == {0.25 * pace for pace in paces(model, rule.adaptive)}


@pytest.mark.parametrize(
    ("name", "momentum", "said"),
    [
        ("adm", None, "did you mean 'adam'"),
        ("adam", 0.9, "momentum belongs to optimizer sgd"),
        ("sgd", -0.1, "momentum was given as -0.1"),
        ("sgd", 1.0, "momentum was given as 1.0"),
    ],
)
def test_refuses_what_no_optimizer_takes(name, momentum, said):
    with pytest.raises(InputError, match=said):
        make_optimizer(name, small_model(), 0.1, momentum)


def test_a_schedule_is_known_by_name():
    with pytest.raises(InputError, match="did you mean 'cosine'"):
        make_schedule("cosin")
    assert [make_schedule("constant").share(share) for share in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]


def test_cosine_rises_fast_then_falls_by_half_a_cosine():
    share = make_schedule("cosine").share
    assert 0 < share(0.0) <= 0.02
    assert share(0.01) == pytest.approx(0.5)
    assert share(0.02) == pytest.approx(1.0)
    assert share(0.02 + 0.98 / 2) == pytest.approx(0.5)
    assert share(0.02 + 0.98 / 4) == pytest.approx(0.5 + math.sqrt(0.5) / 2)
    assert share(1.0) == pytest.approx(0.0, abs=1e-12)
    rest = [share(s) for s in np.linspace(0.02, 1, 50)]
    assert rest == sorted(rest, reverse=True)


def test_plateau_halves_after_three_stale_validations_each_time():
    plateau = make_schedule("plateau")
    shares = []
    for nats in (5.0, 4.0, 4.0, 4.1, 4.2, 3.9, 4.0, 4.0, 3.9, 4.0, math.nan, 4.0):
        plateau.see(nats)
        shares.append(plateau.share(0.5))
    assert shares == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]


def test_plateau_goes_on_where_it_was_even_before_its_first_validation():
    for seen in ([], [5.0, 6.0, 6.0]):
        plateau, resumed = make_schedule("plateau"), make_schedule("plateau")
        for nats in seen:
            plateau.see(nats)
        # JSON has no infinity: the lowest figure so far is null before there is one.
        resumed.restore({name: value if math.isfinite(value) else None for name, value in plateau.state().items()})
        for one in (plateau, resumed):
            one.see(7.0)
        assert vars(resumed) == vars(plateau)
        assert resumed.share(0) == (0.5 if seen else 1.0)


def test_averaged_weights_equal_a_slow_loop():
    model, decay = small_model(), 0.9
    average = Average(model, decay)
    expected = [p.detach().double().numpy().copy() for p in model.parameters()]
    optimizer = make_optimizer("adam", model, 0.05)
    for step in range(1, 61):
        take_steps(model, optimizer, 1)
        average.update(step)
        kept = min(decay, (1 + step) / (10 + step))
        for i, parameter in enumerate(model.parameters()):
            expected[i] = kept * expected[i] + (1 - kept) * parameter.detach().double().numpy()
    for averaged, wanted in zip(average.model.parameters(), expected, strict=True):
        np.testing.assert_allclose(averaged.detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_an_average_takes_statistics_as_they_are():
    model = small_model()
    average = Average(model, 0.99)
    model.adapt(torch.from_numpy(table() * 7 + 3))
    average.sync_buffers()
    for name, buffer in model.named_buffers():
        assert torch.equal(dict(average.model.named_buffers())[name], buffer), name
    assert all(not p.requires_grad for p in average.model.parameters())
    assert all(p.requires_grad for p in model.parameters())


PROBLEMS = {
    "table": (table(), None, "autoencoder"),
    "table, variational": (table(), None, "variational"),
    "digits, denoising": (load_digits().data[400:800].astype("float32"), "levels", "denoising"),
}


@pytest.mark.parametrize("name", ["adam", "sgd"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_rate_found_by_itself_trains_as_well_as_the_best_of_a_few(problem, name):
    rows, kind, preset = PROBLEMS[problem]
    schema = infer_schema(rows, kind=kind)
    settings = {"network.width": 16, "network": "mlp", "latent.size": 3}

    def lowest(rate: float | str) -> tuple[float, float]:
        plan = Plan(epochs=10, batch_size=32, optimizer=name, rate=rate, precision="float32", validation=0.25)
        fitted = fit(rows, schema, preset, settings, plan)
        history = fitted.record["history"]
        return min(entry["validation"]["nats"] for entry in history), history[0]["rate"]

    found, _ = lowest("auto")
    tried = [lowest(rate)[0] for rate in (1e-4, 1e-3, 1e-2)]
    # Between the worst and the best of the fixed rates, it is in the better fifth, or beyond.
    assert found < min(tried) + 0.2 * (max(tried) - min(tried))


def test_the_range_test_leaves_the_model_as_it_was():
    rows = table()
    schema = infer_schema(rows)
    # The price of these codes hangs on a running mean that starts at its target.
    settings = {"network.width": 8, "latent": "kl-sparse"}
    model = Model(choose("autoencoder", schema, settings), schema)
    model.adapt(torch.from_numpy(rows))
    before, mode = copy.deepcopy(model.state_dict()), model.training
    batches = Batches(torch.from_numpy(rows), 32)
    rate = rate_of(model, batches, Plan(rate="auto", optimizer="sgd"))
    assert 1e-4 < rate <= 1
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert (model.training, batches.epoch, batches.position) == (mode, 0, 0)
    assert rate_of(model, batches, Plan(rate="auto", optimizer="sgd")) == rate


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (2, 3, 4, 5)])
def test_adam_moves_numbers_the_same_however_they_lie_in_memory(shape):
    first, *slopes = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0)).unbind()
    turned = (lambda tensor: tensor.mT.contiguous().mT) if len(shape) > 1 else torch.Tensor.clone
    layouts = {"rows": torch.Tensor.contiguous, "turned": turned}
    if len(shape) == 4:
        layouts["channels last"] = lambda tensor: tensor.contiguous(memory_format=torch.channels_last)
    moved = []
    for lay in layouts.values():
        parameter = torch.nn.Parameter(lay(first.clone()))
        optimizer = Adam([([parameter], 1.0)], 1e-2)
        for slope in slopes:
            parameter.grad = lay(slope.clone())
            optimizer.step()
        moved.append(parameter.detach())
    oracle = torch.nn.Parameter(first.clone())
    rule = torch.optim.Adam([oracle], 1e-2)
    for slope in slopes:
        oracle.grad = slope.clone()
        rule.step()
    for found in moved:
        torch.testing.assert_close(found, oracle.detach())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_is_kept_of_gradients_long_gone_becomes_nothing(name):
    """A unit that rests: means of its gradients fall below float32's normal range, where processors are slow."""
    model = small_model()
    optimizer = make_optimizer(name, model)
    take_steps(model, optimizer, 1)
    for step in range(1, 1001):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        optimizer.settle(step)
    kept = torch.cat([t.flatten() for g in optimizer.groups for t in g.kept[optimizer.moments[0]]])
    assert not kept.any()


def test_only_what_moves_nothing_is_put_to_zero_and_only_every_fifty_steps():
    model = small_model()
    optimizer = make_optimizer("adam", model)
    take_steps(model, optimizer, 3)
    moments = optimizer.groups[0].kept["exp_avg"][0]
    moments.view(-1)[:5] = torch.tensor([1e-30, -1e-36, 1e-44, math.nan, -4e-36])
    before = {key: tensor.clone() for key, tensor in optimizer.state().items()}
    optimizer.settle(49)
    for key, tensor in optimizer.state().items():
        torch.testing.assert_close(tensor, before[key], rtol=0, atol=0, equal_nan=True)
    optimizer.settle(100)
    expected = torch.tensor([1e-30, 0.0, 0.0, math.nan, -4e-36])
    torch.testing.assert_close(moments.view(-1)[:5], expected, rtol=0, atol=0, equal_nan=True)
    moments.view(-1)[:5] = before["0.exp_avg"].view(-1)[:5]
    for key, tensor in optimizer.state().items():
        torch.testing.assert_close(tensor, before[key], rtol=0, atol=0, equal_nan=True)


def test_weights_are_the_same_to_the_last_bit_whether_means_that_small_are_kept_or_not(monkeypatch):
    """Units at rest in half of the steps, in a training long enough that their means would become subnormal."""
    found = []
    for negligible in (descent.NEGLIGIBLE, 0.0):
        monkeypatch.setattr(descent, "NEGLIGIBLE", negligible)
        model = small_model()
        optimizer = make_optimizer("adam", model)
        for step in range(1, 1501):
            for place, (parameter, slope) in enumerate(zip(model.parameters(), gradients(model, step), strict=True)):
                parameter.grad = slope if step < 100 or place % 2 or step > 1400 else torch.zeros_like(slope)
            optimizer.step()
            optimizer.settle(step)
        found.append([parameter.detach() for parameter in model.parameters()])
    for ours, kept in zip(*found, strict=True):
        assert torch.equal(ours, kept)
