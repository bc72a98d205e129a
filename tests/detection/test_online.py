"""A detector on a stream: it learns what is usual, its threshold keeps the rate, and it goes on where it was left."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from narrows.data.schema import infer_schema
from narrows.detection.detector import Detector
from narrows.detection.files import FittedDetector
from narrows.detection.fit import fit_detector, split
from narrows.detection.near import Near
from narrows.detection.online import Learning, OnlineDetector
from narrows.detection.reasons import Typical
from narrows.detection.view import View, shares_of_norm
from narrows.errors import InputError

RATE = 0.05


class Tracking(View):  # of no kind, so that the registry stays as it is
    """Distance from a centre, which follows the rows by descent with momentum."""

    learns = True

    def __init__(self, scaling: str = "standard", references: int = 2, k: int = 1, weight: float = 1.0) -> None:
        super().__init__(scaling, references, k, weight)
        self.register_buffer("centre", torch.zeros(0))
        self.register_buffer("velocity", torch.zeros(0))

    def fit(self, near: Near, seed: int) -> Tensor:
        self.centre = near.rows.mean(0)
        self.velocity = torch.zeros_like(self.centre)
        return self(near)

    def learn(self, near: Near) -> None:
        gradient = self.centre - near.rows.mean(0)
        self.velocity = 0.5 * self.velocity - RATE * gradient
        self.centre = self.centre + self.velocity

    def shares(self, near: Near) -> Tensor:
        return shares_of_norm((near.rows - self.centre).double().square())


def tracking(values: np.ndarray, calibration: int = 400) -> FittedDetector:
    """A detector of this view alone."""
    schema = infer_schema(values)
    detector = Detector(schema, [Tracking()])
    rows = torch.from_numpy(values)
    fitted_on, held_out = split(rows, calibration, 0)
    detector.fit(fitted_on, held_out, 0)
    typical = Typical(schema)
    typical.fit(fitted_on)
    record = {"rows": len(rows), "calibration_rows": calibration, "contaminated": False, "seed": 0}
    return FittedDetector(detector.eval(), typical, "detector-fast", record)


def rows(n, seed=0, shift=0.0, spread=1.0):
    return (spread * np.random.default_rng(seed).normal(size=(n, 4)) + shift).astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    return tracking(rows(2000))


def run(online, values, batch=100):
    """Meet rows batch by batch; return what was said of them all."""
    alarms, changes = [], []
    for start in range(0, len(values), batch):
        some = torch.from_numpy(values[start : start + batch])
        scored = online.score(some)
        alarms.append(scored.alarms)
        changes += [start + place for place, _ in online.follow(some, scored)]
    return torch.cat(alarms).double(), changes


def test_without_learning_it_is_the_detector(fitted):
    online = OnlineDetector(fitted, 0.05)
    values = torch.from_numpy(rows(500, 1, shift=0.5))
    scored = online.score(values)
    torch.testing.assert_close(scored.scores, fitted.detector.scores(values), rtol=0, atol=0)
    assert torch.equal(scored.p, fitted.detector.p_values(scored.scores))
    assert torch.equal(scored.alarms, scored.p <= 0.05)
    before = online.threshold
    online.follow(values, scored)
    assert online.threshold == before
    assert online.fitted is fitted


def test_scoring_changes_nothing(fitted):
    online = OnlineDetector(fitted, 0.05, Learning())
    values = torch.from_numpy(rows(300, 1))
    first, second = online.score(values), online.score(values)
    assert torch.equal(first.scores, second.scores)
    assert torch.equal(first.alarms, second.alarms)
    assert first.threshold == second.threshold


def test_what_is_too_far_for_floats_is_an_alarm_of_the_largest_score(fitted, monkeypatch):
    online = OnlineDetector(fitted, 0.05)
    monkeypatch.setattr(Detector, "scores", lambda self, rows: torch.tensor([0.0, torch.inf, torch.nan]).double())
    scored = online.score(torch.zeros(3, 4))
    assert scored.alarms.tolist() == [False, True, True]
    assert scored.scores.tolist() == [0.0, *[torch.finfo(torch.float64).max] * 2]
    assert scored.p.tolist() == [1.0, *[1 / 401] * 2]


class TestLearning:
    def test_it_leaves_the_detector_that_it_was_given(self, fitted):
        before = copy.deepcopy(fitted.detector.state_dict())
        run(OnlineDetector(fitted, 0.05, Learning()), rows(1000, 1, shift=0.3))
        after = fitted.detector.state_dict()
        assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())

    def test_views_take_one_step_a_batch_from_the_rows_that_are_no_alarm(self, fitted):
        online = OnlineDetector(fitted, 0.05, Learning(memory=500))
        values = torch.from_numpy(rows(200, 1, shift=0.5))
        scored = online.score(values)
        assert 0 < scored.alarms.sum() < 200
        online.follow(values, scored)
        usual = values[~scored.alarms]
        assert online.learnt == len(usual)
        expected = copy.deepcopy(fitted.detector.features)
        expected.moments.fade(500)
        expected.update(usual)
        features = online.detector.features
        assert torch.equal(features.moments.mean, expected.moments.mean)
        view, before = online.detector.views[0], fitted.detector.views[0]
        step = RATE * (expected(usual).mean(0) - before.centre)
        torch.testing.assert_close(view.centre, before.centre + step, rtol=1e-5, atol=1e-7)

    def test_running_statistics_forget_at_the_stated_pace(self, fitted):
        """After k batches of b rows the old mean has the weight (m / (m + b))^k, m the memory."""
        online = OnlineDetector(fitted, 0.05, Learning(memory=1000))
        moments = online.detector.features.moments
        count = float(moments.count[0])
        start = moments.mean.clone()
        assert count > 1000
        for _ in range(3):
            online.detector.learn(torch.full((500, 4), 2.0), 1000)
        torch.testing.assert_close(moments.mean, 2 + (start - 2) * (1000 / 1500) ** 3, rtol=1e-9, atol=0)
        assert float(moments.count[0]) == pytest.approx(1500)

    def test_fading_keeps_mean_and_spread(self, fitted):
        moments = copy.deepcopy(fitted.detector.features.moments)
        mean, spread = moments.mean.clone(), moments.spread.clone()
        moments.fade(10)
        torch.testing.assert_close(moments.mean, mean, rtol=0, atol=0)
        torch.testing.assert_close(moments.spread, spread, rtol=1e-12, atol=0)

    def test_a_world_that_has_changed_is_learnt(self, fitted):
        new = rows(12_000, 2, shift=3.0)
        fixed, _ = run(OnlineDetector(fitted, 0.05), new)
        learning, _ = run(OnlineDetector(fitted, 0.05, Learning(memory=2000)), new)
        assert fixed[-4000:].mean() > 0.9
        assert learning[:100].mean() > 0.9
        assert learning[-4000:].mean() < 0.1

    def test_a_batch_of_alarms_teaches_nothing(self, fitted):
        online = OnlineDetector(fitted, 0.05, Learning())
        values = torch.full((20, 4), 1e6)
        scored = online.score(values)
        assert scored.alarms.all()
        online.follow(values, scored)
        assert online.learnt == 0
        assert all(torch.equal(a, b) for a, b in zip(online.detector.buffers(), fitted.detector.buffers(), strict=True))

    def test_a_detector_that_cannot_learn_is_refused(self):
        values = rows(200)
        still = fit_detector(values, infer_schema(values), "detector-without-network")
        assert not still.detector.learns
        with pytest.raises(InputError, match=r"local-linear, neighbour, which do not all learn.*detector-fast"):
            OnlineDetector(still, 0.05, Learning())
        with pytest.raises(NotImplementedError, match="neighbour does not learn"):
            still.detector.views[1].learn(None)

    @pytest.mark.parametrize(
        ("learning", "said"),
        [(Learning(memory=0), "--memory"), (Learning(step=-1), "--follow"), (Learning(step=2), "--follow")],
    )
    def test_refuses_numbers_that_mean_nothing(self, fitted, learning, said):
        with pytest.raises(InputError, match=said):
            OnlineDetector(fitted, 0.05, learning)


class TestThreshold:
    @pytest.mark.parametrize("batch", [1, 64, 5000])
    @pytest.mark.parametrize("step", [0.02, 0.3])
    def test_the_guarantee_holds_on_a_stream_that_drifts(self, fitted, step, batch):
        """|share of alarms - rate| <= (range of scores and first threshold + step) / (step T), whatever comes."""
        n = 500 if batch == 1 else 6000
        values = rows(n, 5, spread=1.0) * np.linspace(1, 4, n, dtype=np.float32)[:, None]
        values[n // 2 :] += 3
        online = OnlineDetector(fitted, 0.1, Learning(step=step))
        start, seen = online.threshold, []
        inner = online.score
        online.score = lambda some: seen.append(inner(some)) or seen[-1]
        alarms, _ = run(online, values, batch)
        scores = torch.cat([scored.scores for scored in seen])
        span = max(float(scores.max()), start) - min(float(scores.min()), start)
        gap = abs(float(alarms.mean()) - 0.1)
        assert gap <= (span + step) / (step * n)
        assert gap == pytest.approx(abs(online.threshold - start) / (step * n), rel=1e-6, abs=1e-9)

    def test_it_follows_row_by_row(self, fitted):
        online = OnlineDetector(fitted, 0.1, Learning(step=0.5))
        values = torch.from_numpy(rows(50, 6, spread=2.0))
        scored = online.score(values)
        limit = online.threshold
        for score, alarm in zip(scored.scores.tolist(), scored.alarms.tolist(), strict=True):
            assert alarm == (score > limit)
            limit += 0.5 * (alarm - 0.1)
        assert scored.threshold == limit

    def test_the_rate_wavers_as_stated_while_nothing_changes(self, fitted):
        """Scores fall off as exp(-s) near the threshold, whose deviation is then about sqrt(step / 2) nats."""
        online = OnlineDetector(fitted, 0.05, Learning(step=0.02))
        limits = []
        for start in range(0, 40_000, 200):
            some = torch.from_numpy(rows(200, 100 + start))
            scored = online.score(some)
            online.threshold = scored.threshold  # the threshold alone follows
            limits.append(online.threshold)
        assert 0.5 * 0.1 < np.std(limits[50:]) < 2 * 0.1


class TestDrift:
    def test_it_judges_by_the_detector_as_it_was(self, fitted):
        """A slow drift that learning keeps up with is told all the same."""
        n = 20_000
        values = rows(n, 7) + np.linspace(0, 2, n, dtype=np.float32)[:, None]
        alarms, told = run(OnlineDetector(fitted, 0.05, Learning(memory=1000)), values)
        assert alarms[-5000:].mean() < 0.2
        assert told
        _, fixed = run(OnlineDetector(fitted, 0.05), values)
        assert told == fixed

    def test_nothing_is_told_of_rows_as_in_training(self, fitted):
        _, told = run(OnlineDetector(fitted, 0.05, Learning()), rows(20_000, 8))
        assert told == []


def test_it_goes_on_from_its_state_bit_for_bit(fitted):
    values = rows(3000, 9, shift=0.4)
    whole = OnlineDetector(fitted, 0.05, Learning())
    run(whole, values[:1500])
    tensors, numbers = copy.deepcopy(whole.state())
    then = copy.deepcopy(whole.fitted)
    rest, told = run(whole, values[1500:])
    again = OnlineDetector(fitted, 0.05, Learning())
    again.restore(then, tensors, numbers)
    other, told_again = run(again, values[1500:])
    assert torch.equal(rest, other)
    assert told == told_again
    assert again.state()[1] == whole.state()[1]
    for name, tensor in whole.detector.state_dict().items():
        assert torch.equal(again.detector.state_dict()[name], tensor)
    assert again.fitted.record["learnt"] == whole.learnt > 0
