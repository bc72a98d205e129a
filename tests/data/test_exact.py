"""Tables read as they are written, as symbols of a model's columns, and written again: CSV, Parquet and Arrow."""

import datetime
import gzip
import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv, parquet

from narrows.data import exact, verbatim
from narrows.data.frames import Form, open_frames
from narrows.data.readers import read
from narrows.data.request import Request
from narrows.data.schema import Schema
from narrows.data.sinks import sink
from narrows.data.verbatim import restored, texts_of, type_named
from narrows.errors import InputError

TEXT = 'a,b,c\n1,x,0.50\n2,"",1.25\n,"q,""u""\n2",NA\n007, y ,1.50\n-3,x,\n1,x,0.50\n1,x,1.00\n'
DAY = datetime.datetime(2020, 2, 29, 1, 2, 3, 456789, tzinfo=datetime.UTC)
TYPED = {
    "int": pa.array([1, -(2**63), None], pa.int64()),
    "unsigned": pa.array([2**64 - 1, 0, 5], pa.uint64()),
    "double": pa.array([0.1, -0.0, float("nan")]),
    "single": pa.array([0.1, 1e-30, float("inf")], pa.float32()),
    "bool": pa.array([True, None, False]),
    "text": pa.array(["", None, "é"]),
    "large": pa.array(["a", "b", "a"], pa.large_string()),
    "moment": pa.array([DAY, None, DAY], pa.timestamp("us", "Europe/Berlin")),
    "local": pa.array([1, 2, None], pa.timestamp("ns")),
    "day": pa.array([DAY.date(), None, DAY.date()]),
    "time": pa.array([1, 2, 3], pa.time64("us")),
    "span": pa.array([1, -2, None], pa.duration("ms")),
    "money": pa.array([Decimal("1.50"), Decimal("-0.05"), None]),
    "nothing": pa.nulls(3),
}


def trained(*sources, **options) -> Schema:
    """The schema of a model that was trained on a table."""
    return read(*sources, symbols=True, **options).schema


def back(data, schema, output, cells=10**6, **options):
    """Through frames into another file; return the frames."""
    frames = open_frames(str(data), Request(schema=schema, **options), cells)
    form = Form.from_json(json.loads(json.dumps(frames.form.to_json())))
    with sink(output, form, schema) as out:
        for block in frames:
            assert block.values.dtype == np.uint8
            out.add(block.values, None, block.rest)
    return frames


def as_texts(path):
    """What another reader makes of a CSV file: texts, and None where nothing stands."""
    options = csv.ConvertOptions(strings_can_be_null=True, null_values=[""], quoted_strings_can_be_null=False)
    options.column_types = dict.fromkeys(path.read_text("utf-8").partition("\n")[0].split(","), pa.string())
    return csv.read_csv(path, parse_options=csv.ParseOptions(newlines_in_values=True), convert_options=options)


@pytest.mark.parametrize("cells", [1, 7, 10**6])
def test_a_file_of_text_comes_back_as_it_was(here, cells):
    (here / "t.csv").write_text(TEXT)
    frames = back(here / "t.csv", trained("t.csv"), here / "back.csv", cells)
    assert len(frames) == 7
    assert (here / "back.csv").read_text() == TEXT
    assert frames.schema.names is None  # names stand in the form, in the order of the file


def test_a_model_of_another_table_serves_too(here):
    (here / "t.csv").write_text(TEXT)
    (here / "other.csv").write_text("c,a,b\n5,u,1e3\n6,v,2.123\n5,u,1e3\n")
    back(here / "t.csv", trained("other.csv"), here / "back.csv")
    assert (here / "back.csv").read_text() == TEXT


def test_separators_quotes_and_line_ends_are_made_alike(here):
    (here / "t.csv").write_bytes(b'\xef\xbb\xbfa;b\r\n"1";"x"\r\n2;y,z\r\n')
    with gzip.open(here / "t.csv.gz", "wb") as file:
        file.write((here / "t.csv").read_bytes())
    schema = trained("t.csv")
    for name in ("t.csv", "t.csv.gz"):
        back(here / name, schema, here / "back.csv")
        assert (here / "back.csv").read_bytes() == b'a,b\n1,x\n2,"y,z"\n'


def test_files_without_names_and_without_rows(here):
    (here / "t.csv").write_text("1,x\n2,y\n")
    schema = trained("t.csv", header=False)
    back(here / "t.csv", schema, here / "back.csv", header=False)
    assert (here / "back.csv").read_text() == "1,x\n2,y\n"
    (here / "none.csv").write_text("c1,c0\n")
    assert len(back(here / "none.csv", schema, here / "back.csv")) == 0
    assert (here / "back.csv").read_text() == "c1,c0\n"
    parquet.write_table(pa.table({"c0": pa.array([], pa.int8()), "c1": pa.array([], pa.string())}), "none.parquet")
    back(here / "none.parquet", schema, here / "back.parquet")
    assert parquet.read_table("back.parquet").schema.types == [pa.int8(), pa.string()]


def test_a_single_column_keeps_its_gaps(here):
    (here / "t.csv").write_text('a\n1\n\n""\n1\n')
    frames = back(here / "t.csv", trained("t.csv"), here / "back.csv")
    assert len(frames) == 4
    assert (here / "back.csv").read_text() == 'a\n1\n\n""\n1\n'


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_cells_of_every_type_come_back(here, suffix):
    table = pa.table(TYPED)
    parquet.write_table(table, "t.parquet")
    table = parquet.read_table("t.parquet")  # it has no seconds among times, for one
    back(here / "t.parquet", trained("t.parquet"), here / f"back.{suffix}", cells=20)
    again = parquet.read_table("back.parquet") if suffix == "parquet" else pa.ipc.open_file("back.arrow").read_all()
    assert again.schema.types == table.schema.types
    for name in table.column_names:
        assert again[name].cast(pa.string()).equals(table[name].cast(pa.string()))
        assert name == "double" or again[name].equals(table[name])
    assert np.signbit(again["double"][1].as_py())


def test_a_dictionary_comes_back_as_its_values(here):
    parquet.write_table(pa.table({"a": pa.array(["x", "y", None, "x"]).dictionary_encode()}), "t.parquet")
    back(here / "t.parquet", trained("t.parquet"), here / "back.parquet")
    assert parquet.read_table("back.parquet")["a"].to_pylist() == ["x", "y", None, "x"]


@given(data=st.data())
@settings(max_examples=25)
def test_a_type_is_known_by_its_name(data):
    more = [pa.array([Decimal("1.2e40"), None], pa.decimal256(40, -3)), pa.array([1.5, None], pa.float16())]
    own = data.draw(st.sampled_from([*TYPED.values(), *more]))
    assert type_named(str(own.type)) == own.type
    cells = pa.chunked_array([own])
    again = restored(texts_of(cells, "a").chunk(0), own.type)
    assert again.type == own.type
    assert again.cast(pa.string()).equals(own.cast(pa.string()))  # a cell that is not a number equals no other


def test_a_column_that_looks_whole_at_first_and_is_not_later(here, monkeypatch):
    monkeypatch.setattr(verbatim, "_BLOCK", 64)
    (here / "t.csv").write_text("n,g\n" + "1,\n" * 40 + "x,7\n")
    back(here / "t.csv", trained("t.csv"), here / "back.csv")
    assert (here / "back.csv").read_text() == (here / "t.csv").read_text()


def test_a_single_column_may_have_lines_without_anything_but_not_for_its_name(here):
    (here / "t.csv").write_text("a\n\n1\n\n2\n")
    back(here / "t.csv", trained("t.csv"), here / "back.csv")
    assert (here / "back.csv").read_text() == (here / "t.csv").read_text()
    (here / "t.csv").write_text("\na\n1\n2\n")
    back(here / "t.csv", trained("t.csv"), here / "back.csv")
    assert (here / "back.csv").read_text() == '""\na\n1\n2\n'  # the line without anything is the name


def test_text_that_is_none_is_refused_in_every_format(here):
    offsets, cells = np.array([0, 1, 3], np.int32), b"a\xff\xe9"
    bad = pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(offsets), pa.py_buffer(cells)])
    parquet.write_table(pa.table({"a": bad}), "t.parquet")
    with pytest.raises(InputError, match="no text gives back"):
        trained("t.parquet")


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([10**15], pa.timestamp("s")),
        pa.array([2**31 - 1], pa.int32()).cast(pa.date32()),
        pa.array([0], pa.timestamp("us", "Nowhere/Here")),
    ],
)
def test_times_that_have_no_text_are_kept_in_parquet_and_refused_in_csv(here, cells):
    parquet.write_table(pa.table({"t": cells, "n": [1]}), "t.parquet")
    cells = parquet.read_table("t.parquet")["t"].combine_chunks()  # Parquet has no seconds
    schema = trained("t.parquet")
    back(here / "t.parquet", schema, here / "back.parquet")
    assert parquet.read_table("back.parquet")["t"].combine_chunks().equals(cells)
    with pytest.raises(InputError, match=r"write \.parquet"):
        back(here / "t.parquet", schema, here / "back.csv")


@pytest.mark.parametrize("name", ["list<item: int64>", "timestamp[us, tz=", "decimal128(99, 1)", "x", "", "binary[3]"])
def test_names_of_no_type_are_refused(name):
    with pytest.raises(InputError):
        type_named(name)


def test_a_row_that_does_not_fit_into_a_chunk_halves_it_or_is_refused(here, monkeypatch):
    (here / "t.csv").write_text("a,b\n1,x\n2,y\n")
    schema = trained("t.csv")
    (here / "long.csv").write_text("a,b\n" + "".join(f"{place},{'z' * 40}{place}\n" for place in range(10)))
    monkeypatch.setattr(exact, "MAX_NOTES", 120)
    frames = back(here / "long.csv", schema, here / "back.csv")
    assert len(list(frames)) > 3
    assert (here / "back.csv").read_text() == (here / "long.csv").read_text()
    monkeypatch.setattr(exact, "MAX_NOTES", 20)
    with pytest.raises(InputError, match="fit into a chunk"):
        list(open_frames("long.csv", Request(schema=schema)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b,c,d\n1,2,3,4\n", "has the column 'd', which the model was not trained on and which would be lost"),
        ("a,b\n1,2\n", "lacks the column 'c'"),
        ("a,b,a\n1,2,3\n", "two columns named 'a'"),
        ("a,b,c\n1,2\n", "Expected 3 columns"),
    ],
)
def test_tables_of_other_columns_are_refused(here, text, says):
    (here / "t.csv").write_text(TEXT)
    schema = trained("t.csv")
    (here / "u.csv").write_text(text)
    with pytest.raises(InputError, match=says):
        open_frames("u.csv", Request(schema=schema))


def test_columns_are_left_out_by_name(here):
    (here / "t.csv").write_text(TEXT)
    frames = back(here / "t.csv", trained("t.csv", ignore=["b"]), here / "back.csv", ignore=("b",))
    assert len(frames.notes) == 1
    assert frames.notes[0].endswith("was left out")
    assert as_texts(here / "back.csv").column_names == ["a", "c"]
    with pytest.raises(InputError, match="no column 'z'"):
        trained("t.csv", ignore=["z"])


def test_what_is_no_table_is_refused(here):
    np.save("x.npy", np.zeros((3, 2), np.uint8))
    with pytest.raises(InputError, match="is no table of columns"):
        trained("x.npy")
    with pytest.raises(InputError, match="is no table of columns"):
        trained("digits")
    parquet.write_table(pa.table({"a": [[1], [2]]}), "t.parquet")
    with pytest.raises(InputError, match="which no text gives back"):
        trained("t.parquet")
    (here / "t.csv").write_text(TEXT)
    with pytest.raises(InputError, match="kinds of columns were given"):
        trained("t.csv", kinds={"a": "numeric"})


def test_a_frame_is_read_as_a_file_is(here):
    parquet.write_table(pa.table(TYPED), "t.parquet")
    table = parquet.read_table("t.parquet")
    assert read(table, symbols=True).schema == trained("t.parquet")
