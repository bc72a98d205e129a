"""The training loop against loops written out by hand, and its figures against formulas."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from narrows import train as train_module
from narrows.data.batches import Batches
from narrows.data.schema import infer_schema
from narrows.errors import InputError
from narrows.model import Model
from narrows.noise import Noise
from narrows.optimizers import make_optimizer
from narrows.presets import choose
from narrows.schedules import make_schedule
from narrows.train import Run, held_out, precision_for, train
from narrows.values import Clock, Scores


def table(n: int = 120, columns: int = 6, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    clean = random.normal(size=(n, 2)) @ random.normal(size=(2, columns))
    return (clean + 0.3 * random.normal(size=(n, columns))).astype("float32")


def run_on(rows: np.ndarray, preset: str = "autoencoder", **changes) -> Run:
    """A run of a small model on rows; ``changes`` to its settings, optimizer, rate, schedule, size and steps."""
    given = {
        "settings": {},
        "optimizer": "adam",
        "rate": 0.01,
        "schedule": "constant",
        "size": 32,
        "steps": 60,
    } | changes
    schema = infer_schema(rows)
    settings = {"network": "mlp", "network.width": 8, **given["settings"]}
    model = Model(choose(preset, schema, settings), schema)
    values = torch.from_numpy(rows)
    model.adapt(values)
    return Run(
        model,
        Batches(values, given["size"]),
        make_optimizer(given["optimizer"], model, given["rate"]),
        make_schedule(given["schedule"]),
        Noise(0),
        steps=given["steps"],
        average=given.get("average", 0.0),
    )


def weights(model: Model) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def to_the_end(run: Run) -> list:
    return list(train(run))


# --- The steps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [120, 32, 1])
@pytest.mark.parametrize("preset", ["autoencoder", "variational"])
def test_takes_the_steps_that_a_slow_loop_takes(preset, size):
    run = run_on(table(), preset, size=size, steps=15, schedule="cosine", average=0.8)
    model, noise, values = copy.deepcopy(run.model), Noise(0), run.batches.values
    own = {id(parameter) for parameter in model.likelihood.parameters()}
    groups = [{"params": [p], "fast": id(p) in own} for p in model.parameters()]
    optimizer = torch.optim.Adam(groups, foreach=False, fused=False)
    averages = [p.detach().clone() for p in model.parameters()]
    order, epoch = list[int](), 0
    for step in range(15):
        if not order:
            generator = torch.Generator().manual_seed(epoch)
            order = torch.randperm(len(values), generator=generator).tolist() if size < 120 else list(range(120))
            epoch += 1
        rows, order = order[:size], order[size:]
        share = step / 15
        rise = max(share / 0.02, 0.02) if share < 0.02 else 0.5 * (1 + math.cos(math.pi * (share - 0.02) / 0.98))
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * rise * (10 if group["fast"] else 1)
        batch = model.batch(values[rows], noise)
        terms = model.terms(batch, 1, noise)
        nats = (terms.kl - terms.log_px).mean()
        optimizer.zero_grad()
        (nats / values.shape[1]).backward()
        optimizer.step()
        kept = min(0.8, (2 + step) / (11 + step))
        averages = [kept * a + (1 - kept) * p.detach() for a, p in zip(averages, model.parameters(), strict=True)]
    to_the_end(run)
    assert run.step == 15
    torch.testing.assert_close(weights(run.model), weights(model), rtol=1e-3, atol=2e-5)
    expected = torch.cat([average.flatten() for average in averages])
    torch.testing.assert_close(weights(run.deployed), expected, rtol=1e-3, atol=2e-5)
    assert float((weights(run.model) - weights(run.deployed)).abs().max()) > 1e-4


def test_the_gradient_is_that_of_the_mean_nats_per_cell():
    run = run_on(table(), "variational", optimizer="sgd", rate=0.5, size=120)
    reference = copy.deepcopy(run.model)
    surrogate, _ = reference.loss(run.batches.values, Noise(0), Clock())
    surrogate.backward()
    expected = weights(reference) - 0.5 * torch.cat([p.grad.flatten() for p in reference.parameters()]) / 6
    run.update(run.batches.values)
    torch.testing.assert_close(weights(run.model), expected, rtol=1e-5, atol=1e-6)


def test_means_are_over_examples_so_rows_given_twice_train_the_same():
    rows = table()
    once = run_on(rows, size=len(rows), steps=40)
    twice = run_on(np.concatenate([rows, rows]), size=2 * len(rows), steps=40)
    figures = [to_the_end(run)[-1].training.nats for run in (once, twice)]
    assert figures[0] == pytest.approx(figures[1], rel=1e-4)
    torch.testing.assert_close(weights(once.model), weights(twice.model), rtol=1e-3, atol=1e-3)


def test_each_epoch_meets_every_row_once_in_an_order_of_its_own(monkeypatch):
    rows = np.arange(100, dtype="float32")[:, None] * np.ones(2, dtype="float32")
    run = run_on(rows, size=7, steps=45)
    met: list[int] = []

    def update(raw):
        met.extend(raw[:, 0].int().tolist())
        run.step += 1
        return Scores(torch.zeros(len(raw)), *torch.zeros(2, 1, len(raw)))

    monkeypatch.setattr(run, "update", update)
    to_the_end(run)
    epochs = [met[:100], met[100:200], met[200:300]]
    assert len(met) == 300
    assert all(sorted(epoch) == list(range(100)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert all(epoch != sorted(epoch) for epoch in epochs)


# --- The intervals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "size", "steps"), [(120, 32, 130), (120, 1, 300), (120, 120, 120), (50, 7, 33), (97, 1, 400)]
)
def test_yields_seldom_and_at_every_epochs_end(n, size, steps):
    run = run_on(table(n), size=size, steps=steps, optimizer="sgd", rate=1e-4)
    progress = to_the_end(run)
    lengths = np.diff([0] + [now.step for now in progress])
    per_epoch = run.batches.per_epoch
    assert progress[-1].step == steps
    assert max(lengths) <= train_module.INTERVAL_STEPS
    assert all(now.epoch_ended == (now.step % per_epoch == 0) for now in progress)
    # No interval passes the end of an epoch unless it holds whole epochs, the last one perhaps cut short.
    starts = np.cumsum([0, *lengths[:-1]])
    for start, length in zip(starts[:-1], lengths[:-1], strict=True):
        assert (start % per_epoch) + length <= per_epoch or (start % per_epoch == 0 and length % per_epoch == 0)
    if per_epoch > train_module.INTERVAL_STEPS:
        ends = [now.step for now in progress if now.epoch_ended]
        assert ends == list(range(per_epoch, steps + 1, per_epoch))
    assert [now.epoch for now in progress] == pytest.approx([now.examples / n for now in progress])
    assert [now.share for now in progress] == pytest.approx([now.step / steps for now in progress])


def test_large_rows_are_looked_at_more_often():
    run = run_on(table(), size=32, steps=100)
    run.batches.size = int(train_module.INTERVAL_CELLS)  # as if a batch held many cells
    assert run.interval_steps() == 1


def test_ends_on_time_and_the_schedule_follows_the_time(monkeypatch):
    seconds = iter(range(10_000))  # one more at every look
    monkeypatch.setattr(train_module, "time", SimpleNamespace(perf_counter=lambda: float(next(seconds))))
    run = run_on(table(), schedule="cosine")
    run.steps, run.seconds_allowed = None, 100.0
    progress = to_the_end(run)
    assert 100 <= progress[-1].seconds < 160
    assert progress[-1].share == 1.0
    assert progress[-1].rate < 0.002 < progress[0].rate


# --- The figures -----------------------------------------------------------------------------------------------------


PRESETS = {
    "autoencoder": {},
    "denoising": {"corruption.sigma": 0.5},
    "sparse": {"latent.size": 8},
    "variational": {"latent.size": 3},
    "beta": {"latent.size": 3},
    "iwae": {"latent.size": 3},
    "vq": {"latent.entries": 8},
    "discrete": {"latent.size": 8},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_training_and_held_out_figures_are_on_one_scale(preset):
    """Equal weights and equal rows give equal figures: the rate is 0, so that nothing moves."""
    run = run_on(table(), preset, settings=PRESETS[preset], optimizer="sgd", rate=1e-30, size=40, steps=150)
    held = held_out(run.model, run.batches.values)
    rows, figures = [], []
    for now in train(run):
        rows.append(run.figures.T)
        figures.append(now.training)
    steps = torch.cat(rows).double()
    error = (steps.std(0) / math.sqrt(len(steps))).clamp_min(1e-5)
    for i, name in enumerate(("nats", "distortion", "rate")):
        mean = np.mean([getattr(now, name) for now in figures])
        # The held-out figure has 120 draws of its own, each as noisy as a row of training.
        spread = 5 * float(error[i]) * math.sqrt(1 + 150 * 40 / 120) + 2e-5 * abs(mean)
        assert abs(mean - getattr(held, name)) < spread, name
    assert abs(held.nats) > 1


def test_held_out_figures_are_sums_over_cells_and_means_over_rows(monkeypatch):
    """With every weight zero the mean is 0, sigma is 1 and q is what its biases say."""
    rows = table(50)
    run = run_on(rows, "variational", settings={"latent.size": 3, "network.depth": 0})
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.zero_()
        mean, s = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([-1.0, 0.0, 1.0])
        run.model.network.encoder[0].bias.copy_(torch.cat([mean, s]))
    x = (rows - rows.mean(0)) / rows.std(0)
    sigma = np.log1p(np.exp(s.double().numpy() + 0.5413248546129181)) + 1e-4
    sigma_x = float(run.model.likelihood.scale.detach())
    distortion = np.mean(np.sum(0.5 * (x / sigma_x) ** 2 + 0.5 * np.log(2 * np.pi * sigma_x**2), 1))
    rate = np.sum(0.5 * (mean.numpy() ** 2 + sigma**2 - 1) - np.log(sigma))
    for at_once in (1000, 7):  # chunks of unequal size do not change the mean
        monkeypatch.setattr(train_module, "ROWS_AT_ONCE", at_once)
        figures = held_out(run.model, torch.from_numpy(rows))
        assert figures.distortion == pytest.approx(distortion, rel=1e-5)
        assert figures.rate == pytest.approx(rate, rel=1e-5)
        assert figures.nats == pytest.approx(distortion + rate, rel=1e-5)


def test_held_out_figures_are_the_same_each_time_and_leave_the_model_alone():
    run = run_on(table(), "autoencoder", settings={"latent": "kl-sparse"})
    list(train(run))
    before = copy.deepcopy(run.model.state_dict())
    for mode in (True, False):
        run.model.train(mode)
        first, second = (held_out(run.model, run.batches.values) for _ in range(2))
        assert first == second
        assert run.model.training == mode
    assert all(torch.equal(before[name], tensor) for name, tensor in run.model.state_dict().items())


@pytest.mark.parametrize("limit", [{"CELLS_AT_ONCE": 10 * 6}, {"DRAWN_AT_ONCE": 10 * 5 * 6}, {"ROWS_AT_ONCE": 10}])
def test_held_out_figures_take_few_rows_at_once_where_they_are_large(limit, monkeypatch):
    run = run_on(table(), "iwae", settings={"objective.samples": 5})
    seen: list[int] = []
    loss = run.model.loss
    monkeypatch.setattr(run.model, "loss", lambda raw, *rest: (seen.append(len(raw)), loss(raw, *rest))[1])
    for name, most in limit.items():
        monkeypatch.setattr(train_module, name, most)
    held_out(run.model, run.batches.values)
    assert seen == [10] * 12


def test_rows_that_are_told_from_each_other_are_held_out_in_larger_company(monkeypatch):
    monkeypatch.setattr(train_module, "CELLS_AT_ONCE", 10 * 6)
    run = run_on(table(), "variational", settings={"latent.size": 3, "objective": "total-correlation"})
    assert train_module.rows_at_once(run.model) == train_module.ROWS_AT_ONCE
    assert train_module.rows_at_once(run_on(table(), "variational", settings={"latent.size": 3}).model) == 10


def test_the_figure_has_every_schedule_at_its_end():
    """While the divergence is warmed up, the figure counts it in full: it can be compared from the first step on."""
    settings = {"latent.size": 3, "objective.warm_up": 1.0}
    run = run_on(table(), "variational", settings=settings, steps=60)
    now = next(iter(train(run)))
    assert now.training.rate > 0.01
    assert now.training.nats == pytest.approx(now.training.distortion + now.training.rate, rel=1e-5)


def test_a_running_transform_ends_with_the_statistics_of_all_rows():
    rows = (load_digits().data[:150, 20:30] + 7).astype("float32")
    run = run_on(rows, size=1, steps=150, optimizer="sgd", rate=1e-3)
    fresh = Model(run.model.recipe, run.model.schema)
    online = Run(
        fresh,
        Batches(torch.from_numpy(rows), 1),
        make_optimizer("sgd", fresh, 1e-3),
        make_schedule("constant"),
        Noise(0),
        steps=150,
        running=True,
    )
    to_the_end(online)
    np.testing.assert_allclose(fresh.transform.mean, rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(fresh.transform.scale, run.model.transform.scale, rtol=1e-5)


def test_a_running_transform_tells_the_likelihood_how_fine_the_values_are():
    """Else a learned sigma could fall to nothing on values that lie on a grid."""
    rows = np.random.default_rng(0).integers(0, 8, size=(60, 5)).astype("float32")
    schema = infer_schema(rows, kind="levels")
    model = Model(choose("autoencoder", schema, {"network.width": 4, "likelihood": "gaussian"}), schema)
    run = Run(
        model,
        Batches(torch.from_numpy(rows), 5),
        make_optimizer("sgd", model, 1e-3),
        make_schedule("constant"),
        Noise(0),
        steps=24,
        running=True,
    )
    to_the_end(run)
    assert float(model.likelihood.floor) == pytest.approx(1 / rows.std() / math.sqrt(12), rel=0.05)


# --- Precision -------------------------------------------------------------------------------------------------------


def test_precision_is_bfloat16_only_where_the_processor_has_it(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert precision_for("auto", cpu) is torch.bfloat16
    assert precision_for("float32", cpu) is None
    assert precision_for("bfloat16", cpu) is torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "avx2": True}, raising=False)
    assert precision_for("auto", cpu) is None
    assert precision_for("bfloat16", cpu) is torch.bfloat16
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert precision_for("auto", cpu) is None
    with pytest.raises(InputError, match="did you mean 'float32'"):
        precision_for("float", cpu)


def test_half_precision_trains_float32_weights_and_is_validated_in_float32():
    run = run_on(table(), "variational", settings={"latent.size": 3}, steps=100)
    before = held_out(run.model, run.batches.values)
    run.model.matrix_dtype = torch.bfloat16
    assert held_out(run.model, run.batches.values) == before
    inside: list[torch.dtype] = []
    hook = run.model.network.encoder[0].register_forward_hook(lambda module, given, out: inside.append(out.dtype))
    to_the_end(run)
    hook.remove()
    assert set(inside) == {torch.bfloat16}
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}
    assert held_out(run.model, run.batches.values).nats < before.nats - 1
