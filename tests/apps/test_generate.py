"""The verbs that make examples from those given: interpolate, vary, combine."""

import json

import numpy as np
import pyarrow.csv
import pytest
from PIL import Image

from narrows import load, read
from narrows.apps.written import Written
from narrows.generation import combined
from narrows.tensors import tensor_of


def test_a_walk_moves_there_and_back(models, here, done):
    line = ["interpolate", models / "digits.safetensors", "digits:test", "--from", 3, "--to", 17]
    told = json.loads(done(*line, "-o", "w.gif", "--json"))
    assert told == {"file": "w.gif", "rows": 16, "shape": [8, 8]}
    done(*line, "-o", "w.npy")
    made = np.load(here / "w.npy")
    with Image.open(here / "w.gif") as moving:
        assert (moving.n_frames, moving.size, moving.info["loop"]) == (30, (168, 168), 0)
        for place, row in ((0, 0), (7, 7), (15, 15), (22, 8), (29, 1)):
            moving.seek(place)
            shown = np.asarray(moving.convert("L"))[10::21, 10::21]
            assert np.abs(shown - made[row] * (255 / 16)).max() < 10  # the array is rounded to 17 levels


def test_a_walk_on_a_sheet_and_in_a_table(models, here, done):
    done("interpolate", models / "digits.safetensors", "digits:test", "-o", "w.png", "--frames", 20, "--path", "linear")
    with Image.open(here / "w.png") as sheet:
        assert sheet.size == (16 * 58 + 2, 2 * 58 + 2)
    done("interpolate", models / "table.safetensors", models / "table.csv", "-o", "w.csv", "--frames", 3)
    assert pyarrow.csv.read_csv(here / "w.csv").num_rows == 3


def test_plain_codes_go_straight(models, here, done):
    for words in ([], ["--path", "linear"]):
        done("interpolate", models / "point.safetensors", "digits:test", "-o", f"w{len(words)}.npy", *words)
    assert (np.load(here / "w0.npy") == np.load(here / "w2.npy")).all()


def test_variations_beside_the_row(models, here, done):
    done("vary", models / "digits.safetensors", "digits:test", "--row", 3, "-n", 6, "-o", "v.png")
    with Image.open(here / "v.png") as sheet:
        assert sheet.size == (6 * 58 + 2, 2 * (58 + 16) + 2)
    done("vary", models / "point.safetensors", "digits:test", "--strength", 0.5, "-n", 6, "-o", "v.npy")
    made = np.load(here / "v.npy")
    assert made.shape == (6, 8, 8)
    assert (made[0] != made[1]).any()
    done("vary", models / "table.safetensors", models / "table.csv", "-o", "v.csv")
    assert pyarrow.csv.read_csv(here / "v.csv").num_rows == 15


def test_a_sum_of_codes(models, here, done):
    told = json.loads(
        done("combine", models / "digits.safetensors", "digits:test", "3,4 - 5 + 17", "-o", "s.png", "--json")
    )
    assert told["rows"] == 1
    with Image.open(here / "s.png") as sheet:
        assert sheet.size == (2 * 58 + 2, 4 * (58 + 16) + 2)
    done("combine", models / "digits.safetensors", "digits:test", "3,4 - 5 + 17", "-o", "s.npy")
    rows = tensor_of(read("digits:test").values)
    expected = combined(load(models / "digits.safetensors").model, rows, "3,4 - 5 + 17")
    assert (np.load(here / "s.npy") == expected[:, 0].round().clamp(0, 16).numpy()).all()


def test_colours_move_too(models, here, done):
    done("interpolate", models / "colour.safetensors", models / "colour.npy", "-o", "w.gif", "--frames", 2)
    with Image.open(here / "w.gif") as moving:
        assert moving.size == (5 * 28, 6 * 28)


def test_python_takes_the_same_functions(models, here):
    from narrows.apps.generate import interpolate

    written = interpolate(models / "digits.safetensors", "digits:test", here / "w.npy", 3, 17, frames=4)
    assert written == Written(str(here / "w.npy"), 4, [8, 8])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("generate {}/digits.safetensors -o s.png --label 7", "prior standard knows no classes"),
        ("generate {}/point.safetensors -o s.png", "narrows fit-prior"),
        ("generate {}/digits.safetensors -o s.png --temperature -1", "at least 0"),
        ("generate {}/digits.safetensors -o s.gif", "written as .png or .npy"),
        ("interpolate {}/digits.safetensors digits:test -o w.gif --to 360", "the data have rows 0 to 359"),
        ("interpolate {}/digits.safetensors digits:test -o w.gif --from -1", "row -1 was asked for"),
        ("interpolate {}/digits.safetensors digits:test -o w.gif --frames 1", "at least 2"),
        ("interpolate {}/digits.safetensors digits:test -o w.gif --frames 401", "at most 400"),
        ("interpolate {}/digits.safetensors digits:test -o w.gif --path round", "allowed: spherical, linear"),
        ("interpolate {}/point.safetensors digits:test -o w.gif --path spherical", "take path linear"),
        ("interpolate {0}/table.safetensors {0}/table.csv -o w.gif", "w.gif has the suffix .gif"),
        ("vary {}/point.safetensors digits:test -o v.png", "--strength"),
        ("vary {}/digits.safetensors digits:test -o v.png --row 400", "rows 0 to 359"),
        ("vary {}/digits.safetensors digits:test -o v.png --strength -1", "strength was given as -1.0"),
        ("combine {}/digits.safetensors digits:test 3-x -o s.png", "the sum was given as '3-x'"),
        ("combine {}/digits.safetensors digits:test 3-400 -o s.png", "row 400 was asked for"),
        ("fit-prior {0}/digits.safetensors digits -o {0}/digits.safetensors", "would be overwritten"),
        ("fit-prior {0}/table.safetensors {0}/table.csv -o m --by-label", "the data have no labels"),
        ("fit-prior {}/digits.safetensors digits -o m --prior gmm", "allowed: mixture, flow, aggregate"),
    ],
)
def test_refused(models, refused, line, says):
    refused(*line.format(models).split(), says=says)
