"""Rows as arrays and tables on disk, and the type that they are written in."""

from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from narrows import InputError, Schema, read
from narrows.data.schema import Column, mixed_schema
from narrows.data.writers import check_suffix, in_stored_type, write_columns, write_table

BYTES = Schema((2,), 0.0, 255.0, 1.0)


@pytest.mark.parametrize(
    ("schema", "given", "expected"),
    [
        (BYTES, [-3.0, 254.6], np.array([0, 255], np.uint8)),
        (BYTES, [0.4, 300.0], np.array([0, 255], np.uint8)),
        (Schema((2,), 0.0, 16.0, 1.0), [3.4, 16.2], np.array([3, 16], np.uint8)),
        (Schema((2,), 0.0, 255.0, 255.0), [3.4, 250.9], np.array([3, 251], np.uint8)),
        (Schema((2,), 0.0, 1.0, 1.0), [0.25, 0.75], np.array([0.25, 0.75], np.float32)),
        (Schema((2,), 3.0, 7.0, 4.0), [3.5, 6.5], np.array([3.5, 6.5], np.float32)),
        (Schema((2,), -3.0, 7.0, 1.0), [-2.6, 6.5], np.array([-2.6, 6.5], np.float32)),
        (Schema((2,), 0.0, 999.0, 1.0), [2.6, 600.5], np.array([2.6, 600.5], np.float32)),
        (Schema((2,), 0.0, float("inf"), 1.0), [2.6, 600.5], np.array([2.6, 600.5], np.float32)),
        (Schema((2,), 0.0, 255.0), [2.6, 200.5], np.array([2.6, 200.5], np.float32)),
    ],
)
def test_stored_type(schema, given, expected):
    made = in_stored_type(np.array(given, np.float64), schema)
    assert made.dtype == expected.dtype
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables(here, suffix):
    values = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    path = here / f"t{suffix}"
    write_columns(values, ["a", 'odd, "name"'], path, {"label": np.array(["x", "y", "é", "", "x"])})
    reader = {".csv": pyarrow.csv.read_csv, ".parquet": pyarrow.parquet.read_table}[suffix]
    table = reader(path)
    assert table.column_names == ["a", 'odd, "name"', "label"]
    assert table["label"].to_pylist() == ["x", "y", "é", "", "x"]
    again = read(path, label="label")
    np.testing.assert_array_equal(again.values, values)
    assert [file.name for file in here.iterdir()] == [path.name]


def test_array(here):
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    write_columns(values[:, ::-1], ["a", "b"], here / "t.NPY", {"label": np.zeros(3)})
    made = np.load(here / "t.NPY")
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, values[:, ::-1])


def test_suffixes():
    assert check_suffix(Path("a.b.PNG"), (".png", ".npy")) == ".png"
    for name in ("a", "a.", "a.png.gz", ".npy"):
        with pytest.raises(InputError, match=r"this output is written as \.png or \.npy"):
            check_suffix(Path(name), (".png", ".npy"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_nothing_is_left_when_writing_fails(here, suffix, monkeypatch):
    path = here / f"t{suffix}"
    path.write_text("old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_columns(np.ones((3, 2)), ["a", "b"], path)
    assert [file.name for file in here.iterdir()] == [path.name]
    assert path.read_text() == "old"


MIXED = mixed_schema(
    (
        Column("n", "numeric"),
        Column("k", "category", ("u", 'odd, "v"', "w")),
        Column("b", "binary", ("0", "2.5")),
        Column("i", "binary", ("1", "2")),
        Column("y", "binary", ("false", "true")),
    )
)
NAN = np.nan


@pytest.mark.parametrize(
    ("suffix", "reader"),
    [
        (".csv", pyarrow.csv.read_csv),
        (".parquet", pyarrow.parquet.read_table),
        (".arrow", lambda path: pyarrow.ipc.open_file(path).read_all()),
    ],
)
def test_mixed_tables(here, suffix, reader):
    values = np.array([[0.1, 0, 1, 0, 1], [NAN, 1, 0, 1, 0], [1e7, 3, NAN, 2, NAN], [-2, NAN, 1, 0, 1]], np.float32)
    path = here / f"t{suffix}"
    write_table(values, MIXED, path, {"score": np.array([1.5, 2, 3, 4])})
    told = reader(path).to_pydict()
    assert told["n"] == pytest.approx([0.1, None, 1e7, -2])
    assert told["k"] == ["u", 'odd, "v"', *(["", ""] if suffix == ".csv" else [None, None])]
    assert told["b"] == [2.5, 0, None, 2.5]
    assert told["i"] == [1, 2, None, 1]
    assert told["y"] == [True, False, None, True]
    assert told["score"] == [1.5, 2, 3, 4]
    assert [file.name for file in here.iterdir()] == [path.name]


def test_numbers_are_written_as_short_as_they_were_read(here):
    schema = mixed_schema((Column("n", "numeric"), Column("big", "numeric")))
    write_table(np.array([[0.1, 2**24 + 1], [3, 5]]), schema, here / "t.csv")
    assert (here / "t.csv").read_text() == '"n","big"\n0.1,16777217\n3,5\n'


def test_a_mixed_table_is_no_array(here):
    with pytest.raises(InputError, match=r"written as \.csv or \.parquet or \.arrow"):
        write_table(np.zeros((2, 5)), MIXED, here / "t.npy")
