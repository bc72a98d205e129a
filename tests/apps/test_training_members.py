"""The verb train with --members: a file for each seed, all or none, and what is said of them."""

import json
from statistics import mean, stdev

import numpy as np
import pytest
import torch

from narrows import load
from narrows.inference import bounds

SMALL = ["--epochs", "2", "--batch-size", "16", "--set", "network=mlp", "network.width=8", "latent.size=2"]


@pytest.fixture
def table(here):
    np.savetxt(
        here / "d.csv", np.random.default_rng(0).normal(size=(50, 4)), delimiter=",", header="a,b,c,d", comments=""
    )
    return "d.csv"


def files(here):
    return sorted(path.name for path in here.glob("m*"))


def test_a_file_for_each_seed_and_what_is_said_of_them(here, done, table):
    told = json.loads(done("train", table, "-o", "m.safetensors", "--members", 3, "--seed", 4, "--json", *SMALL))
    assert told["models"] == files(here) == [f"m-{seed}.safetensors" for seed in (4, 5, 6)]
    fitted = [load(here / name) for name in told["models"]]
    assert [one.record["plan"]["seed"] for one in fitted] == [4, 5, 6]
    kept = [one.record["held_out_nats"] for one in fitted]
    assert told["held_out_nats"] == pytest.approx(kept)
    assert told["mean_held_out_nats"] == pytest.approx(mean(kept))
    assert told["spread_held_out_nats"] == pytest.approx(stdev(kept))
    assert (told["rows"], told["held_out"], told["steps"]) == (50, 5, [6, 6, 6])
    assert told["parameters"] == sum(tensor.numel() for tensor in fitted[0].model.parameters())


def test_they_score_as_those_of_single_trainings(here, done, table):
    done("train", table, "-o", "m.safetensors", "--members", 2, *SMALL)
    done("train", table, "-o", "one.safetensors", "--seed", 1, *SMALL)
    rows = torch.from_numpy(np.loadtxt(here / table, delimiter=",", skiprows=1, dtype="float32"))
    ours, alone = (bounds(load(here / name).model, rows) for name in ("m-1.safetensors", "one.safetensors"))
    torch.testing.assert_close(ours, alone, rtol=1e-4, atol=1e-4)


def test_what_a_person_reads(here, done, table):
    lines = done("train", table, "-o", "m.safetensors", "--members", 2, *SMALL).splitlines()
    told = dict(line.split("  ", 1) for line in lines if not line.startswith(" "))
    assert told["models"].strip() == "m-0.safetensors, m-1.safetensors"
    assert len(told["held out nats"].split(",")) == 2
    assert {"mean held out nats", "spread held out nats"} < told.keys()


def test_one_member_without_held_out_rows(here, done, table):
    words = ("--members", 1, "--validation", 0, "--json")
    told = json.loads(done("train", table, "-o", "m.safetensors", *words, *SMALL))
    assert files(here) == ["m-0.safetensors"]
    assert (told["held_out_nats"], told["mean_held_out_nats"], told["spread_held_out_nats"]) == ([], None, None)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--members 0", "members was given as 0; it must be at least 1"),
        ("--members 2000", "members was given as 2000; it must be at most 1000"),
        ("--members few", "--members was given as 'few'; it takes a whole number"),
        ("--members 2 --seed -1", "seed was given as -1; it must be at least 0"),
        ("--members 2 --minutes 1", "--minutes is for a model by itself, and members were given (2)"),
        ("--members 2 --checkpoint kept", "--checkpoint is for a model by itself"),
        ("--members 2 --log log.jsonl", "--log is for a model by itself"),
        ("--members 2 --optimizer sgd", "--optimizer sgd is for a model by itself"),
        ("--members 2 --preset vq", "latent vq trains one model at a time; take latent=gaussian"),
        ("--members 2 --preset detector", "--members is for autoencoders, and detector is none"),
    ],
)
def test_refuses(refused, table, words, says):
    refused("train", table, "-o", "m.safetensors", *words.split(), says=says)


def test_refuses_places_before_it_trains(here, refused, table):
    (here / "m-1.safetensors").mkdir()
    refused("train", table, "-o", "m.safetensors", "--members", 2, says="m-1.safetensors is a folder")
    refused("train", table, "-o", "no/m.safetensors", "--members", 2, says="there is no folder no")
    refused("train", "-", "-o", "m.safetensors", "--members", 2, says="--members is for a file")


def test_refuses_several_workers(refused, table, monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "run", "RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    refused(
        "train",
        table,
        "-o",
        "m.safetensors",
        "--members",
        2,
        says="and --members is for one process; leave torchrun out",
    )


def test_a_full_disk_leaves_no_file(here, refused, table, monkeypatch):
    from narrows import persist

    saved, write = [], persist.write_tensors

    def fails(path, *given):
        saved.append(path)
        if len(saved) == 2:
            raise OSError(28, "No space left on device", str(path))
        write(path, *given)

    monkeypatch.setattr(persist, "write_tensors", fails)
    refused("train", table, "-o", "m.safetensors", "--members", 3, *SMALL, says="No space left on device")
    assert files(here) == []
