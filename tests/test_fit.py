"""Training put together: every kind of descent on one problem, what is kept, and what is refused."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from narrows import filters
from narrows.data.schema import infer_schema
from narrows.errors import InputError
from narrows.fit import USUAL_EPOCHS, USUAL_STEPS, fit
from narrows.likelihoods.reals import Gaussian
from narrows.model import Model
from narrows.persist import Fitted
from narrows.plan import Plan
from narrows.presets import choose
from narrows.train import held_out

SMALL = {"network.width": 16, "latent.size": 3}


def table(n: int = 600, columns: int = 12, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    clean = random.normal(size=(n, 3)) @ random.normal(size=(3, columns))
    return (clean + 0.3 * random.normal(size=(n, columns))).astype("float32")


def fit_table(preset: str = "autoencoder", rows: np.ndarray | None = None, settings=SMALL, **plan) -> Fitted:
    rows = table() if rows is None else rows
    return fit(rows, infer_schema(rows), preset, settings, Plan(**{"precision": "float32", "epochs": 5} | plan))


def split(rows: np.ndarray, fitted: Fitted) -> tuple[torch.Tensor, torch.Tensor]:
    """Training and held-out rows, by the seed of the plan."""
    plan = fitted.record["plan"]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(plan["seed"]))
    held_out = int(len(rows) * plan["validation"])
    values = torch.from_numpy(rows)
    return values[order[held_out:].sort().values], values[order[:held_out].sort().values]


def same(one: Model, other: Model) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# --- Every kind of descent lowers the held-out loss on the same problem ----------------------------------------------

DESCENTS = {
    "full batch": {"batch_size": "full", "epochs": 300},
    "mini-batch": {"batch_size": 32, "epochs": 12},
    "one at a time": {"batch_size": 1, "epochs": 1, "online": True},
}


@pytest.mark.parametrize("preset", ["autoencoder", "variational"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("descent", DESCENTS)
def test_every_descent_lowers_the_held_out_loss(descent, optimizer, preset):
    rows = table()
    rate = {"sgd": None, "adam": 3e-3, "adamw": 3e-3}[optimizer]
    fitted = fit_table(preset, rows, optimizer=optimizer, rate=rate, validation=0.2, **DESCENTS[descent])
    training, validation = split(rows, fitted)
    start = Model(choose(preset, fitted.schema, SMALL), fitted.schema)
    start.adapt(training)
    x = (rows - training.numpy().mean(0)) / training.numpy().std(0)
    spread = np.square(split(x, fitted)[1].numpy()).mean()
    of_the_mean = rows.shape[1] / 2 * (math.log(2 * math.pi * spread) + 1)  # with the sigma that suits it best
    reached = held_out(fitted.model, validation).nats
    assert len(validation) == 120
    assert reached < held_out(start, validation).nats - 0.5
    assert reached < of_the_mean - 0.1
    assert fitted.record["findings"] == [] or fitted.record["findings"][0]["name"] == "idle units"


def test_momentum_speeds_up_full_batch_descent():
    plan = {"optimizer": "sgd", "rate": 0.02, "batch_size": "full", "epochs": 100}
    reached = [fit_table(momentum=m, **plan).record["history"][-1]["validation"]["nats"] for m in (0.0, 0.5, 0.9)]
    usual = fit_table(**plan).record["history"][-1]["validation"]["nats"]
    assert reached[2] + 0.5 < reached[1] + 0.05 < reached[0]
    assert usual == reached[2]


def test_the_schedule_of_the_plan_is_followed():
    rates = {}
    for schedule in ("cosine", "constant", "plateau"):
        history = fit_table(schedule=schedule, epochs=8, batch_size=10).record["history"]
        rates[schedule] = [entry["rate"] for entry in history]
    assert set(rates["constant"]) == {1e-3}
    assert rates["cosine"][-1] < 1e-5 < rates["cosine"][0]
    assert rates["cosine"] == sorted(rates["cosine"], reverse=True)


def test_a_plateau_lowers_the_rate_once_nothing_gets_better():
    noise = np.random.default_rng(0).normal(size=(60, 8)).astype("float32")  # nothing to learn: it overfits at once
    settings = {"network.width": 64, "latent.size": 8}
    plan = {"schedule": "plateau", "epochs": 60, "batch_size": 1, "patience": 20}
    history = fit_table(rows=noise, settings=settings, validation=0.5, **plan).record["history"]
    nats = [entry["validation"]["nats"] for entry in history]
    best, waited, expected = math.inf, 0, [1e-3]
    for value in nats[:-1]:
        waited = 0 if value < best else waited + 1
        best = min(best, value)
        expected.append(expected[-1] / (2 if waited == 3 else 1))
        waited %= 3
    assert [entry["rate"] for entry in history] == pytest.approx(expected)
    assert expected[-1] < 1e-3 / 2


# --- What is kept ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_early_stopping_restores_the_weights_that_were_best(average):
    noise = np.random.default_rng(0).normal(size=(60, 8)).astype("float32")
    settings = {"network.width": 64, "latent.size": 8}
    plan = {"epochs": 500, "batch_size": 1, "patience": 4, "rate": 3e-3, "validation": 0.5, "average": average}
    fitted = fit_table(rows=noise, settings=settings, **plan)
    nats = [entry["validation"]["nats"] for entry in fitted.record["history"]]
    assert len(nats) < 400
    assert len(nats) - 1 - int(np.argmin(nats)) == 4
    assert nats[-1] > min(nats) + 0.1
    assert held_out(fitted.model, split(noise, fitted)[1]).nats == pytest.approx(min(nats), rel=1e-6)


def test_held_out_rows_are_never_trained_on(monkeypatch):
    rows = table(100)
    seen: list[torch.Tensor] = []
    update = filters.Run.update
    monkeypatch.setattr(filters.Run, "update", lambda run, raw: (seen.append(raw), update(run, raw))[1])
    fitted = fit_table(rows=rows, validation=0.3, batch_size=10, epochs=3)
    training, validation = split(rows, fitted)
    trained_on = {tuple(row) for raw in seen for row in raw.tolist()}
    assert trained_on == {tuple(row) for row in training.tolist()}
    assert not trained_on & {tuple(row) for row in validation.tolist()}
    assert (len(training), len(validation), fitted.record["data"]["held_out"]) == (70, 30, 30)
    # The statistics are of the training rows alone, and so is the baseline.
    np.testing.assert_allclose(fitted.model.transform.mean, training.double().mean(0), rtol=1e-5, atol=1e-6)
    standardised = (training - fitted.model.transform.shift) / fitted.model.transform.scale
    np.testing.assert_allclose(fitted.baseline.mean, standardised.mean(0), atol=1e-5)


def test_averaged_weights_are_the_ones_kept():
    plain, averaged = (fit_table(average=average, validation=0.0) for average in (0.0, 0.99))
    assert plain.record["history"][-1]["training"] == averaged.record["history"][-1]["training"]
    assert not same(plain.model, averaged.model)


def test_the_model_comes_out_ready_for_use():
    fitted = fit_table(average=0.9)
    assert not fitted.model.training
    assert fitted.model.matrix_dtype is None
    assert all(p.requires_grad for p in fitted.model.parameters())
    assert json.loads(json.dumps(fitted.record)) == fitted.record
    assert fitted.record["steps"] == 5 * 5
    assert fitted.record["seconds"] > 0
    assert fitted.record["versions"]["torch"] == torch.__version__


def test_equal_seeds_give_equal_weights_whatever_torch_did_before():
    first = fit_table("variational", seed=3)
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    assert same(first.model, fit_table("variational", seed=3).model)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not same(first.model, fit_table("variational", seed=4).model)


def test_the_unit_of_the_data_does_not_matter():
    rows = table()
    one, sixteen = (fit_table("variational", rows * unit) for unit in (1, 16))
    for name, parameter in one.model.named_parameters():
        torch.testing.assert_close(dict(sixteen.model.named_parameters())[name], parameter)


def test_the_usual_length_is_some_thousand_steps(monkeypatch):
    assert (USUAL_STEPS, USUAL_EPOCHS) == (6000, (10, 300))
    assert fit_table(epochs=None, rows=table(40), batch_size="full").record["steps"] == USUAL_EPOCHS[1]
    monkeypatch.setattr("narrows.fit.USUAL_STEPS", 200)
    for rows, epochs in ((table(400), 12), (table(1000), USUAL_EPOCHS[0])):
        fitted = fit_table(epochs=None, rows=rows, batch_size=20, patience=1000)
        per_epoch = math.ceil(len(rows) * 0.9 / 20)
        assert fitted.record["steps"] == epochs * per_epoch


def test_trains_for_so_many_minutes():
    fitted = fit_table(epochs=None, minutes=0.3 / 60, patience=10**6)
    assert 0.3 <= fitted.record["seconds"] < 2
    assert fitted.record["history"][-1]["share"] == 1.0


def test_trains_on_rows_that_may_not_be_written_to():
    rows = table(50)
    rows.flags.writeable = False
    assert same(fit_table(rows=rows).model, fit_table(rows=rows.copy()).model)


def test_a_watcher_sees_every_interval_and_a_log_holds_them(tmp_path):
    seen = []

    def watch(progress):
        for now in progress:
            seen.append(now)
            yield now

    rows = table(200)
    plan = Plan(epochs=4, batch_size=2, log=tmp_path / "log.jsonl", precision="float32")
    fitted = fit(rows, infer_schema(rows), "autoencoder", SMALL, plan, watch)
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [now["step"] for now in logged] == [now.step for now in seen]
    assert len(seen) == 8  # 90 batches an epoch, an interval of 50 and one of 40
    assert [entry for entry in logged if entry["validation"]] == fitted.record["history"]


# --- A loss that is no longer a number -------------------------------------------------------------------------------


@pytest.mark.parametrize("validation", [0.0, 0.1])
@pytest.mark.parametrize("preset", ["autoencoder", "variational"])
def test_an_absurd_rate_stops_with_a_finding_and_finite_weights(preset, validation):
    fitted = fit_table(preset, optimizer="sgd", rate=1e3, epochs=50, validation=validation)
    finding = next(finding for finding in fitted.record["findings"] if finding["name"] == "not a number")
    assert "stopped being finite; the last good weights are kept" in finding["what"]
    assert "--rate 1e+02" in finding["remedy"]
    assert fitted.record["steps"] < 50 * 5
    assert all(tensor.isfinite().all() for tensor in fitted.model.state_dict().values())
    assert math.isfinite(held_out(fitted.model, torch.from_numpy(table())).nats)


def test_a_likelihood_that_breaks_later_leaves_the_best_weights(monkeypatch):
    whole = fit_table(rows=table(400), epochs=3, batch_size=4, schedule="constant")
    calls = 0
    forward = Gaussian.forward

    def breaks(likelihood, params):
        nonlocal calls
        calls += likelihood.training
        return forward(likelihood, params * (math.nan if calls > 280 else 1.0))

    monkeypatch.setattr(Gaussian, "forward", breaks)
    # What a replay computes does not hang on how often something was called.
    fitted = fit_table(rows=table(400), epochs=30, batch_size=4, schedule="constant", eager=True)
    assert "the reconstruction term stopped being finite" in fitted.record["findings"][0]["what"]
    assert len(fitted.record["history"]) == 3  # 90 steps an epoch
    assert same(fitted.model, whole.model)


# --- Refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"optimizer": "adm"}, "did you mean 'adam'"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"precision": "float"}, "did you mean 'float32'"),
        ({"device": "toaster"}, "there is no device 'toaster'"),
        ({"epochs": 0}, "epochs was given as 0"),
        ({"epochs": 3, "minutes": 1.0}, "both epochs and minutes were given"),
        ({"batch_size": 0}, "batch size was given as 0"),
        ({"batch_size": "half"}, "batch size was given as 'half'; it takes a whole number or full"),
        ({"rate": "fast"}, "rate was given as 'fast'; it takes a number or auto"),
        ({"rate": math.nan}, "rate was given as nan"),
        ({"momentum": 0.9}, "momentum belongs to optimizer sgd"),
        ({"average": 1.0}, "average was given as 1.0"),
        ({"validation": 0.95}, "validation was given as 0.95"),
        ({"patience": 0}, "patience was given as 0"),
        ({"resume": True}, "resume needs"),
        ({"binarize": "draw"}, "only levels can be binarised"),
    ],
)
def test_refuses_a_plan_that_makes_no_sense(plan, said):
    with pytest.raises(InputError, match=said):
        fit_table(**plan)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (table(1), r"1 row \(1 sample\)"),
        (np.ones((5, 3), "float32"), "every row of the data is the same"),
    ],
)
def test_refuses_rows_that_teach_nothing(rows, said):
    with pytest.raises(InputError, match=said):
        fit_table(rows=rows)


@pytest.mark.parametrize("n", [2, 3, 11])
@pytest.mark.parametrize("batch_size", ["full", 2, 1])
def test_trains_on_any_number_of_rows(n, batch_size):
    fitted = fit_table("variational", table(n), batch_size=batch_size, epochs=2, validation=0.5)
    assert math.isfinite(held_out(fitted.model, torch.from_numpy(table(n))).nats)


@pytest.mark.parametrize(
    ("settings", "rate"),
    [(SMALL, 1e-3), (SMALL, 3.0), ({"latent": "batch-top-k"}, 1e-2)],
)
def test_the_held_out_figure_told_is_that_of_the_weights_kept(settings, rate):
    """Also where the start is better than anything after it, as it is where the rate is far too high."""
    rows = table()
    fitted = fit_table("autoencoder", rows, settings, rate=rate, batch_size=8)
    held = split(rows, fitted)[1]
    assert fitted.record["held_out_nats"] == pytest.approx(held_out(fitted.model, held).nats, rel=1e-5)
    history = [entry["validation"]["nats"] for entry in fitted.record["history"]]
    assert (fitted.record["held_out_nats"] < min(history, default=math.inf)) == (rate > 1)


def test_every_field_of_the_plan_that_changes_what_is_trained_is_in_the_record():
    plan = fit_table(seed=7).record["plan"]
    others = {"checkpoint", "resume", "log", "eager"}
    assert {field.name for field in dataclasses.fields(Plan)} - plan.keys() == others
    assert plan["seed"] == 7
    assert plan["parts"]["latent"] == {"kind": "point", "size": 3, "density": None}


def test_two_looks_at_an_example_are_not_compared_in_bfloat16():
    rows = table()
    settings = {"corruption": "sure", "likelihood": "gaussian"}
    with pytest.raises(InputError, match=r"two looks at an example.*take --precision float32"):
        fit(rows, infer_schema(rows), "autoencoder", settings, Plan(precision="bfloat16", epochs=1))


@pytest.mark.parametrize("corruption", ["sure", "recorrupted"])
def test_units_that_died_are_called_back_under_two_looks(corruption):
    """Of what they would have said nothing is seen twice."""
    rows = table(200)
    settings = {"latent": "batch-top-k", "latent.size": 64, "latent.k": 2, "latent.dead_after": 100}
    settings |= {"corruption": corruption, "likelihood": "gaussian"}
    fitted = fit(rows, infer_schema(rows), "autoencoder", settings, Plan(epochs=3))
    assert all(bool(tensor.isfinite().all()) for tensor in fitted.model.state_dict().values())
