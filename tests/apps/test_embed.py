"""The verb embed beyond its table: maps and the check; the table itself is tested with the other uses."""

import dataclasses
import io
import json

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from PIL import Image
from scipy.sparse import load_npz

from narrows import load, read
from narrows.apps import colouring
from narrows.apps import embed as app
from narrows.apps.code_files import code_file
from narrows.apps.embed import Checked, Embedded, embed
from narrows.apps.plane import classes
from narrows.evaluate import check_codes, components
from narrows.records import CodeCheck, Kept

to_rgb = pytest.importorskip("matplotlib.colors").to_rgb
maps = pytest.importorskip("narrows.apps.maps")


@pytest.fixture
def table(models, here):
    """The table of the tiny models with more columns, one of which has gaps and one text."""
    given = pyarrow.csv.read_csv(models / "table.csv").to_pandas()
    given["age"] = np.where(given.index % 5, given.index, np.nan)
    given["town"] = np.where(given.index % 3, "Rome", "")
    given.to_csv(here / "more.csv", index=False)
    return "more.csv"


# --- files of codes --------------------------------------------------------------------------------------------------


def test_labels_of_whole_numbers_may_have_gaps_from_any_part_on(models, here):
    model = load(models / "digits.safetensors").model
    first = read("digits:test")
    whole = dataclasses.replace(first, labels=np.arange(len(first)))
    gaps = dataclasses.replace(first, labels=np.where(np.arange(len(first)) % 2, np.arange(len(first)), np.nan))
    for parts in ([whole, gaps], [gaps, whole]):
        with code_file(here / "codes.parquet", model, parts[0], sparse=False) as write:
            for place, part in enumerate(parts):
                write(part, place * len(first))
        written = pyarrow.parquet.read_table(here / "codes.parquet")["label"].to_pandas().to_numpy()
        expected = np.concatenate([part.labels for part in parts])
        assert np.array_equal(written.astype(float), expected.astype(float), equal_nan=True)


def test_a_sparse_matrix_may_have_no_rows(models, here):
    model = load(models / "digits.safetensors").model
    with code_file(here / "codes.npz", model, None, sparse=True):
        pass
    assert load_npz(here / "codes.npz").shape == (0, model.latent.size)


# --- maps ------------------------------------------------------------------------------------------------------------


def test_a_map_of_larger_codes_says_what_it_shows(models, here, done):
    line = ("embed", models / "digits.safetensors", "digits:test", "-o", "codes.csv", "--plot", "map.png", "--json")
    told = json.loads(done(*line))
    assert list(told) == [field.name for field in dataclasses.fields(Embedded)]
    assert (told["file"], told["rows"], told["shape"], told["plot"]) == ("codes.csv", 360, [4], "map.png")
    assert told["shown"].startswith("360 codes of 4 numbers along their first two principal components, ")
    with Image.open(here / "map.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (1200, 990))
        assert len(picture.convert("RGB").getcolors(1_000_000)) > 1000
    before = (here / "map.png").read_bytes()
    done(*line)
    assert (here / "map.png").read_bytes() == before


@pytest.mark.parametrize("colour", ["a", "age", "town"])
def test_any_column_colours_a_map(models, here, done, table, monkeypatch, colour):
    """One that the model knows and two that it does not."""
    seen = []
    monkeypatch.setattr(maps, "_scale", lambda *given: seen.append(("scale", *given[3:])))
    monkeypatch.setattr(maps, "_classes", lambda *given: seen.append(("classes", *given[2:])))
    done("embed", models / "table.safetensors", table, "-o", "z.npy", "--plot", "map.png", "--colour", colour)
    ((how, name, values),) = seen
    given = pyarrow.csv.read_csv(here / table).to_pandas()[colour]
    assert (how, name) == ("classes" if colour == "town" else "scale", colour)
    if colour == "town":
        assert list(values) == list(given)
    else:
        np.testing.assert_allclose(values, given, rtol=1e-6)
    assert np.load(here / "z.npy").shape == (40, 4)


def test_the_column_of_labels_colours_a_map_under_its_own_name(models, done, table, monkeypatch):
    seen = []
    monkeypatch.setattr(maps, "_classes", lambda *given: seen.append(given[2]))
    line = ("embed", models / "table.safetensors", table, "-o", "z.npy", "--plot", "map.png", "--label", "town")
    done(*line)
    done(*line, "--colour", "town")
    assert seen == ["label", "town"]


def test_a_category_of_the_model_colours_by_its_names(here, done):
    cells = ["red", "blue", "", "green"] * 10
    rows = "".join(f"{i % 7},{i / 3},{cell}\n" for i, cell in enumerate(cells))
    (here / "mixed.csv").write_text("n,x,hue\n" + rows)
    done("train", "mixed.csv", "-o", "m.safetensors", "--epochs", 1, "--set", "network.width=8", "latent.size=2")
    (here / "mixed.csv").write_text("n,x,hue\n" + rows.replace("green", "pink"))
    dataset = read("mixed.csv", schema=load("m.safetensors").schema)
    assert colouring.column(dataset, "hue").tolist() == [{"green": "(another)"}.get(cell, cell) for cell in cells]


def test_points_of_two_numbers_are_drawn_as_they_are():
    z = np.random.default_rng(0).normal(size=(50, 2))
    figure, shown = maps.draw_map(z, "label", None)
    (points,) = figure.axes[0].collections
    np.testing.assert_array_equal(points.get_offsets(), z)
    assert shown == "50 codes of two numbers"


def test_classes_have_a_legend_and_the_rarest_of_many_are_one():
    found = classes(np.array(["b", "a", "b", "", "c"]))
    assert (found.names, found.places.tolist(), found.others) == (["a", "b", "c"], [1, 0, 1, -1, 2], "none")
    many = np.repeat(np.arange(30.0), np.arange(30) + 1)
    found = classes(many)
    assert found.names == [str(i) for i in range(12, 30)]
    assert ((found.places == -1) == (many < 12)).all()
    assert found.others == "12 others"
    figure, _ = maps.draw_map(
        np.random.default_rng(0).normal(size=(len(many), 2)), "what", many.astype(int).astype(str)
    )
    legend = figure.axes[0].get_legend()
    assert legend.get_title().get_text() == "what"
    assert [text.get_text() for text in legend.get_texts()][-1] == "12 others"


def test_names_of_any_letters_are_shown_as_they_are():
    values = np.array(["$x^", "_hidden", "a name that is far too long for a legend", "b\nc"] * 5)
    figure, _ = maps.draw_map(np.random.default_rng(0).normal(size=(20, 2)), "$what", values)
    figure.savefig(io.BytesIO(), format="png")
    legend = figure.axes[0].get_legend()
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["$x^", " _hidden", "a name that is far too …", "b c"]


def test_numbers_have_a_scale_on_which_missing_ones_are_grey():
    z, values = np.random.default_rng(0).normal(size=(2, 100)).repeat(1, 0).reshape(100, 2), np.arange(100.0)
    values[:7] = np.nan
    figure, _ = maps.draw_map(z, "age", values)
    (points,) = figure.axes[0].collections
    colours = points.get_facecolors()[:, :3]
    assert (colours[:7] == to_rgb(maps.GREY)).all()
    assert len(np.unique(colours[7:], axis=0)) > 80
    assert figure.axes[1].get_ylabel() == "age"


# --- the check -------------------------------------------------------------------------------------------------------


def test_the_check_for_a_machine_is_that_of_python(models, here, done, monkeypatch):
    monkeypatch.setattr(components, "KERNEL_ROWS", 200)
    model = models / "digits.safetensors"
    line = ("embed", model, "digits:test", "-o", "codes.csv", "--check", "--train", "digits", "--seed", 3)
    told = json.loads(done(*line, "--json"))
    expected = check_codes(load(model), read("digits:test"), read("digits"), 3)
    assert told["check"] == dataclasses.asdict(expected)
    assert told["file"] == "codes.csv"
    assert not any("is not what the model was trained on" in note for note in told["check"]["notes"])
    assert pyarrow.csv.read_csv(here / "codes.csv").num_rows == 360


def test_the_check_for_a_person():
    kept = [Kept("this model (map)", 0.01, 0.99, 0.98, None, None), Kept("PCA", 0.02, 0.9, 0.9, None, None)]
    check = CodeCheck(1000, 2, "values scaled to [0, 1]", 5, kept, ["no labels"])
    figures, notes, files = Checked("z.npy", 1000, [2], "map.png", check=check).tables()
    assert figures.title == "codes of 2 numbers, 1,000 rows; squared error a cell in values scaled to [0, 1]"
    assert figures.columns == ("codes", "squared error", "trustworthiness", "continuity", "5-NN", "linear probe")
    assert figures.rows[1] == ("PCA", 0.02, 0.9, 0.9, None, None)
    assert (notes.rows, files.rows) == ([("no labels",)], [("z.npy",), ("map.png",)])


def test_the_check_of_a_table_with_gaps_has_no_components(here, done):
    rows = "".join(f"{i % 7},{'' if i % 4 else i / 3},{'xy'[i % 2]}\n" for i in range(80))
    (here / "known.csv").write_text("n,x,hue\n" + rows)
    (here / "new.csv").write_text("n,x,hue\n" + rows.replace(",x\n", ",y\n"))
    done("train", "known.csv", "-o", "m.safetensors", "--epochs", 1, "--set", "network.width=8", "latent.size=2")
    told = embed(here / "m.safetensors", "new.csv", here / "z.npy", check=True, train="known.csv").record()["check"]
    assert [kept["codes"] for kept in told["codes"]] == ["this model (autoencoder)"]
    assert any(note.startswith("no PCA") for note in told["notes"])


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{}/digits.safetensors digits -o z.npy --check", "the model was trained on digits"),
        ("{}/digits.safetensors digits:test -o z.npy --check --train digits:test", "all rows of digits:test are among"),
        ("{}/digits.safetensors digits:test -o z.npy --train digits", "give --check, or leave it out"),
        ("{}/digits.safetensors digits:test -o z.npy --colour label", "give --plot map.png"),
        ("{}/digits.safetensors digits:test -o z.npy --plot map.gif", "this output is written as .png"),
        ("{}/digits.safetensors digits:test -o z.npy --plot nowhere/map.png", "there is no folder nowhere"),
        ("{}/digits.safetensors digits:test -o z.npy --plot map.png --colour town", "--colour town, read as a label: "),
        ("{}/digits.safetensors digits:test -o z.npy --check --seed -1", "seed was given as -1"),
        ("{}/table.safetensors old.csv -o z.npy --check --train old.csv --plot map.png --colour town", "town"),
        ("{}/table.safetensors old.csv -o old.npy --plot old.csv", "written as .png"),
        ("one.safetensors old.csv -o z.npy --plot map.png", "at least two numbers, and here are 3 of 1"),
    ],
)
def test_refused(models, here, refused, done, line, says):
    (here / "old.csv").write_text("a,b,c\n1,2,3\n4,5,6\n2,2,1\n")
    if line.startswith("one"):
        done("train", "old.csv", "-o", "one.safetensors", "--epochs", 1, "--set", "network.width=4", "latent.size=1")
    refused("embed", *line.replace("{}", str(models)).split(), says=says)


def test_without_matplotlib_there_is_no_map(models, here, refused, monkeypatch):
    monkeypatch.setattr(app.importlib.util, "find_spec", lambda name: None)
    line = ("embed", models / "digits.safetensors", "digits:test", "-o", "z.npy", "--plot", "map.png")
    refused(*line, says="pip install 'narrows[report]'")
