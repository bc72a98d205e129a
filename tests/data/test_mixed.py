"""The map of a mixed table: there, back, and how its errors are counted."""

import math

import numpy as np
import pytest
import torch

from narrows.data.alphabets import Alphabet
from narrows.data.mixed import MixedTransform
from narrows.data.schema import Column, mixed_schema
from narrows.data.specimens import MIXED, examples

ROWS = next(example.values for example in examples() if example.schema is MIXED)
NUMERIC = [place for place, column in enumerate(MIXED.columns) if column.kind == "numeric"]
SYMBOLS = [place for place, column in enumerate(MIXED.columns) if column.categories]


@pytest.fixture
def transform():
    transform = MixedTransform(MIXED)
    transform.fit(ROWS.split(5))
    return transform


def test_numbers_are_standardised_over_observed_cells_and_the_rest_is_as_it_is(transform):
    x = transform(ROWS).x
    assert torch.equal(x.isnan(), ROWS.isnan())
    np.testing.assert_allclose(np.nanmean(x[:, NUMERIC], 0), 0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(x[:, NUMERIC], 0), 1, rtol=1e-6)
    others = [place for place in range(6) if place not in NUMERIC]
    torch.testing.assert_close(x[:, others], ROWS[:, others], equal_nan=True)


def test_there_and_back(transform):
    torch.testing.assert_close(transform.inverse(transform(ROWS).x), ROWS, equal_nan=True)


def test_large_whole_numbers_keep_their_differences():
    transform = MixedTransform(mixed_schema((Column("id", "numeric"),)))
    rows = torch.tensor([[2.0**40], [2.0**40 + 2], [math.nan]], dtype=torch.float64)
    transform.fit(rows)
    torch.testing.assert_close(transform(rows).x[:2, 0], torch.tensor([-1.0, 1.0]))


def test_the_log_density_of_raw_rows_counts_observed_numeric_cells(transform):
    spread = np.nanstd(ROWS.double(), 0)[NUMERIC]
    expected = -(~ROWS[:, NUMERIC].isnan()).double() @ torch.from_numpy(np.log(spread))
    torch.testing.assert_close(transform.log_dets(ROWS).double(), expected, rtol=1e-5, atol=1e-5)
    assert transform.log_det == pytest.approx(-np.log(spread).sum(), rel=1e-5)
    assert not transform.grid
    assert MixedTransform(mixed_schema(MIXED.columns[1:4])).grid


def test_errors_are_variances_of_numbers_and_wrong_categories(transform):
    x = transform(ROWS).x
    wrong = x + 1
    found = transform.squared_errors(x, wrong)
    assert torch.equal(found.isnan(), x.isnan())
    assert np.nanmean(found[:, NUMERIC]) == pytest.approx(1, rel=1e-5)
    assert np.nanmean(found[:, SYMBOLS]) == 1
    assert np.nanmean(found[:, 1]) == pytest.approx(1 / np.nanvar(ROWS[:, 1]), rel=1e-5)
    assert np.nansum(transform.squared_errors(x, x)) == 0


def test_numbers_that_a_symbol_leaves_open_are_counted_as_equally_likely():
    alphabets = Alphabet(("x",), 0, (7,), (0, 8), (3, 10)), Alphabet(("y",))
    schema = mixed_schema(tuple(Column.of_symbols(name, own) for name, own in zip("ab", alphabets, strict=True)))
    rows = torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [3.0, 0.0], [4.0, 0.0]])
    made = MixedTransform(schema).log_dets(rows) / math.log(2)
    assert made.tolist() == pytest.approx([0, 0, -3, -10, 0])
