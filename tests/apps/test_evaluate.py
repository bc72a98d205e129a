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


def test_annealing_for_a_machine_and_a_person(models, done):
    line = ("evaluate", models / "digits.safetensors", "digits:test", "--rows", 9, "--ais", 4, "--chains", 3)
    told = json.loads(done(*line, "--json"))
    assert (told["ais_steps"], told["ais_chains"], told["simulated_rows"]) == (4, 3, 9)
    assert told["ais_bits_per_dim"] == pytest.approx(-told["ais_nats"] / (64 * math.log(2)))
    assert told["simulated_gap_nats"] == pytest.approx(told["simulated_upper_nats"] - told["simulated_lower_nats"])
    assert 1 <= told["ais_effective_chains"] <= 3
    assert 0 < told["ais_acceptance"] < 1
    assert told == json.loads(done(*line, "--json"))
    near = json.loads(done(*line, "--ais-start", "posterior", "--json"))
    assert near["ais_nats"] > told["ais_nats"]  # with 4 steps, from the prior one comes nowhere
    assert "simulated gap nats" in done(*line)
    assert "ais" not in done(*line[:-4])


def test_information_and_the_marginal_divergence_add_up_to_the_rate(models, done):
    told = json.loads(done("evaluate", models / "digits.safetensors", "digits:test", "--json"))
    assert told["mutual_information_nats"] + told["marginal_kl_nats"] == pytest.approx(told["rate_nats"])
    assert 0 < told["mutual_information_nats"] <= math.log(360)
    assert (
        json.loads(done("evaluate", models / "point.safetensors", "digits:test", "--json"))["marginal_kl_nats"] is None
    )


def test_what_the_weights_say_of_the_error(models, done):
    line = ("evaluate", models / "digits.safetensors", "digits:test", "--rows", 50, "--draws")
    few, many = (json.loads(done(*line, draws, "--json")) for draws in (5, 500))
    for told in (few, many):
        assert told["effective_draws_lowest"] <= told["effective_draws"]
        assert 0 < told["log_likelihood_draws_error"] < told["log_likelihood_standard_error"]
        assert told["log_likelihood_bias_nats"] < 0
    assert many["log_likelihood_draws_error"] < few["log_likelihood_draws_error"]
    assert many["log_likelihood_bias_nats"] > few["log_likelihood_bias_nats"]


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
        ("{}/point.safetensors digits --ais 5", "point codes have a price and no code length"),
        ("{}/digits.safetensors digits --ais -1", "ais was given as -1; it must be at least 0"),
        ("{}/digits.safetensors digits --ais 5 --chains 0", "chains was given as 0; it must be at least 1"),
        ("{}/digits.safetensors digits --ais 5 --ais-start middle", "unknown value of --ais-start 'middle'"),
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
