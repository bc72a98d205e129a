"""The verb evaluate: its figures, what it makes of one row, and what it refuses."""

import dataclasses
import json
import math

import numpy as np
import pytest

from narrows import load, read
from narrows.apps.evaluate import evaluate
from narrows.evaluate import evaluate as measured
from narrows.records import Evaluation
from narrows.tensors import tensor_of


def test_figures_for_a_machine(models, done):
    told = json.loads(done("evaluate", models / "digits.safetensors", "digits:test", "--draws", 5, "--json"))
    assert list(told) == [field.name for field in dataclasses.fields(Evaluation)]
    assert (told["rows"], told["cells"], told["code_size"], told["draws"]) == (360, 64, 4, 5)
    assert told["elbo_nats"] == pytest.approx(-(told["distortion_nats"] + told["rate_nats"]), rel=1e-6)
    assert told["bits_per_dim"] == pytest.approx(-told["elbo_nats"] / (64 * math.log(2)), rel=1e-6)
    assert told["log_likelihood_nats"] >= told["elbo_nats"] - 4 * told["elbo_standard_error"]
    assert 1 <= told["effective_draws"] <= 5
    assert told["pca_error"] < told["mean_error"]
    assert len(told["kl_by_unit_nats"]) == 4
    assert told["density"] is False


def test_figures_are_those_of_python(models, done):
    told = json.loads(done("evaluate", models / "table.safetensors", models / "table.csv", "--seed", 3, "--json"))
    fitted = load(models / "table.safetensors")
    values = tensor_of(read(models / "table.csv", schema=fitted.schema).values)
    assert told == dataclasses.asdict(measured(fitted, values, seed=3))
    assert told == dataclasses.asdict(evaluate(models / "table.safetensors", str(models / "table.csv"), seed=3))
    assert told["density"] is True


def test_what_a_person_reads(models, done):
    text = done("evaluate", models / "digits.safetensors", "digits:test", "--rows", 20)
    told = dict(line.split("  ", 1) for line in text.splitlines())
    assert told["rows"].strip() == "20"
    assert told["density"].strip() == "no"
    assert told["kl by unit nats"].count(", ") == 3
    assert "log likelihood nats" not in told
    assert "None" not in text


def test_a_deterministic_code_has_no_bound(models, done):
    told = json.loads(done("evaluate", models / "point.safetensors", "digits:test", "--json"))
    assert told["elbo_nats"] is told["bits_per_dim"] is told["kl_by_unit_nats"] is None
    assert told["reconstruction_error"] > 0


def test_one_row_is_enough(models, here, done):
    np.save(here / "one.npy", read("digits").values[:1, 0])
    told = json.loads(done("evaluate", models / "digits.safetensors", "one.npy", "--draws", 3, "--json"))
    assert told["rows"] == 1
    assert told["active_units"] is told["elbo_standard_error"] is told["log_likelihood_standard_error"] is None
    assert math.isfinite(told["elbo_nats"])
    assert "active units" not in done("evaluate", models / "digits.safetensors", "one.npy")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{}/point.safetensors digits --draws 5", "gives no log likelihood"),
        ("{}/digits.safetensors {}/colour.npy", "examples of shape (6, 5, 3); the model was trained on (8, 8)"),
        ("{}/digits.safetensors {}/table.csv", "examples of shape (3,)"),
        ("{}/bits.safetensors {}/ink.npy", "binary values 0 and 1"),
        ("{}/table.safetensors header.csv", "give at least one example"),
        ("{}/table.safetensors nofile.csv", "no such file or data set"),
        ("nofile digits", "there is no file nofile; give a model file that narrows train wrote"),
        ("folder digits", "folder is a folder; give a model file"),
        ("{}/table.csv digits", "is not a narrows model file"),
        ("digits {}/digits.safetensors", "there is no file digits"),
    ],
)
def test_refused(models, here, refused, line, says):
    (here / "folder").mkdir()
    (here / "header.csv").write_text("a,b,c\n")
    refused("evaluate", *line.replace("{}", str(models)).split(), says=says)
