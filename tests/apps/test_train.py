"""The verb train: what it writes and says, and the data, settings and places that it refuses."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from narrows import load

SMALL = ["--epochs", "1", "--set", "network=mlp", "network.width=8", "latent.size=2"]


def rows(n=30, columns=3):
    return np.random.default_rng(n).normal(size=(n, columns))


def write_csv(path, values, names="abcdefgh"):
    lines = [",".join(names[: values.shape[1]]), *(",".join(f"{cell:.6g}" for cell in row) for row in values)]
    path.write_text("\n".join(lines) + "\n")


def test_trained_model_and_its_record(here, done):
    write_csv(here / "d.csv", rows())
    told = json.loads(done("train", "d.csv", "-o", "m.safetensors", "--preset", "variational", "--json", *SMALL))
    assert told["model"] == "m.safetensors"
    assert told["preset"] == "variational"
    assert told["parts"] == "mlp, gaussian, gaussian, none, elbo, pathwise"
    assert (told["rows"], told["held_out"], told["epochs"], told["steps"]) == (30, 3, 1.0, 1)
    assert told["held_out_nats"] > 0
    fitted = load(here / "m.safetensors")
    assert fitted.schema.names == ("a", "b", "c")
    assert told["parameters"] == sum(tensor.numel() for tensor in fitted.model.parameters())
    assert fitted.record["steps"] == 1


def test_what_a_person_reads(here, done):
    write_csv(here / "d.csv", rows())
    lines = done("train", "d.csv", "-o", "m.safetensors", *SMALL).splitlines()
    told = dict(line.split("  ", 1) for line in lines if not line.startswith(" "))
    assert told["data"].strip().startswith("vectors of 3 columns, real values from ")
    assert told["model"].strip() == "m.safetensors"
    assert not any(line != line.rstrip() for line in lines)


@pytest.mark.parametrize("name", ["d.csv", "d.npy", "d.npz", "d.parquet"])
def test_kinds_of_files(here, done, name):
    import pyarrow as pa
    from pyarrow import parquet

    values = rows()
    write_csv(here / "d.csv", values)
    np.save(here / "d.npy", values)
    np.savez(here / "d.npz", x=values, y=np.arange(30))
    parquet.write_table(pa.table({name: values[:, i] for i, name in enumerate("abc")}), here / "d.parquet")
    told = json.loads(done("train", name, "-o", "m.safetensors", "--json", *SMALL))
    assert told["data"].startswith("vectors of 3 columns, real values")
    assert load(here / "m.safetensors").schema.shape == (3,)


def test_folder_of_images(here, done):
    (here / "photos").mkdir()
    for place in range(6):
        cells = np.random.default_rng(place).integers(0, 256, (7, 5, 3), dtype=np.uint8)
        Image.fromarray(cells).save(here / "photos" / f"{place}.png")
    told = json.loads(done("train", "photos", "-o", "m.safetensors", "--json", *SMALL))
    assert told["data"].startswith("images 3x7x5")


def test_labels_and_ignored_columns_are_kept_from_the_model(here, done):
    write_csv(here / "d.csv", rows(columns=4))
    done("train", "d.csv", "-o", "m.safetensors", "--label", "d", "--ignore", "a", *SMALL)
    assert load(here / "m.safetensors").schema.names == ("b", "c")


def test_constant_columns_are_left_out_with_a_note(here, done):
    values = rows(columns=4)
    values[:, 1:3] = 7
    write_csv(here / "d.csv", values)
    told = json.loads(done("train", "d.csv", "-o", "m.safetensors", "--json", *SMALL))
    assert told["notes"] == ["columns 'b', 'c' never change and were left out"]
    assert load(here / "m.safetensors").schema.names == ("a", "d")


def test_kind_of_values_and_binarising(here, done):
    np.save(here / "counts.npy", np.random.default_rng(0).poisson(3.0, (20, 4)))
    done("train", "counts.npy", "-o", "m.safetensors", "--values", "counts", *SMALL)
    assert load(here / "m.safetensors").model.likelihood.kind == "poisson"
    told = json.loads(done("train", "digits", "-o", "b.safetensors", "--binarize", "threshold", "--json", *SMALL))
    assert "bernoulli" in told["parts"]


def test_same_seed_same_file_but_for_the_clock(here, done):
    write_csv(here / "d.csv", rows())
    words = ["--preset", "variational", *SMALL]
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        done("train", "d.csv", "-o", f"{name}.safetensors", "--seed", seed, *words)
    a, b, c = (load(here / f"{name}.safetensors").model.state_dict() for name in "abc")
    assert all(a[name].equal(b[name]) for name in a)
    assert not all(a[name].equal(c[name]) for name in a)


def test_log_and_checkpoint(here, done):
    write_csv(here / "d.csv", rows())
    words = ["--epochs", "3", "--log", "log.jsonl", "--checkpoint", "kept", *SMALL[2:]]
    done("train", "d.csv", "-o", "m.safetensors", *words)
    lines = [json.loads(line) for line in (here / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["share"] == 1.0
    assert lines[-1]["training"]["nats"] > 0
    assert [path.name for path in (here / "kept").iterdir()] == ["checkpoint.safetensors"]
    done("train", "d.csv", "-o", "again.safetensors", *words, "--resume")
    one, two = (load(here / name).model.state_dict() for name in ("m.safetensors", "again.safetensors"))
    assert all(one[name].equal(two[name]) for name in one)


@pytest.mark.parametrize(
    "words",
    [
        "--batch-size full --optimizer sgd --momentum 0.5 --schedule constant",
        "--batch-size 1 --online --optimizer sgd --rate 0.001",
        "--rate auto --optimizer adamw --schedule plateau --average 0.9",
        "--precision float32 --validation 0 --device cpu --patience 1",
        "--preset sparse --set latent=l1 latent.weight=0.5 network=mlp network.residual=true",
        "--preset denoising --set corruption=mask corruption.rate=0.1",
    ],
)
def test_options(here, done, words):
    write_csv(here / "d.csv", rows())
    told = json.loads(done("train", "d.csv", "-o", "m.safetensors", "--epochs", "2", "--json", *words.split()))
    assert told["epochs"] == 2
    assert np.isfinite(told["training_nats"])


def test_time_allowed_is_kept_to(here, done):
    told = json.loads(done("train", "digits", "-o", "m.safetensors", "--minutes", "0.005", "--json", *SMALL[2:]))
    assert 0.3 <= told["seconds"] < 3
    assert told["steps"] > 0


# --- refused ---------------------------------------------------------------------------------------------------------

BAD_TEXT = {
    "empty": ("", "is empty"),
    "only_names": ("a,b\n", "give at least one example"),
    "one_row": ("a,b\n1,2\n", "training needs at least 2"),
    "all_rows_equal": ("a,b\n" + "1,2\n" * 9, "every row of the data is the same"),
    "infinite": ("a,b\n1,2\n3,inf\n4,5\n", "row 1, column 'b'"),
    "infinite_among_gaps": ("a,b\n1,2\n,inf\n4,5\n2,1\n", "holds inf in row 1"),
    "bytes": (b"a,b\n1,2\n2,\xff\n", "column 'b' has"),
    "ragged": ("a,b\n1,2\n1,2,3\n", "Expected 2 columns, got 3"),
    "two_columns_of_one_name": ("a,a\n1,2\n3,4\n", "two columns named 'a'"),
    "numbers_for_names": ("1.5,2\n3,4\n5,6\n", "--no-header"),
}


@pytest.mark.parametrize("kind", BAD_TEXT)
def test_bad_tables(here, refused, kind):
    text, says = BAD_TEXT[kind]
    (here / "d.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    refused("train", "d.csv", "-o", "m.safetensors", says=says)


BAD_ARRAYS = {
    "no_rows": (np.zeros((0, 4)), "give at least one example"),
    "one_row": (np.ones((1, 4)), "training needs at least 2"),
    "all_rows_equal": (np.ones((5, 4)), "every row of the data is the same"),
    "nan": (np.array([[1, np.nan], [2, 3]]), "row 0, column 1"),
    "infinite": (np.array([[1, 2], [-np.inf, 3]]), "row 1, column 0"),
    "text": (np.array([["a", "b"], ["c", "d"]]), "text such as 'a' where numbers belong"),
    "one_axis": (np.arange(5.0), "has the shape (5,)"),
    "five_axes": (np.zeros((2, 2, 2, 2, 2)), "examples of shape (2, 2, 2, 2)"),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_bad_arrays(here, refused, kind):
    values, says = BAD_ARRAYS[kind]
    np.save(here / "d.npy", values)
    refused("train", "d.npy", "-o", "m.safetensors", says=says)


@pytest.mark.parametrize("name", ["d.npy", "d.npz", "d.parquet", "d.zip", "d.png", "d.csv.gz", "d-idx3-ubyte", "d.foo"])
def test_damaged_and_foreign_files(here, refused, name):
    (here / name).write_bytes(bytes(range(256)) * 3)
    refused("train", name, "-o", "m.safetensors", says="d")


def test_bad_folders_of_images(here, refused):
    (here / "photos").mkdir()
    refused("train", "photos", "-o", "m.safetensors", says="holds no images")
    Image.new("L", (8, 8)).save(here / "photos" / "a.png")
    Image.new("L", (9, 8)).save(here / "photos" / "b.png")
    refused("train", "photos", "-o", "m.safetensors", says="differ")
    (here / "photos" / "b.png").write_bytes((here / "photos" / "a.png").read_bytes()[:40])
    refused("train", "photos", "-o", "m.safetensors", says="cannot be read as an image")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("nofile.csv", "no such file or data set: 'nofile.csv'"),
        ("d.cvs", "did you mean 'd.csv'?"),
        ("digist", "did you mean 'digits'?"),
        ("digits:tset", "has no split 'tset'"),
        ("d.npz:q", "has no array 'q'"),
        ("d.csv --label q", "has no column 'q'"),
        ("d.csv --ignore q", "has no column 'q'"),
        ("d.csv --key q", "key names an array of an .npz file"),
        ("d.csv --no-header", "seems to hold names"),
        ("d.csv --set network=conv", "take network=mlp"),
        ("d.csv --set likelihood=bernoulli", "scores binary data"),
        ("d.csv --set likelihood=poisson", "scores counts"),
        ("d.csv --values binary", "take --values reals"),
        ("d.csv --binarize draw", "only levels can be binarised"),
        (f"d.csv --set network.width={10**15}", "do not fit into memory"),
        (f"d.csv --set network.width={10**18}", "do not fit into memory"),
        (f"d.csv --set latent.size={10**30}", "do not fit into memory"),
    ],
)
def test_refused_data_and_settings(here, refused, words, says):
    write_csv(here / "d.csv", rows())
    np.savez(here / "d.npz", x=rows())
    refused("train", *words.split(), "-o", "m.safetensors", says=says)


def test_no_data_named(refused):
    refused("train", "", "-o", "m.safetensors", says="no such file or data set: ''")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("folder", "folder is a folder; give the name of a file to write"),
        ("nowhere/m.safetensors", "there is no folder nowhere"),
        ("d.csv/m.safetensors", "there is no folder d.csv"),
        ("d.csv", "d.csv would be overwritten, and it is read here"),
        ("link.csv", "link.csv would be overwritten, and it is read here"),
        (os.devnull, "is a device or a pipe"),
    ],
)
def test_refused_places(here, refused, target, says):
    write_csv(here / "d.csv", rows())
    (here / "folder").mkdir()
    (here / "link.csv").symlink_to("d.csv")
    refused("train", "d.csv", "-o", target, says=says)
    refused("train", "d.csv", "-o", "m.safetensors", "--log", target, says=says)
    assert not Path(os.devnull).is_file()


def test_checkpoint_in_a_file(here, refused):
    write_csv(here / "d.csv", rows())
    words = ["train", "d.csv", "-o", "m.safetensors", "--checkpoint", "d.csv"]
    refused(*words, says="d.csv is a file; give --checkpoint a folder")


def test_checkpoint_of_another_run(here, done, refused):
    write_csv(here / "d.csv", rows())
    words = ["train", "d.csv", "-o", "m.safetensors", "--checkpoint", "kept", *SMALL]
    done(*words)
    refused(*words, "--seed", "5", "--resume", says="was made with other seed")
    (here / "kept" / "checkpoint.safetensors").write_bytes(b"torn")
    refused(*words, "--resume", says="is not a narrows checkpoint file, or was cut short")
