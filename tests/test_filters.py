"""What stands between the training loop and its user: each filter alone."""

import copy
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from narrows import distributions, filters
from narrows.checkpoint import FILE, Best
from narrows.data.batches import Batches
from narrows.data.schema import infer_schema
from narrows.latents import Point
from narrows.model import Model
from narrows.noise import Noise
from narrows.optimizers import make_optimizer
from narrows.persist import read_tensors
from narrows.presets import choose
from narrows.schedules import make_schedule
from narrows.train import Run, held_out, train
from narrows.values import Figures, Finding, Progress

ROWS = np.random.default_rng(0).normal(size=(120, 5)).astype("float32")


def small_run(preset: str = "autoencoder", steps: int = 200, average: float = 0.0, schedule: str = "constant") -> Run:
    schema = infer_schema(ROWS)
    model = Model(choose(preset, schema, {"network.width": 4, "latent.size": 2}), schema)
    model.adapt(torch.from_numpy(ROWS))
    optimizer = make_optimizer("adam", model, 0.01)
    return Run(
        model,
        Batches(torch.from_numpy(ROWS), 2),
        optimizer,
        make_schedule(schedule),
        Noise(0),
        steps=steps,
        average=average,
    )


def told(nats: list[float | None], ended: bool = True) -> list[Progress]:
    """Progress as a run would tell it: one validation figure an interval, or none."""
    return [
        Progress(i + 1, 10, 1.0, (i + 1) / len(nats), 0.1, 0.01, Figures(9, 8, 1), n and Figures(n, n, 0), ended)
        for i, n in enumerate(nats)
    ]


def same(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[name], other[name]) for name in state)


# --- guarded ---------------------------------------------------------------------------------------------------------


def spoil_likelihood(run: Run, step: int) -> None:
    forward, model = run.model.likelihood.forward, run.model

    def spoilt(params):
        p = forward(params)
        log_prob = p.log_prob
        p.log_prob = lambda value: log_prob(value) * (math.nan if run.step >= step and model.training else 1.0)
        return p

    model.likelihood.forward = spoilt


def spoil_price(run: Run, step: int) -> None:
    posterior = run.model.latent.posterior

    def spoilt(h):
        q = posterior(h)
        return distributions.Point(q.value, q.price + (math.inf if run.step >= step else 0.0))

    run.model.latent.posterior = spoilt


def spoil_gradient(run: Run, step: int) -> None:
    weight = next(run.model.parameters())
    weight.register_hook(lambda gradient: gradient * (math.nan if run.step >= step else 1.0))


SPOILERS = {
    "reconstruction term": ("autoencoder", spoil_likelihood),
    "rate (KL or price of the code)": ("autoencoder", spoil_price),
    "gradient, which spoilt the weights": ("variational", spoil_gradient),
}


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("step", [0, 70, 109])
@pytest.mark.parametrize("term", SPOILERS)
def test_stops_at_the_first_bad_figure_names_the_term_and_keeps_good_weights(term, step, average):
    preset, spoil = SPOILERS[term]
    run, findings = small_run(preset, average=average), list[Finding]()
    spoil(run, step)
    good = [copy.deepcopy(model.state_dict()) for model in (run.model, run.deployed)]
    yielded = 0
    for now in filters.guarded(run, train(run), findings.append):
        yielded += 1
        good = [copy.deepcopy(model.state_dict()) for model in (run.model, run.deployed)]
        assert math.isfinite(now.training.nats)
    # Two rows a batch and 60 batches an epoch: intervals end after steps 50, 60, 110.
    assert yielded == {0: 0, 70: 2, 109: 2}[step]
    assert [finding.name for finding in findings] == ["not a number"]
    assert f"because the {term} stopped being finite" in findings[0].what
    assert "--rate 0.001" in findings[0].remedy
    assert same(run.model.state_dict(), good[0])
    assert same(run.deployed.state_dict(), good[1])
    assert all(tensor.isfinite().all() for tensor in run.deployed.state_dict().values())


def test_a_guarded_run_with_nothing_wrong_is_let_through():
    run, findings = small_run(), list[Finding]()
    plain = list(train(small_run()))
    guarded = list(filters.guarded(run, train(run), findings.append))
    assert [now.training for now in guarded] == [now.training for now in plain]
    assert findings == []


# --- validated and keeping_best --------------------------------------------------------------------------------------


def test_validates_the_weights_that_will_be_kept_at_the_ends_of_epochs_only():
    run = small_run(steps=200, average=0.9, schedule="plateau")
    values = torch.from_numpy(ROWS[:30])
    seen: list[float] = []
    run.schedule.see = seen.append
    for now in filters.validated(run, train(run), values):
        assert (now.validation is not None) == (now.step in (60, 120, 180, 200))
        if now.validation is not None:
            assert now.validation == held_out(run.deployed, values)
            assert now.validation != held_out(run.model, values)
            assert seen[-1] == now.validation.nats
    assert len(seen) == 4


def keep(nats: list[float | None], patience: int, best: Best | None = None) -> tuple[int, Best, Run]:
    """Go through figures while the weights count the intervals."""
    run, best, weight = small_run(), best or Best(), None
    weight = next(run.model.parameters())

    def intervals() -> Iterator[Progress]:
        for i, now in enumerate(told(nats)):
            with torch.no_grad():
                weight.fill_(float(i))
            yield now

    return sum(1 for _ in filters.keeping_best(run, intervals(), best, patience)), best, run


@pytest.mark.parametrize(
    ("nats", "patience", "intervals", "kept"),
    [
        ([5.0, 4.0, 3.0, 2.0], 1, 4, 3),
        ([5.0, 3.0, 4.0, 4.0, 4.0, 1.0], 3, 5, 1),
        ([5.0, 3.0, 4.0, 4.0, 2.0, 9.0], 3, 6, 4),
        ([5.0, 5.0, 5.0], 2, 3, 0),
        ([5.0, None, 3.0, None, None, 4.0, None, 4.5], 2, 8, 2),
        ([math.nan, 4.0, math.nan, math.inf, 1.0], 2, 4, 1),
    ],
)
def test_keeps_the_best_weights_and_stops_when_patience_ends(nats, patience, intervals, kept):
    seen, best, run = keep(nats, patience)
    assert seen == intervals
    assert best.nats == nats[kept]
    name = next(name for name, _ in run.model.named_parameters())
    assert float(best.weights[name].flatten()[0]) == kept


def test_while_the_latent_is_not_settled_the_last_weights_are_the_best(monkeypatch):
    """Of eight intervals three come before; the figures of these compare with nothing, and no patience is lost."""
    monkeypatch.setattr(Point, "settled", lambda self, share: share > 3.5 / 8)
    seen, best, run = keep([1.0, 2.0, 3.0, 9.0, 8.0, 8.5, 8.6, 7.0], 2)
    assert (seen, best.nats) == (7, 8.0)
    name = next(name for name, _ in run.model.named_parameters())
    assert float(best.weights[name].flatten()[0]) == 4


def test_a_run_that_had_lost_patience_does_not_go_on():
    _, best, _ = keep([5.0, 6.0, 6.0], 2)
    assert keep([4.0], 2, best)[0] == 0
    assert keep([4.0], 3, best)[0] == 1


# --- recorded, checkpointed, logged ----------------------------------------------------------------------------------


def test_records_the_ends_of_epochs_and_the_end():
    history: list[Progress] = []
    intervals = told([None, 3.0, None, 2.0, None])
    intervals = [dataclasses.replace(now, epoch_ended=now.validation is not None) for now in intervals]
    assert list(filters.recorded(iter(intervals), history)) == intervals
    assert history == [intervals[1], intervals[3], intervals[4]]


def test_checkpoints_every_few_seconds_at_once_and_at_the_end(monkeypatch, tmp_path):
    seconds = {50: 0.0, 60: 3.0, 110: 4.9, 120: 5.1, 170: 9.0, 180: 9.5, 200: 9.6}
    run, best, steps = small_run(), Best(), []
    monkeypatch.setattr(filters, "time", SimpleNamespace(monotonic=lambda: seconds[run.step]))
    assert filters.SECONDS_BETWEEN_CHECKPOINTS == 5.0
    for now in filters.checkpointed(run, train(run), tmp_path, best, [], {}):
        steps.append((now.step, read_tensors(tmp_path / FILE, what="checkpoint")[1]["numbers"]["step"]))
    assert steps == [(50, 50), (60, 50), (110, 50), (120, 120), (170, 120), (180, 120), (200, 200)]


def test_logs_every_interval_as_a_line_at_once(tmp_path):
    path: Path = tmp_path / "log.jsonl"
    intervals = told([4.0, None, math.inf])
    for count, now in enumerate(filters.logged(iter(intervals), path), start=1):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(lines) == count
        assert lines[-1]["step"] == now.step
    assert [line["validation"] and line["validation"]["nats"] for line in lines] == [4.0, None, None]
    assert lines[0]["training"] == {"nats": 9, "distortion": 8, "rate": 1}
    list(filters.logged(iter(intervals), path))
    assert len(path.read_text().splitlines()) == 6


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no device that is always full")
    (tmp_path / "log").symlink_to(full)
    with pytest.raises(OSError, match="No space left") as raised:
        next(filters.logged(iter(told([4.0])), tmp_path / "log"))
    assert raised.value.filename == str(tmp_path / "log")
