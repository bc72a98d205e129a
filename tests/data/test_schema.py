import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from narrows.data.schema import Schema, infer_schema
from narrows.errors import InputError

sides = st.integers(1, 6)
user_shapes = st.one_of(
    st.tuples(sides),
    st.tuples(sides, sides),
    st.tuples(sides, sides, st.sampled_from([1, 3, 4])),
    st.tuples(st.sampled_from([1, 3, 4]), sides, sides),
)
arrays = st.tuples(sides, user_shapes).flatmap(lambda sizes: hnp.arrays(np.uint8, (sizes[0], *sizes[1])))
schemas = st.builds(
    Schema,
    shape=st.one_of(st.tuples(sides), st.tuples(st.sampled_from([1, 3, 4]), sides, sides)),
    low=st.floats(-1e6, 0),
    high=st.one_of(st.floats(1, 1e6), st.just(float("inf"))),
    step=st.sampled_from([0.0, 1.0, 0.5]),
    layout=st.sampled_from(["vector", "hw", "hwc", "chw"]),
    names=st.one_of(st.none(), st.lists(st.text('aZ9 "\né'), max_size=3).map(tuple)),
)


@given(arrays)
def test_layouts_are_inverse(values: np.ndarray) -> None:
    schema = infer_schema(values)
    inside = schema.from_user(values)
    assert inside.shape == (len(values), *schema.shape)
    assert schema.size == inside[0].size
    assert np.array_equal(schema.to_user(inside), values)
    assert schema.user_shape == values.shape[1:]


@given(schemas)
def test_schema_survives_json(schema: Schema) -> None:
    assert Schema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False))) == schema


def test_colour_images_have_their_channels_first() -> None:
    values = np.arange(2 * 5 * 4 * 3, dtype=np.uint8).reshape(2, 5, 4, 3)
    schema = infer_schema(values)
    assert schema.shape == (3, 5, 4)
    assert np.array_equal(schema.from_user(values)[1, 2], values[1, :, :, 2])
    assert np.shares_memory(schema.from_user(values), values)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (np.array([[True, False]]), None, ("binary", 0, 1, 2)),
        (np.array([[True, True]]), None, ("binary", 0, 1, 2)),
        (np.array([[0.0, 1.0]]), None, ("binary", 0, 1, 2)),
        (np.array([[0, 255]], np.uint8), None, ("binary", 0, 255, 2)),
        (np.array([[0, 7]], np.uint8), None, ("levels", 0, 255, 256)),
        (np.array([[0, 7]]), None, ("reals", 0, 7, 0)),
        (np.array([[3, 7]]), "levels", ("levels", 3, 7, 5)),
        (np.array([[3, 7]]), "binary", ("binary", 3, 7, 2)),
        (np.array([[3, 7]]), "counts", ("counts", 0, float("inf"), 0)),
        (np.array([[2.5, 2.5]]), None, ("reals", 2.5, 2.5, 0)),
    ],
)
def test_kind_of_values(values: np.ndarray, kind: str | None, expected: tuple[str, float, float, int]) -> None:
    schema = infer_schema(values, kind=kind)
    assert (schema.values, schema.low, schema.high, schema.levels) == expected
    assert "\n" not in schema.describe()


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        (np.array([[0.5, 1.0]]), "counts", "counts are whole numbers from 0"),
        (np.array([[-1.0, 1.0]]), "counts", "run from -1 to 1"),
        (np.array([[0, 256]]), "levels", "at most 256 neighbouring whole numbers"),
        (np.array([[0, 1, 2]]), "binary", "two distinct values"),
        (np.array([[1, 1]]), "binary", "two distinct values"),
        (
            np.array([[1, 2]]),
            "colours",
            "unknown kind of values 'colours'; allowed are binary, levels, counts and reals",
        ),
        (np.zeros((2, 5, 5, 2)), None, "1, 3 or 4 channels"),
        (np.zeros(3), None, "give vectors"),
    ],
)
def test_what_does_not_fit_is_refused(values: np.ndarray, kind: str | None, words: str) -> None:
    with pytest.raises(InputError) as caught:
        infer_schema(values, kind=kind)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(3,\); the model was trained on \(2,\)") as caught:
        infer_schema(np.zeros((4, 2))).from_user(np.zeros((4, 3)))
    assert "\n" not in str(caught.value)
