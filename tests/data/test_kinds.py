"""Mixed tables: what each column is taken for, what is left out, and how cells stand in the matrix."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narrows.data import Schema, read
from narrows.data.dataset import from_array
from narrows.data.kinds import MOST_CATEGORIES
from narrows.data.schema import Column
from narrows.data.writers import write_table
from narrows.errors import InputError

N = 30
TEXT = ["u", "v", "w"] * 10


def refusal(source: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        read(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def columns_of(**columns: object) -> dict[str, Column]:
    return {column.name: column for column in read(pa.table(columns)).schema.columns}


def cells_of(values: object, **options: object) -> list[float | None]:
    """Cells of a column that stands beside one of text, None where one is missing."""
    data = read(pa.table({"a": values, "t": list(itertools.islice(itertools.cycle("uvw"), len(values)))}), **options)
    return [None if np.isnan(cell) else cell for cell in data.values[:, 0].tolist()]


# --- kinds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "categories"),
    [
        ([0.5, 1.5, 2.5], "numeric", ()),
        ([3, None, 7, 4], "numeric", ()),
        ([0, 1, 1, None], "binary", ("0", "1")),
        ([10, 9, 10], "binary", ("9", "10")),
        ([2.5, -1.0, 2.5], "binary", ("-1", "2.5")),
        ([True, False, None], "binary", ("false", "true")),
        (["True", "FALSE", "?"], "binary", ("false", "true")),
        (["no", "yes", ""], "binary", ("no", "yes")),
        (["b", "a", "b", "c", "c"], "category", ("b", "c", "a")),
        (["1", "NA", "2.5", "-", "None", "3e2", " +4 ", "n/a"], "numeric", ()),
        (["1", "NA", "2", "1"], "binary", ("1", "2")),
        (["-", "None", "-", "x"], "category", ("-", "None", "x")),
        (["1", "x", "2"], "category", ("1", "2", "x")),
        (pa.array(["1", "2", "3"]).dictionary_encode(), "category", ("1", "2", "3")),
        (pa.DictionaryArray.from_arrays([0, 1, 0], ["p", "q", "never"]), "binary", ("p", "q")),
        (["12:30 or so", "2020-01-01", "x"], "category", ("12:30 or so", "2020-01-01", "x")),
        (pa.array(["a", "b", "c"], pa.string_view()), "category", ("a", "b", "c")),
        (pa.array(["a", "b", "c"], pa.large_string()), "category", ("a", "b", "c")),
    ],
)
def test_what_a_column_is_taken_for(values: object, kind: str, categories: tuple[str, ...]) -> None:
    assert columns_of(a=values, t=TEXT[: len(values)])["a"] == Column("a", kind, categories)


def test_cells() -> None:
    assert cells_of([0.5, None, float("nan"), 2.5, 1.0]) == [0.5, None, None, 2.5, 1]
    assert cells_of(["7", "?", "2.5", "-", ".5"]) == [7, None, 2.5, None, 0.5]
    assert cells_of(["b", None, "a", "  ", "c", "b "]) == [0, None, 1, None, 2, 0]
    assert cells_of([True, None, False]) == [1, None, 0]


def test_whole_numbers_beyond_float32_stay_exact() -> None:
    data = read(pa.table({"a": [2**24 + 1, 5, None, 6], "t": ["u", "v", "w", "u"]}))
    assert data.values.dtype == np.float64
    assert data.values[0, 0] == 2**24 + 1
    assert read(pa.table({"a": [2**24, 5, None, 6], "t": ["u", "v", "w", "u"]})).values.dtype == np.float32


def test_which_tables_are_mixed() -> None:
    for columns, mixed in (
        ({"a": [1, 2, 3], "b": [4.5, 5, 6]}, False),
        ({"a": [True, False, True]}, False),
        ({"a": [True, False, True], "b": [1, 2, 3]}, True),
        ({"a": [1, None, 3], "b": [1, 2, 4]}, True),
        ({"a": [1.0, float("nan"), 3], "b": [1, 2, 4]}, True),
        ({"a": [1, 2, 3], "b": ["1", "2", "4"]}, True),
    ):
        schema = read(pa.table(columns)).schema
        assert (schema.columns is not None) is mixed
        assert schema.values == "columns" if mixed else schema.values in ("reals", "binary")
    said = read(pa.table({"a": [1, 2, 3], "b": [4, 5, 9]}), kinds={"a": "count"})
    assert said.schema.columns == (Column("a", "count"), Column("b", "numeric"))
    assert said.values.tolist() == [[1, 4], [2, 5], [3, 9]]
    assert read(pa.table({"a": [1, 2, 3], "b": [4, 5, 9]}), kinds={"a": "ignore"}).schema.values == "reals"


@pytest.mark.parametrize("make", [lambda table: table, lambda table: table.to_pandas(), pl.from_arrow])
def test_frames(make: object) -> None:
    table = pa.table({"n": [1.5, None, 3, 4], "t": ["x", None, "y", "x"], "k": pa.array([*"pqrp"]).dictionary_encode()})
    for data in (read(make(table)), from_array(make(table))):
        assert [column.kind for column in data.schema.columns] == ["numeric", "binary", "category"]
        assert np.isnan(data.values[1, :2]).all()
        assert data.values[:, 2].tolist() == [0, 1, 2, 0]


def test_dictionaries_that_differ_between_parts() -> None:
    parts = [pa.array(words).dictionary_encode() for words in (["a", "b"], ["c", "a"], ["b", None])]
    assert cells_of(pa.chunked_array(parts)) == [0, 1, 2, 0, 1, None]


def test_rare_categories_share_a_place() -> None:
    words = [f"w{place:05}" for place in range(MOST_CATEGORIES + 50)]
    cells = [*words, *words, *words[-50:]]
    data = read(pa.table({"a": cells, "b": np.arange(len(cells)) % 7}))
    kept = data.schema.columns[0].categories
    assert kept[:50] == tuple(words[-50:])
    assert kept[50:] == tuple(words[: MOST_CATEGORIES - 50])
    assert data.values[:, 0].max() == MOST_CATEGORIES
    assert (data.values[:, 0] == MOST_CATEGORIES).sum() == 100


# --- what is left out ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([7] * N, "never changes"),
        (["x"] * N, "never changes"),
        (["x", None] * 15, "holds one value and gaps"),
        ([None] * N, "is empty"),
        (["", "NA", "?"] * 10, "is empty"),
        (pd.date_range("2020-01-01", periods=N), "holds dates or times"),
        (["2020-01-01", "2020-01-02 10:00", "2020-01-03T10:00:00.5Z"] * 10, "holds dates or times"),
        (pa.array(range(N), pa.time32("s")), "holds dates or times"),
        ([f"name {place}" for place in range(N)], "tells rows apart"),
        (list(range(N)), "tells rows apart"),
        (np.random.default_rng(0).permutation(N) + 1000.0, "tells rows apart"),
    ],
)
def test_columns_that_are_left_out(values: object, reason: str) -> None:
    table = pa.table({"odd": values, "t": TEXT})
    data = read(table)
    assert data.schema.names == ("t",)
    assert data.notes == (f"column 'odd' {reason} and was left out",)
    assert read(table, ignore=["odd"]).notes == ()


def test_columns_that_are_kept() -> None:
    few = pa.table({"id": list(range(20)), "name": [f"n{place}" for place in range(20)], "t": TEXT[:20]})
    assert read(few).schema.names == ("id", "name", "t")
    many = pa.table({"id": list(range(N)), "same": [1] * N, "t": TEXT})
    said = read(many, kinds={"id": "numeric", "same": "category"})
    assert said.schema.names == ("id", "same", "t")
    assert read(many, schema=said.schema).notes == ()
    assert read(pa.table({"a": [3, 3], "t": ["x", "x"]})).schema.names == ("a", "t")


def test_one_note_a_reason() -> None:
    data = read(pa.table({"a": [1] * N, "b": ["x"] * N, "d": [None] * N, "t": TEXT}))
    assert data.notes == ("columns 'a', 'b' never change and were left out", "column 'd' is empty and was left out")


def test_a_text_among_numbers_is_pointed_out() -> None:
    values = [str(place % 9) for place in range(N)]
    values[4] = "abc"
    note = "column 'a' holds 'abc' in row 4 where nearly all cells are numbers, and was read as text"
    assert read(pa.table({"a": values, "t": TEXT})).notes == (note,)


# --- kinds that were said --------------------------------------------------------------------------------------------


def test_said_kinds() -> None:
    table = pa.table({"a": [3, 0, 1, 0], "zip": ["01", "10", "01", "07"], "n": [5, 6, 6, 5]})
    data = read(table, kinds={"a": "count", "zip": "category", "n": "numeric"})
    assert data.schema.columns == (
        Column("a", "count"),
        Column("zip", "category", ("01", "07", "10")),
        Column("n", "numeric"),
    )
    assert data.values.tolist() == [[3, 0, 5], [0, 2, 6], [1, 0, 6], [0, 1, 5]]
    assert read(table, kinds={"a": "category"}).schema.columns[0].categories == ("0", "1", "3")


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({"q": "count"}, ["has no column 'q'"]),
        ({"t": "categroy"}, ["unknown kind 'categroy'", "'ignore'; did you mean 'category'?"]),
        ({"t": "numeric"}, ["holds 'v' in row 1", "numeric column 't'", "takes numbers"]),
        ({"a": "count"}, ["holds -1 in row 2", "count column 'a'", "whole numbers from 0"]),
        ({"b": "count"}, ["holds 0.5 in row 0"]),
        ({"a": "binary"}, ["'a' was said to be binary", "two different values", "'-1', '1', '2'"]),
        ({"y": "count"}, ["'y'", "given a kind and is kept from the model"]),
    ],
)
def test_kinds_that_do_not_fit(kinds: dict[str, str], words: list[str]) -> None:
    table = pa.table({"t": ["1", "v", "w"], "a": [1, 2, -1], "b": [0.5, None, 1.0], "y": [1, 2, 3]})
    message = refusal(table, kinds=kinds, label="y")
    for word in words:
        assert word in message


def test_options_that_a_mixed_table_refuses() -> None:
    table = pa.table({"t": ["1", "v", "w"], "a": [1, 2, -1]})
    assert "columns have kinds of their own" in refusal(table, kind="counts")
    schema = read(table).schema
    assert "trained model's schema" in refusal(table, schema=schema, kinds={"a": "count"})
    assert "lists" not in refusal(pa.table({"t": [[1], [2]], "a": [1, 2]}))
    assert "list<" in refusal(pa.table({"t": [[1], [2]], "a": [1, 2]}))
    for values in ([1.0, np.inf], [np.inf, np.inf], [np.inf, -np.inf], [1.0, "inf"], ["1", "inf"], [1.0, np.inf, 2.0]):
        frame = pd.DataFrame({"a": [str(v) for v in values], "t": TEXT[: len(values)]})
        assert "inf" in refusal(frame)
    assert "3.4e38" in refusal(pa.table({"a": [1.0, 1e39, 2], "t": ["x", "y", "z"]}))
    assert "holds inf in row 1" in refusal(pa.table({"a": [1.0, np.inf], "t": ["x", "y"]}))
    assert "no rows" in refusal(pa.table({"a": pa.array([], pa.string())}))


# --- for a trained model ---------------------------------------------------------------------------------------------

TRAINED = read(
    pa.table(
        {"n": [1.5, None, 3.0, 4.0], "k": ["u", "v", "w", "u"], "b": [0, 1, 1, None], "y": [True, False, True, True]}
    )
).schema


def test_columns_come_by_name_and_categories_by_text() -> None:
    table = pa.table({"more": ["x"] * 3, "b": ["1", "?", "5"], "k": ["w", "new", None], "n": ["2", "NA", "7"]})
    table = table.append_column("y", [["True", "false", "perhaps"]])
    data = read(table, schema=TRAINED)
    assert data.schema is TRAINED
    np.testing.assert_array_equal(data.values, [[2, 2, 1, 1], [np.nan, 3, np.nan, 0], [7, np.nan, 2, 2]])


def test_gaps_and_constants_are_no_matter_for_a_trained_model() -> None:
    table = pa.table({"n": [None, None], "k": ["u", "u"], "b": [1.0, 1.0], "y": [True, True]})
    np.testing.assert_array_equal(read(table, schema=TRAINED).values, [[np.nan, 0, 1, 1]] * 2)


def test_what_does_not_fit_a_trained_model() -> None:
    good = {"n": [1.0], "k": ["u"], "b": [1], "y": [True]}
    assert "lacks the column 'k'" in refusal(pa.table({k: v for k, v in good.items() if k != "k"}), schema=TRAINED)
    message = refusal(pa.table({**good, "n": ["foo"]}), schema=TRAINED)
    assert "holds 'foo' in row 0" in message
    assert "numeric column 'n'" in message
    assert cells_of([1, 2, 1, 2]) == [0, 1, 0, 1]


def test_a_raw_matrix_fits_its_own_schema() -> None:
    raw = [[2, 2, 1, 1], [np.nan, 3, np.nan, 0]]
    data = from_array(raw, schema=TRAINED)
    np.testing.assert_array_equal(data.values, raw)
    assert data.values.dtype == np.float32
    for bad, words in (
        ([[1, 4, 0, 0]], "holds 4 in row 0 (counted from 0) of the category column 'k'"),
        ([[1, 0.5, 0, 0]], "holds 0.5"),
        ([[np.inf, 0, 0, 0]], "holds inf"),
        ([[1, 0]], "the model was trained on 4 columns"),
    ):
        with pytest.raises(InputError, match=words.replace("(", r"\(").replace(")", r"\)")):
            from_array(bad, schema=TRAINED)


def test_categories_are_numbers_where_the_file_says_so() -> None:
    schema = read(pa.table({"a": ["01", "x", "2.5", "x"], "b": [1, 2, 4, 5]})).schema
    assert schema.columns[0].categories == ("x", "01", "2.5")
    assert read(pa.table({"a": [1.0, 2.5, 3.0], "b": [1, 2, 3]}), schema=schema).values[:, 0].tolist() == [1, 2, 3]


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [True, False])
def test_text_files(tmp_path: Path, header: bool) -> None:
    path = tmp_path / "t.csv"
    names = "size,kind,left\n" if header else ""
    path.write_text(names + "1,u,yes\n?,v,no\n2.5,w,yes\n3,,yes\n")
    data = read(path, header=header)
    assert data.schema.names == (("size", "kind", "left") if header else ("c0", "c1", "c2"))
    np.testing.assert_array_equal(data.values, [[1, 0, 1], [np.nan, 1, 0], [2.5, 2, 1], [3, np.nan, 1]])
    again = read(path, header=header, schema=data.schema)
    np.testing.assert_array_equal(again.values, data.values)


CELLS = {
    "numbers": st.none() | st.floats(-1e6, 1e6, width=32),
    "whole": st.none() | st.integers(-(2**30), 2**30),
    "words": st.none() | st.text("abcß ,;\"'\n", min_size=1, max_size=4),
    "flags": st.none() | st.booleans(),
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from([".csv", ".parquet", ".arrow"]), rows=st.integers(3, 12))
def test_round_trip(tmp_path: Path, data: st.DataObject, suffix: str, rows: int) -> None:
    columns = {name: data.draw(st.lists(cells, min_size=rows, max_size=rows)) for name, cells in CELLS.items()}
    table = pa.table({**columns, "sure": ["x", "y", "z", *"x" * (rows - 3)]})
    given_ = read(table)
    write_table(given_.values, given_.schema, tmp_path / f"t{suffix}")
    again = read(tmp_path / f"t{suffix}", schema=given_.schema)
    np.testing.assert_array_equal(again.values, given_.values)
    assert again.schema.columns == given_.schema.columns
    assert Schema.from_json(given_.schema.to_json()) == given_.schema


def test_large_tables(narrows_data: Path) -> None:
    data = read(narrows_data / "nsl_kdd" / "KDDTrain+_20Percent.txt.gz", header=False, label="c41")
    assert data.values.shape == (25192, 40)
    assert data.notes == ("columns 'c19', 'c20' never change and were left out",)
    assert [column.name for column in data.schema.columns if column.kind == "category"] == ["c1", "c2", "c3"]


def test_many_distinct_values_take_little_time() -> None:
    words = pa.array(np.arange(200_000)).cast(pa.string())
    ids = pa.compute.binary_join_element_wise("id", words, "-")
    data = read(pa.table({"id": ids, "n": np.arange(200_000) % 13, "t": TEXT[:2] * 100_000}))
    assert data.schema.names == ("n", "t")
    kept = read(pa.table({"id": ids, "t": TEXT[:2] * 100_000}), kinds={"id": "category"})
    assert len(kept.schema.columns[0].categories) == MOST_CATEGORIES


@pytest.mark.parametrize(
    "cells", [["1", "2.5", "-"], ["1", "2.5", "None"], ["1", "2.5", ""], ["x", "y", "-"], ["7", "9", "11"]]
)
def test_a_table_is_read_by_its_own_schema_as_it_was_without_one(cells):
    table = pa.table({"c": cells * 10, "x": [0.5, 1.5, None] * 10})
    found = read(table)
    assert np.array_equal(read(table, schema=found.schema).values, found.values, equal_nan=True)
