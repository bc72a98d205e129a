import dataclasses
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from narrows.data import Dataset
from narrows.data.dataset import from_array
from narrows.errors import InputError


def refusal(values: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        from_array(values, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_importing_it_is_light() -> None:
    heavy = "{'torch', 'pyarrow', 'PIL', 'pooch', 'sklearn', 'pandas'}"
    code = f"import sys, narrows.data; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize(
    ("dtype", "stored"),
    [
        (np.uint8, np.uint8),
        (bool, np.float32),
        (np.float64, np.float32),
        (np.float32, np.float32),
        (np.float16, np.float32),
        (np.int64, np.float32),
        (np.uint16, np.float32),
        (">f8", np.float32),
        (object, np.float32),
    ],
)
def test_types_of_tables(dtype: object, stored: object) -> None:
    data = from_array(np.array([[0, 1, 1], [1, 1, 0]]).astype(dtype) * np.array(1, dtype), kind="reals")
    assert data.values.dtype == stored
    assert data.values.tolist() == [[0, 1, 1], [1, 1, 0]]


def test_grids_within_a_byte_are_bytes() -> None:
    for dtype in (bool, np.float64, np.int16):
        assert from_array(np.eye(3, dtype=dtype), kind="binary").values.dtype == np.uint8
    assert from_array(np.eye(3, dtype=bool)).values.dtype == np.uint8


def test_deep_images_stay_as_they_are() -> None:
    data = from_array(np.array([[[0, 65535], [7, 8]]], np.uint16))
    assert data.values.dtype == np.uint16
    assert data.schema.shape == (1, 2, 2)
    assert data.schema.high == 65535


def test_deep_images_run_as_far_as_sixteen_bits_do() -> None:
    data = from_array(np.array([[[10, 5000], [7, 8]]], np.uint16))
    assert (data.schema.low, data.schema.high, data.schema.step) == (0, 65535, 0)
    columns = from_array(np.array([[10, 5000], [7, 8]], np.uint16))
    assert (columns.schema.low, columns.schema.high) == (7, 5000)


def test_large_whole_numbers_stay_exact() -> None:
    assert from_array([[2**30 + 1, 0]]).values.tolist() == [[2**30 + 1, 0]]


def test_one_schema_means_one_type() -> None:
    levels = from_array(np.array([[0, 3], [2, 1]], np.uint8), kind="levels")
    for other in (np.float64, np.int32, np.uint8, ">i8"):
        assert from_array(levels.values.astype(other), schema=levels.schema).values.dtype == np.uint8


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2], [3, 4]],
        torch.tensor([[1.0, 2], [3, 4]], requires_grad=True),
        np.ma.masked_array([[1, 2], [3, 4]]),
        np.array([[1, 2], [3, 4]], object),
        pd.DataFrame({"a": [1, 3], "b": [2, 4]}, index=[7, 9]),
        pl.DataFrame({"a": [1, 3], "b": [2.0, 4]}),
        pa.table({"a": [1, 3], "b": [2, 4]}),
        pa.record_batch({"a": [1, 3], "b": [2, 4]}),
    ],
)
def test_everything_that_holds_numbers(values: object) -> None:
    data = from_array(values)
    assert data.values.tolist() == [[1, 2], [3, 4]]
    assert data.schema.names == (("a", "b") if hasattr(values, "columns") else None)
    assert len(data) == 2
    assert data.source == "array"


def test_a_dataset_is_frozen() -> None:
    data = from_array([[1, 2]])
    assert isinstance(data, Dataset)
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.source = "elsewhere"  # type: ignore[misc]


def test_labels() -> None:
    assert from_array([[1], [2]], labels=[[3], [4]]).labels.tolist() == [3, 4]
    assert from_array([[1], [2]], labels=["x", "y"]).labels.tolist() == ["x", "y"]
    assert "give one label an example" in refusal([[1], [2]], labels=[1, 2, 3])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((0, 3)), ["shape (0, 3)", "at least one example"]),
        (np.zeros((3, 0)), ["shape (3, 0)", "at least one cell"]),
        (np.zeros(3), ["shape (3,)", "(examples, columns)"]),
        ([[1, 2], [3]], ["inhomogeneous", "rows of equal length"]),
        (np.array([[1, 2], [3, [4, 5]]], object), ["Python objects", "rows of equal length"]),
        ([["a", 1]], ["text such as 'a'", "where numbers belong"]),
        (np.array([[1, "7"]], object), ["text among the numbers such as '7'"]),
        ([[1j]], ["complex numbers"]),
        (np.array([["2020-01-01"]], "M8[D]"), ["dates such as 2020-01-01"]),
        (
            [[1.0, 2.0], [3.0, np.nan]],
            ["1 cell,", "row 1, column 1", "an array may hold no gaps"],
        ),
        ([[np.inf, 2.0], [3.0, np.nan]], ["2 cells,", "row 0, column 0", "fill or drop them"]),
        ([[1, None]], ["row 0, column 1", "no gaps"]),
        (np.ma.masked_equal([[1, 2], [3, 4]], 3), ["row 1, column 0", "no gaps"]),
        (pl.DataFrame({"a": [1, None]}), ["no column left", "'a' holds one value and gaps"]),
        (pd.DataFrame({"a": [1.0], "b": [b"x\ny"]}), ["binary values where numbers belong", "column 'b' has"]),
        (pd.Series([1.0]), ["Series", "named columns"]),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ["'a'"]),
        ([[1e300, 0.5]], ["1e+300", "rescale"]),
        (None, ["NoneType"]),
        (np.zeros((2, 5, 5, 2)), ["1, 3 or 4 channels"]),
        (torch.zeros(2, 2, dtype=torch.bfloat16), ["no regular array"]),
    ],
)
def test_bad_input_is_refused_in_one_line(values: object, words: list[str]) -> None:
    message = refusal(values)
    for word in words:
        assert word in message


def test_the_source_is_named() -> None:
    assert refusal([[np.nan]], source="some.npy").startswith("'some.npy' holds NaN")
    assert refusal(np.zeros((2, 5, 5, 2)), source="some.npy").startswith("'some.npy': ")


def test_names() -> None:
    assert from_array([[1, 2]], names=["a", "b"]).schema.names == ("a", "b")
    assert from_array(pd.DataFrame({"a": [1], "b": [2]}), names=["x", "y"]).schema.names == ("x", "y")
    assert "2 columns" in refusal([[1, 2]], names=["a"])
    assert "one name" in refusal([[1, 2]], names=["a", "a"])
    assert "only vectors" in refusal(np.zeros((1, 2, 2)), names=["a", "b"])


def test_columns_come_in_the_order_of_the_model() -> None:
    schema = from_array(pd.DataFrame({"a": [1.0, 2], "b": [3, 4]})).schema
    mixed = pd.DataFrame({"c": ["x"], "b": [9.0], "a": [8.0]})
    data = from_array(mixed, schema=schema)
    assert data.values.tolist() == [[8, 9]]
    assert data.schema is schema
    assert from_array([[5.0, 1, 2]], names=["b", "z", "a"], schema=schema).values.tolist() == [[2, 5]]
    assert from_array([[5.0, 1]], schema=schema).values.tolist() == [[5, 1]]
    message = refusal(mixed.rename(columns={"a": "a1"}), schema=schema)
    assert "lacks the column 'a'" in message
    assert "did you mean 'a1'?" in message
    assert "lacks the column 'a'" in refusal([[1, 2]], names=["b", "z"], schema=schema)
    assert "shape (3,); the model was trained on (2,)" in refusal([[1, 2, 3]], schema=schema)


def test_images_come_in_the_layout_of_the_model() -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (2, 5, 6, 3), dtype=np.uint8)
    schema = from_array(np.moveaxis(colour, 3, 1)).schema
    assert schema.layout == "chw"
    assert np.array_equal(from_array(colour, schema=schema).values, np.moveaxis(colour, 3, 1))
    assert "shape (5, 6)" in refusal(colour[..., 0], schema=schema)


@pytest.mark.parametrize(
    ("trained", "kind", "given", "words"),
    [
        ([[0, 1], [1, 0]], None, [[0, 0.5]], ["row 0", "holds 0.5", "binary values 0 and 1"]),
        ([[0, 1], [1, 0]], None, [[0, 255]], ["holds 255"]),
        (np.array([[0, 9]], np.uint8), None, [[0, 9.5]], ["holds 9.5", "256 levels from 0 to 255"]),
        (np.array([[0, 9]], np.uint8), None, [[0, 9], [256, 9]], ["row 1", "holds 256"]),
        (np.array([[0, 9]], np.uint8), None, [[-1, 9]], ["holds -1"]),
        ([[0, 9]], "levels", np.array([[0, 10]], np.uint8), ["holds 10", "10 levels"]),
        ([[0, 9]], "counts", [[0.5, 9]], ["holds 0.5", "counts from 0"]),
        ([[0, 9]], "counts", [[-1.0, 9]], ["holds -1"]),
    ],
)
def test_cells_off_the_grid_are_refused(trained: object, kind: str | None, given: object, words: list[str]) -> None:
    message = refusal(given, schema=from_array(trained, kind=kind).schema)
    for word in words:
        assert word in message


def test_the_cell_off_the_grid_is_named() -> None:
    schema = from_array([[0, 1], [1, 0]], names=["a", "b"]).schema
    assert "cell 'b'" in refusal([[0, 2]], schema=schema)


def test_cells_on_the_grid_pass() -> None:
    levels = from_array(np.array([[0, 9]], np.uint8)).schema
    assert from_array([[255.0, 0.0]], schema=levels).values.tolist() == [[255, 0]]
    odd = from_array([[0.1, 0.7], [0.7, 0.1]], kind="binary")
    assert np.array_equal(from_array([[0.7, 0.1]], schema=odd.schema).values, odd.values[1:])
    counts = from_array([[0, 9]], kind="counts").schema
    assert from_array([[300, 70000]], schema=counts).values.tolist() == [[300, 70000]]
    reals = from_array([[0.5, 9]]).schema
    assert from_array([[-100.0, 1e6]], schema=reals).values.tolist() == [[-100, 1e6]]


def test_kind_and_schema_exclude_each_other() -> None:
    assert "leave it out" in refusal([[0, 1]], kind="reals", schema=from_array([[0, 1]]).schema)


@given(
    hnp.arrays(np.int8, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=st.integers(0, 127)),
    st.sampled_from(["u1", "i2", "i4", "u2", "f2", "f4", "f8", ">f8", "?"]),
)
def test_any_numbers_pass_and_pass_again(whole: np.ndarray, dtype: str) -> None:
    values = whole.astype(dtype) / np.array(8, dtype) if "f" in dtype else whole.astype(dtype)
    data = from_array(values)
    assert np.array_equal(data.values, values.astype(np.float64))
    again = from_array(values, schema=data.schema)
    assert again.values.dtype == data.values.dtype
    assert np.array_equal(again.values, data.values)
