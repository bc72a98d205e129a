import gzip
import io
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyarrow import csv, feather, parquet

from narrows.data import limits, read
from narrows.data.schema import Column
from narrows.errors import InputError

TABLE = pa.table({"a": [1.0, 2.5, 3.0], "b": [4, 5, 6], "t": ["x", "y", "x"]})


def refusal(source: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(path: Path, table: pa.Table) -> Path:
    stream = io.BytesIO()
    if ".csv" in path.name:
        csv.write_csv(table, stream)
    elif ".tsv" in path.name:
        csv.write_csv(table, stream, csv.WriteOptions(delimiter="\t"))
    elif path.suffix == ".parquet":
        parquet.write_table(table, stream)
    elif path.suffix == ".feather":
        feather.write_feather(table, stream)
    else:
        with (pa.ipc.new_stream if path.suffix == ".arrows" else pa.ipc.new_file)(stream, table.schema) as writer:
            writer.write_table(table)
    path.write_bytes(gzip.compress(stream.getvalue()) if path.suffix == ".gz" else stream.getvalue())
    return path


FILES = ["t.csv", "t.csv.gz", "t.tsv", "t.tsv.gz", "t.parquet", "t.feather", "t.arrow", "t.arrows", "t.ipc"]


@pytest.mark.parametrize("name", FILES)
def test_tables(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, TABLE)
    data = read(path, label="t")
    assert data.values.dtype == np.float32
    assert data.values.tolist() == [[1, 4], [2.5, 5], [3, 6]]
    assert data.schema.names == ("a", "b")
    assert data.labels.tolist() == ["x", "y", "x"]
    assert read(path, label="b", ignore=["t"]).labels.tolist() == [4, 5, 6]
    mixed = read(path)
    assert mixed.values.tolist() == [[1, 4, 0], [2.5, 5, 1], [3, 6, 0]]
    assert mixed.schema.columns == (Column("a", "numeric"), Column("b", "numeric"), Column("t", "binary", ("x", "y")))
    message = refusal(path, schema=read(path, ignore=["b", "t"]).schema, label="b", ignore=["a"])
    assert "lacks the column 'a'" in message


@pytest.mark.parametrize("name", FILES)
def test_damaged_tables(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"")
    assert refusal(path)
    whole = write(path, TABLE.select(["a", "t", "b"])).read_bytes()
    # Half of a text may be a shorter table; one that lacks its last cell is none.
    path.write_bytes(whole[: {".gz": -5, ".csv": -3, ".tsv": -3}.get(path.suffix, len(whole) // 2)])
    assert name in refusal(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n and more")
    assert refusal(path)


@pytest.mark.parametrize("frame", [TABLE, TABLE.to_pandas(), pl.from_arrow(TABLE), TABLE.to_pandas().iloc[[0, 1, 2]]])
def test_frames(frame: object) -> None:
    data = read(frame, label="t")
    assert data.values.tolist() == [[1, 4], [2.5, 5], [3, 6]]
    assert data.labels.tolist() == ["x", "y", "x"]
    assert read(frame, ignore="t").schema.names == ("a", "b")


def test_an_index_is_no_column(tmp_path: Path) -> None:
    frame = TABLE.to_pandas()
    assert read(frame[frame.b > 4], label="t").schema.names == ("a", "b")
    frame.set_index("t").to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").schema.names == ("a", "b")
    assert read(tmp_path / "t.parquet", label="t").labels.tolist() == ["x", "y", "x"]


def test_unknown_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", pa.table({"age": [1], "height": [2]}))
    assert "has no column 'hieght'; its columns are 'age', 'height'; did you mean 'height'?" in refusal(
        path, label="hieght"
    )
    assert "has no column 'aeg'" in refusal(path, ignore=["aeg"])
    assert "no column left" in refusal(path, ignore=["age"], label="height")


def text(tmp_path: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_files_without_a_header(tmp_path: Path) -> None:
    path = text(tmp_path, "1,2\n3,4\n")
    data = read(path, header=False)
    assert data.values.tolist() == [[1, 2], [3, 4]]
    assert data.schema.names == ("c0", "c1")
    assert read(path, header=False, label="c1").labels.tolist() == [2, 4]
    message = refusal(text(tmp_path, "1.5,2\n3,4\n"))
    assert "the first line" in message
    assert "holds numbers such as '1.5' where names belong" in message
    assert "--no-header" in message
    assert "--no-header" in refusal(text(tmp_path, "1,1\n3,4\n"))
    assert read(text(tmp_path, "0,1,2\n5,6,7\n")).values.tolist() == [[5, 6, 7]]


def test_other_separators(tmp_path: Path) -> None:
    for content, name in (("a;b\n1;2\n", "t.csv"), ("a\tb\n1\t2\n", "t.txt"), ("\ufeffa,b\r\n1,2\r\n", "t.CSV")):
        data = read(text(tmp_path, content, name))
        assert data.schema.names == ("a", "b")
        assert data.values.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["is empty"]),
        ("\n \n", ["is empty"]),
        ("a,b\n", ["at least one example"]),
        ("a,b\n1,2\n3\n", ["Row #3: Expected 2 columns, got 1"]),
        ("a,b\n1,2\n3,4,5\n", ["Row #3: Expected 2 columns, got 3"]),
        ("a,b\n1,nan\n3,inf\n2,1\n4,2\n", ["holds inf in row 1", "numeric column 'b'"]),
        ("a,b\n1,5\n3,inf\n", ["1 cell", "row 1, column 'b'"]),
        ("a,b\n2020-01-01,\n2020-01-02,\n", ["no column left", "'a' holds dates or times", "'b' is empty"]),
        ("0,tcp,1\n0,tcp,2\n1,udp,3\n", ["holds numbers such as '0' where names belong", "--no-header"]),
        ("a,a\n1,2\n", ["two columns named 'a'"]),
        (b"a,b\n1,\xff\n", ["column 'b'"]),
        (b"a,\xff\n1,2\n", ["UTF-8"]),
        ("a,b\n1,2\n".encode("utf-16"), ["t.csv"]),
    ],
)
def test_bad_text(tmp_path: Path, content: str | bytes, words: list[str]) -> None:
    message = refusal(text(tmp_path, content))
    for word in (*words, "t.csv"):
        assert word in message


def test_odd_but_good_columns(tmp_path: Path) -> None:
    data = read(text(tmp_path, "a,b,c\n5,7,1e3\n4,7,-.5\n"))
    assert data.values.tolist() == [[5, 1000], [4, -0.5]]
    assert data.notes == ("column 'b' never changes and was left out",)
    table = pa.table(
        {
            "decimal": pa.array(["1.25", "2.50"]).cast(pa.decimal128(5, 2)),
            "category": pa.array([3, 4]).dictionary_encode(),
            "large": pa.array([2**60, 1]),
            "half": pa.array([0.5, 1.5]).cast(pa.float16()),
        }
    )
    assert read(table).values.tolist() == [[1.25, 3, 2.0**60, 0.5], [2.5, 4, 1, 1.5]]
    flags = "".join(f"{i / 8},{'true' if i % 3 else 'false'}\n" for i in range(40))
    for data in (
        read(text(tmp_path, "a,b\n" + flags, "u.csv")),
        read(pa.table({"a": [i / 8 for i in range(40)], "b": [i % 3 > 0 for i in range(40)]})),
    ):
        assert [column.kind for column in data.schema.columns] == ["numeric", "binary"]
        assert data.schema.columns[1].categories == ("false", "true")
        assert data.values[:4].tolist() == [[0, 0], [0.125, 1], [0.25, 1], [0.375, 0]]
    assert read(pa.table({"a": pa.array([1, 2], pa.uint8()), "b": pa.array([3, 4], pa.uint8())})).schema.levels == 256
    assert read(pa.table({"a": [True, False]})).schema.values == "binary"


def test_labels_of_every_kind() -> None:
    table = pa.table(
        {"a": [1, 2], "text": ["x", None], "kind": pa.array(["u", "v"]).dictionary_encode(), "n": [1, None]}
    )
    rest = {"text", "kind", "n"}
    assert read(table, label="text", ignore=rest - {"text"}).labels.tolist() == ["x", ""]
    assert read(table, label="kind", ignore=rest - {"kind"}).labels.tolist() == ["u", "v"]
    assert np.isnan(read(table, label="n", ignore=rest - {"n"}).labels[1])


def test_tables_for_a_trained_model(tmp_path: Path) -> None:
    schema = read(TABLE, label="t").schema
    path = write(tmp_path / "t.csv", TABLE.select(["t", "b", "a"]).append_column("extra", [["p", "q", "r"]]))
    data = read(path, schema=schema)
    assert data.values.tolist() == [[1, 4], [2.5, 5], [3, 6]]
    assert read(path, schema=schema, label="extra").labels.tolist() == ["p", "q", "r"]
    assert "lacks the column 'b'" in refusal(write(tmp_path / "u.csv", TABLE.select(["a", "t"])), schema=schema)
    assert read(text(tmp_path, "1,2\n"), schema=schema, header=False).values.tolist() == [[1, 2]]
    assert "lacks the column 'a'" in refusal(text(tmp_path, "1,2,3\n"), schema=schema, header=False)


def test_text_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_BYTES", 1000)
    path = text(tmp_path, gzip.compress(b"a,b\n" + b"1,2\n" * 10**6), "t.csv.gz")
    assert "over 500 times its size" in refusal(path)


def test_parquet_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FREE_BYTES", 1000)
    assert "over 500 times its size" in refusal(write(tmp_path / "t.parquet", pa.table({"a": np.zeros(10**6)})))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=hnp.arrays(
        np.float32, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(-1e6, 1e6, width=32)
    ),
    name=st.sampled_from(["t.csv", "t.parquet", "t.feather"]),
)
def test_table_round_trip(tmp_path: Path, values: np.ndarray, name: str) -> None:
    table = pa.table({f"column {place}": column for place, column in enumerate(values.T)})
    data = read(write(tmp_path / name, table))
    moving = values.min(0) != values.max(0)
    assert np.array_equal(data.values, values[:, moving] if moving.any() else values)
    assert bool(data.notes) == (moving.any() and not moving.all())


def test_names_read_as_data_are_refused(tmp_path: Path) -> None:
    message = refusal(text(tmp_path, "a,b\n1,x\n2,y\n"), header=False)
    assert "holds 'a' and other text above a column of numbers" in message
    data = read(text(tmp_path, "?,b\n1,x\n2,y\n"), header=False)
    assert data.schema.columns == (Column("c0", "binary", ("1", "2")), Column("c1", "category", ("b", "x", "y")))
    np.testing.assert_array_equal(data.values, [[np.nan, 0], [0, 1], [1, 2]])


@pytest.mark.parametrize("header", [True, False])
def test_a_column_said_to_be_a_category_is_read_as_text(tmp_path: Path, header: bool) -> None:
    rows = "02134,1\n00501,2\n2134,4\n02134,9\n"
    path = text(tmp_path, "zip,n\n" + rows if header else rows)
    name = "zip" if header else "c0"
    data = read(path, header=header, kinds={name: "category"})
    assert data.schema.columns[0] == Column(name, "category", ("02134", "00501", "2134"))
    assert data.values[:, 0].tolist() == [0, 1, 2, 0]
    assert read(path, header=header, schema=data.schema).values[:, 0].tolist() == [0, 1, 2, 0]
    assert read(path, header=header).schema.columns is None


def test_constants_are_kept_where_they_are_wanted(tmp_path: Path) -> None:
    data = read(text(tmp_path, "a,b\n1,7\n2,7\n3,7\n"), keep_constants=True)
    assert data.schema.names == ("a", "b")
    assert data.values.tolist() == [[1, 7], [2, 7], [3, 7]]
    assert data.notes == ("column 'b' never changes in training: any other value raises the score",)
    data = read(text(tmp_path, "a,b,c\n1,x,\n2,x,5\n3,x,5\n"), keep_constants=True)
    assert data.schema.columns[1:] == (Column("b", "category", ("x",)), Column("c", "numeric"))
    assert [note.split(" in training")[0] for note in data.notes] == [
        "column 'b' never changes",
        "column 'c' holds one value and gaps",
    ]
