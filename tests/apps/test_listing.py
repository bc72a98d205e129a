"""What there is: parts, presets, data sets, and how a file is understood."""

import json

import numpy as np
import pytest

from narrows import PRESETS
from narrows.detection.presets import DETECTORS
from narrows.parts import axes, kinds


def test_parts_for_a_machine(done):
    told = json.loads(done("parts", "--json"))
    assert {(row["axis"], row["kind"]) for row in told} == {(axis, kind) for axis in axes() for kind in kinds(axis)}
    top_k = next(row for row in told if row["kind"] == "top-k")
    assert top_k["parameters"].startswith("size=")
    assert all(row["what it is"] and "`" not in row["what it is"] for row in told)


def test_parts_are_one_line_each_off_a_terminal(done):
    lines = done("parts").splitlines()
    assert lines[0].split() == ["axis", "kind", "parameters", "what", "it", "is"]
    assert len(lines) == 1 + sum(len(kinds(axis)) for axis in axes())
    assert any("sum_i [x_i ln p_i" in line for line in lines)  # brackets are no markup


def test_every_listed_choice_is_one_that_set_takes(here, done):
    only_some = {"convolutional", "denoiser", "imputing", "dictionary"}
    only_some |= {"compressor", "compressor-fast", "compressor-table", "lossy"}
    for row in json.loads(done("presets", "--json")):
        assert row["preset"] in {**PRESETS, **DETECTORS}
        assert row["take it for"]
        assert row["source"]
        # Those of images that are large, of mixed tables, and with another network or none, are left out.
        if row["preset"] in PRESETS and row["preset"] not in only_some:
            choices = ["--set", *row["choices"].split(), "network=mlp", "network.width=8"]
            done("train", "digits", "-o", "m.safetensors", "--minutes", "0.0001", *choices)


def test_named_data(done):
    told = json.loads(done("data", "--json"))
    digits = next(row for row in told if row["name"] == "digits")
    assert (digits["train + test"], digits["shape"]) == ("1437 + 360", "8x8")
    assert "where it is" in done("data").splitlines()[0]


def test_schema_of_a_table(here, done):
    (here / "d.csv").write_text("a,b,y\n1,2.5,p\n3,4.5,q\n5,6.5,p\n")
    told = json.loads(done("data", "d.csv", "--label", "y", "--json"))
    assert told == {
        "data": "d.csv",
        "rows": 3,
        "example": "vectors of 2 columns, real values from 1 to 6.5",
        "shape": [2],
        "values": "reals",
        "stored_as": "float32",
        "labels": 2,
        "columns": ["a", "b"],
        "notes": [],
    }
    text = done("data", "d.csv", "--label", "y")
    assert "columns    a, b\n" in text
    assert "stored as  float32\n" in text


def test_columns_of_a_mixed_table(here, done):
    lines = ["when,size,kind,left,same,y", "2020-01-01,1,u,yes,7,p", "2020-01-02,,v,no,7,q", "2020-01-03,2.5,u,yes,7,p"]
    (here / "d.csv").write_text("\n".join([*lines, "2020-01-04,3,w,yes,7,p"]) + "\n")
    told = json.loads(done("data", "d.csv", "--label", "y", "--json"))
    assert [list(row.values()) for row in told] == [
        ["size", "numeric", "1 to 3", "1", "4"],
        ["kind", "category", "3 categories; most often u", "0", "4"],
        ["left", "binary", "no, yes; most often yes", "0", "4"],
        ["y", "label", "2 different", "", "4"],
        ["", "note", "column 'when' holds dates or times and was left out", "", ""],
        ["", "note", "column 'same' never changes and was left out", "", ""],
    ]
    assert done("data", "d.csv").splitlines()[0].split() == ["column", "kind", "values", "missing", "rows"]


def test_notes_on_a_table_of_numbers(here, done):
    (here / "d.csv").write_text("a,b,c\n1,2,5\n2,2,6\n")
    assert json.loads(done("data", "d.csv", "--json"))["notes"] == ["column 'b' never changes and was left out"]
    assert "column 'b' never changes" in done("data", "d.csv")


def test_schema_of_images_and_another_kind_of_values(here, done):
    np.save(here / "d.npy", np.arange(96).reshape(2, 4, 4, 3).astype(np.uint8))
    assert "images 3x4x4 (channels x height x width), 256 levels from 0 to 255" in done("data", "d.npy")
    told = json.loads(done("data", "d.npy", "--values", "reals", "--json"))
    assert (told["values"], told["columns"], told["labels"]) == ("reals", None, None)


@pytest.mark.parametrize("words", [["nofile"], ["digits", "--key", "x"], ["digits", "--values", "binry"]])
def test_refused(refused, words):
    refused("data", *words)
