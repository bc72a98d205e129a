"""The verbs that put a model to use: generate, reconstruct, embed."""

import json
from contextlib import contextmanager

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import scipy.sparse
import torch
from PIL import Image

from narrows import load, read
from narrows.apps.decode import examples_of
from narrows.apps.embed import embed
from narrows.apps.generate import generate
from narrows.apps.reconstruct import reconstruct
from narrows.apps.written import Written
from narrows.errors import InputError
from narrows.inference import codes, reconstructed, samples
from narrows.tensors import tensor_of


def test_generated_images(models, here, done):
    told = json.loads(done("generate", models / "digits.safetensors", "-n", 5, "-o", "new.npy", "--json"))
    assert told == {"file": "new.npy", "rows": 5, "shape": [8, 8]}
    made = np.load(here / "new.npy")
    assert (made.shape, made.dtype) == ((5, 8, 8), np.uint8)
    assert made.max() <= 16
    assert made.std() > 0
    expected = samples(load(models / "digits.safetensors").model, 5, 0)[:, 0].round()
    assert (made == expected.numpy()).all()
    done("generate", models / "digits.safetensors", "-n", 5, "-o", "new.png")
    with Image.open(here / "new.png") as sheet:
        assert sheet.size == (5 * 58 + 2, 60)


def test_generated_rows_are_in_raw_units(models, here, done):
    done("generate", models / "table.safetensors", "-n", 50, "-o", "new.csv")
    table = pyarrow.csv.read_csv(here / "new.csv")
    assert table.column_names == ["a", "b", "c"]
    assert table.num_rows == 50
    done("generate", models / "table.safetensors", "-n", 50, "-o", "new.parquet", "--draw")
    drawn = pyarrow.parquet.read_table(here / "new.parquet").to_pandas()
    assert 5 < drawn["b"].std() < 20  # ten times the other columns'
    assert 0.5 < drawn["a"].std() < 2


def test_equal_seeds_give_equal_bytes(models, here, done):
    for suffix in (".npy", ".png"):
        for name, seed in (("a", 7), ("b", 7), ("c", 8)):
            done("generate", models / "digits.safetensors", "-n", 6, "-o", name + suffix, "--seed", seed, "--draw")
        a, b, c = ((here / (name + suffix)).read_bytes() for name in "abc")
        assert a == b != c


def test_types_of_written_images(models, here, done):
    """Levels and black on white come back as bytes; the mean of a bit is a probability and stays one."""
    for name, dtype, high in (("bits", np.float32, 1), ("ink", np.uint8, 255), ("colour", np.uint8, 255)):
        data = models / f"{name}.npy"
        done("reconstruct", models / f"{name}.safetensors", data, "-o", "out.npy")
        out, given = np.load(here / "out.npy"), np.load(data)
        assert (out.dtype, out.shape) == (dtype, given.shape)
        assert 0 <= out.min() < out.max() <= high
    assert np.load(here / "out.npy").max() > 1
    done("reconstruct", models / "bits.safetensors", models / "bits.npy", "-o", "out.npy")
    assert not set(np.unique(np.load(here / "out.npy"))) <= {0.0, 1.0}


def test_reconstructed_in_raw_units(models, here, done):
    done("reconstruct", models / "table.safetensors", models / "table.csv", "-o", "out.csv")
    out, given = (pyarrow.csv.read_csv(path) for path in (here / "out.csv", models / "table.csv"))
    assert out.column_names == given.column_names
    fitted = load(models / "table.safetensors")
    values = read(models / "table.csv", schema=fitted.schema).values
    expected = reconstructed(fitted.model, tensor_of(values)).numpy()
    np.testing.assert_allclose(np.stack([column.to_numpy() for column in out.columns], 1), expected, rtol=1e-6)


def test_sheet_of_pairs(models, here, done):
    told = json.loads(done("reconstruct", models / "digits.safetensors", "digits:test", "-o", "pairs.png", "--json"))
    assert told["rows"] == 360
    with Image.open(here / "pairs.png") as sheet:
        lines = 2 * -(-360 // 16)
        assert sheet.size == (16 * 58 + 2, lines * (58 + 16) + 2)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_codes_are_those_of_python(models, here, done, suffix):
    done("embed", models / "digits.safetensors", "digits:test", "-o", "codes" + suffix)
    reader = {".csv": pyarrow.csv.read_csv, ".parquet": pyarrow.parquet.read_table}[suffix]
    table = reader(here / ("codes" + suffix))
    assert table.column_names == ["z0", "z1", "z2", "z3", "label"]
    fitted, digits = load(models / "digits.safetensors"), read("digits:test")
    expected = codes(fitted.model, tensor_of(digits.values)).numpy()
    for place in range(4):
        np.testing.assert_allclose(table[f"z{place}"].to_numpy(), expected[:, place], rtol=1e-6)
    assert (table["label"].to_numpy() == digits.labels).all()


def test_codes_as_an_array_and_without_labels(models, here, done):
    done("embed", models / "table.safetensors", models / "table.csv", "-o", "codes.NPY")
    assert np.load(here / "codes.NPY").shape == (40, 4)
    done("embed", models / "table.safetensors", models / "table.csv", "-o", "codes.csv")
    assert pyarrow.csv.read_csv(here / "codes.csv").column_names == ["z0", "z1", "z2", "z3"]


@pytest.mark.parametrize(
    ("name", "data"), [("digits", "digits:test"), ("table", None), ("bits", None), ("colour", None)]
)
def test_decode_is_the_way_back_from_embed(models, here, done, name, data):
    model, data = models / f"{name}.safetensors", data or models / f"{name}{'.csv' if name == 'table' else '.npy'}"
    done("reconstruct", model, data, "-o", "back.npy" if name != "table" else "back.csv")
    suffix = ".npy" if name != "table" else ".csv"
    for codes_file in ("codes.npy", "codes.parquet", "codes.csv"):
        done("embed", model, data, "-o", codes_file)
        told = json.loads(done("decode", model, codes_file, "-o", f"made{suffix}", "--json"))
        assert told["file"] == f"made{suffix}"
        if suffix == ".npy":
            made, back = np.load(here / "made.npy"), np.load(here / "back.npy")
            assert (made.dtype, made.shape) == (back.dtype, back.shape)
            np.testing.assert_allclose(made.astype(float), back.astype(float), rtol=1e-5, atol=1e-5)
        else:
            made, back = (pyarrow.csv.read_csv(here / one).to_pandas() for one in ("made.csv", "back.csv"))
            np.testing.assert_allclose(made, back, rtol=1e-5)


def test_a_sheet_of_decoded_codes(models, here, done):
    np.save(here / "codes.npy", np.zeros((3, 4), np.float32))
    done("decode", models / "digits.safetensors", "codes.npy", "-o", "sheet.png")
    with Image.open(here / "sheet.png") as sheet:
        assert sheet.size == (3 * 58 + 2, 60)


def test_codes_that_are_none(models, here, refused):
    model = models / "digits.safetensors"
    np.save(here / "three.npy", np.zeros((3, 3), np.float32))
    np.save(here / "gap.npy", np.array([[0, 0, np.nan, 0]]))
    np.save(here / "many.npy", np.zeros((401, 4)))
    (here / "names.csv").write_text("z0,z1,z2,label\n1,2,3,4\n")
    refused("decode", model, "three.npy", "-o", "o.npy", says="examples of shape (3,)")
    refused("decode", model, "gap.npy", "-o", "o.npy", says="NaN")
    refused("decode", model, "names.csv", "-o", "o.npy", says="z3")
    refused("decode", model, "many.npy", "-o", "o.png", says="at most 400")
    refused("decode", model, "three.npy", "-o", "o.csv", says="written as .png or .npy")
    refused("decode", model, "nothing.npy", "-o", "o.npy", says="nothing.npy")


def test_a_code_so_far_out_that_its_example_is_no_number(models):
    model = load(models / "digits.safetensors").model
    steep = [values for name, values in model.network.named_parameters() if "decoder" in name and values.dim() > 1]
    with torch.no_grad():
        for weight in steep:
            weight.mul_(1e30)
    with pytest.raises(InputError, match="code 1 decodes to what is no number; give codes nearer"):
        examples_of(model, np.array([[0, 0, 0, 0], [1e30, -1e30, 1e30, -1e30]], np.float32))


def test_columns_find_their_places_by_name(models, here, done):
    text = (models / "table.csv").read_text().splitlines()
    turned = [",".join([*reversed(line.split(",")), "x"]) for line in text]
    (here / "turned.csv").write_text("\n".join(turned) + "\n")
    done("embed", models / "table.safetensors", models / "table.csv", "-o", "one.npy")
    done("embed", models / "table.safetensors", "turned.csv", "-o", "two.npy")
    assert (np.load(here / "one.npy") == np.load(here / "two.npy")).all()


def test_one_row_is_enough(models, here, done):
    np.save(here / "one.npy", read("digits").values[:1, 0])
    done("embed", models / "digits.safetensors", "one.npy", "-o", "codes.npy")
    done("embed", models / "digits.safetensors", "digits", "-o", "all.npy")
    np.testing.assert_allclose(np.load(here / "codes.npy"), np.load(here / "all.npy")[:1], rtol=1e-5, atol=1e-6)
    for name in ("out.npy", "out.png"):
        done("reconstruct", models / "digits.safetensors", "one.npy", "-o", name)
    assert np.load(here / "out.npy").shape == (1, 8, 8)


def test_an_existing_file_is_replaced(models, here, done):
    (here / "codes.csv").write_text("old")
    done("embed", models / "digits.safetensors", "digits", "-o", "codes.csv")
    assert pyarrow.csv.read_csv(here / "codes.csv").num_rows == 1437


def test_python_takes_the_same_functions(models, here):
    model, data = models / "digits.safetensors", "digits:test"
    assert generate(model, here / "a.npy", 3) == Written(str(here / "a.npy"), 3, [8, 8])
    assert embed(model, data, here / "b.npy").shape == [4]
    assert reconstruct(model, data, here / "c.npy").rows == 360


def test_sparse_codes(here, done, refused):
    random = np.random.default_rng(0)
    np.save("x.npy", random.standard_normal((50, 6)).astype(np.float32))
    done("train", "x.npy", "-o", "m.safetensors", "--preset", "dictionary", "--epochs", 2, "--set", "latent.size=12",
         "latent.k=2")  # fmt: skip
    fitted = load(here / "m.safetensors")
    expected = codes(fitted.model, tensor_of(read(here / "x.npy", schema=fitted.schema).values)).numpy()
    assert 0 < (expected != 0).mean() < 0.5
    told = json.loads(done("embed", "m.safetensors", "x.npy", "-o", "z.npz", "--sparse", "--json"))
    assert told == {"file": "z.npz", "rows": 50, "shape": [12], "plot": None, "shown": None}
    assert np.array_equal(scipy.sparse.load_npz(here / "z.npz").toarray(), expected)
    for suffix, reader in ((".csv", pyarrow.csv.read_csv), (".parquet", pyarrow.parquet.read_table)):
        done("embed", "m.safetensors", "x.npy", "-o", f"z{suffix}", "--sparse")
        table = reader(here / f"z{suffix}").to_pandas()
        assert list(table.columns) == ["row", "code", "value"]
        found = np.zeros_like(expected)
        found[table["row"], table["code"]] = table["value"]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    refused("embed", "m.safetensors", "x.npy", "-o", "z.npy", "--sparse", says="written as .npz")
    refused("embed", "m.safetensors", "x.npy", "-o", "y.npz", says="written as .npy")


def test_dense_codes_are_not_written_as_sparse(models, here, refused):
    refused("embed", models / "table.safetensors", models / "table.csv", "-o", "z.npz", "--sparse",
            says="codes are dense")  # fmt: skip


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("generate {}/point.safetensors -o s.png", "train preset variational"),
        (
            "generate {}/digits.safetensors -o s.csv",
            "s.csv has the suffix .csv; this output is written as .png or .npy",
        ),
        ("generate {}/digits.safetensors -o s", "(none)"),
        ("generate {}/digits.safetensors -o s.png -n 401", "must be at most 400"),
        ("generate {}/table.safetensors -o s.png", "written as .npy or .csv or .parquet"),
        ("generate {}/digits.safetensors -o folder", "folder is a folder"),
        ("generate {}/digits.safetensors -o nowhere/s.png", "there is no folder nowhere"),
        ("generate {}/digits.safetensors -o old.csv/s.png", "there is no folder old.csv"),
        ("reconstruct {}/digits.safetensors digits -o s.csv", "written as .png or .npy"),
        ("reconstruct {}/table.safetensors {}/table.csv -o s.png", "written as .npy or .csv or .parquet"),
        ("embed {}/digits.safetensors digits -o s.png", "written as .npy or .csv or .parquet"),
        ("embed {}/digits.safetensors digits -o folder", "folder is a folder"),
        ("embed {}/table.safetensors old.csv -o old.csv", "old.csv would be overwritten, and it is read here"),
        ("embed {}/table.safetensors old.csv -o s.csv", "lacks the column 'c'"),
        ("embed {}/table.safetensors nofile.csv -o old.csv", "no such file or data set: 'nofile.csv'"),
        ("embed {}/table.safetensors nan.csv -o old.csv", "NaN or infinite values in 1 cell"),
        ("embed {}/table.safetensors text.csv -o old.csv", "holds text where numbers belong"),
        ("embed {}/table.safetensors names.csv -o old.csv", "give at least one example"),
        ("embed {}/digits.safetensors {}/colour.npy -o old.csv", "examples of shape (6, 5, 3)"),
        ("reconstruct {}/digits.safetensors {}/table.csv -o s.npy", "examples of shape (3,)"),
        ("reconstruct {}/colour.safetensors digits -o s.npy", "examples of shape (8, 8)"),
        ("reconstruct {}/colour.safetensors one-channel.npy -o s.npy", "(images 3x6x5 (channels x height x width)"),
        ("reconstruct {}/bits.safetensors grey.npy -o s.npy", "binary values 0 and 1"),
        ("reconstruct {}/ink.safetensors grey.npy -o s.npy", "binary values 0 and 255"),
        ("reconstruct {}/digits.safetensors large.npy -o s.npy", "17 levels from 0 to 16"),
    ],
)
def test_refused_use(models, here, refused, line, says):
    (here / "folder").mkdir()
    (here / "old.csv").write_text("a,b\n1,2\n3,4\n")
    (here / "nan.csv").write_text("a,b,c\n1,2,3\nnan,4,5\n")
    (here / "text.csv").write_text("a,b,c\n1,2,3\nfoo,4,5\n")
    (here / "names.csv").write_text("a,b,c\n")
    np.save(here / "grey.npy", np.full((2, 6, 6), 7, np.uint8))
    np.save(here / "one-channel.npy", np.zeros((2, 6, 5), np.uint8))
    np.save(here / "large.npy", np.full((2, 8, 8), 17, np.uint8))
    refused(*line.replace("{}", str(models)).split(), says=says)


@contextmanager
def no_file_larger_than(size):
    """What a full disk does: writing fails in the midst of a file."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "line",
    [
        "embed {}/digits.safetensors digits -o old.npy",
        "embed {}/digits.safetensors digits -o old.csv",
        "embed {}/digits.safetensors digits -o old.parquet",
        "generate {}/digits.safetensors -o old.png --draw",
        "train digits -o old.safetensors --epochs 1 --set network=mlp network.width=8",
        "train digits -o new.safetensors --epochs 1 --set network=mlp network.width=8",
    ],
)
def test_disk_full_in_the_midst_of_a_file(models, here, refused, line):
    words = line.replace("{}", str(models)).split()
    for suffix in ("npy", "csv", "parquet", "png", "safetensors"):
        (here / f"old.{suffix}").write_text("kept")
    with no_file_larger_than(2000):
        said = refused(*words, says=f"could not read or write {words[words.index('-o') + 1]}: ")
    assert "nothing was left half-written" in said
