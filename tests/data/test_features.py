"""Raw rows as numbers of one scale, against NumPy, scikit-learn and SciPy."""

from typing import get_args

import numpy as np
import pytest
import torch
from scipy import stats

from narrows.data.features import KNOTS, RULES, SYMBOL, Features
from narrows.data.schema import Column, ColumnKind, Schema, mixed_schema
from narrows.data.specimens import MIXED, examples
from narrows.errors import InputError

NAN = float("nan")
TABLE = mixed_schema(
    (
        Column("a", "numeric"),
        Column("b", "count"),
        Column("c", "binary", ("no", "yes")),
        Column("d", "category", ("x", "y", "z")),
    )
)
ROWS = torch.tensor([[1, 0, 0, 0], [2, 3, 1, 1], [NAN, 8, NAN, NAN], [6, NAN, 1, 3]])
MIXED_ROWS = next(example.values for example in examples() if example.schema is MIXED)


def fitted(schema, rows, scaling="standard"):
    features = Features(schema, scaling)
    features.fit(rows)
    return features


def test_a_mixed_table_by_hand():
    features = fitted(TABLE, ROWS)
    assert features.owner.tolist() == [0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3]
    a, b = (np.array([1, 2, 6.0]), np.log1p([0, 3, 8.0]))
    found = features(ROWS)
    np.testing.assert_allclose(found[[0, 1, 3], 0], (a - a.mean()) / a.std(), rtol=1e-6)
    np.testing.assert_allclose(found[[0, 1, 2], 2], (b - b.mean()) / b.std(), rtol=1e-6)
    assert found[:, 1].tolist() == [0, 0, 1, 0]
    half = SYMBOL
    expected = [[half, 0, 0, 0], [0, half, 0, 0], [0, 0, 0, 1], [0, half, 0, 0]]
    torch.testing.assert_close(found[:, 4:8], torch.tensor(expected))
    # No training row holds z: it and what is no category at all are both unseen.
    expected = [[half, 0, 0, 0, 0], [0, half, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, half, 0]]
    torch.testing.assert_close(found[:, 8:], torch.tensor(expected))
    torch.testing.assert_close(features(torch.tensor([[1.0, 0, 0, 2]]))[0, 8:], torch.tensor([0, 0, 0, half, 0]))
    torch.testing.assert_close(features(torch.full((1, 4), NAN))[0], features.blank)


def test_rows_that_differ_in_one_category_are_at_distance_1():
    one, other = fitted(TABLE, ROWS)(torch.tensor([[1.0, 0, 0, 0], [1, 0, 0, 1]]))
    assert float((one - other).norm()) == pytest.approx(1)


def test_chunks_give_the_statistics_of_all_rows_at_once_and_a_new_fit_forgets_the_old():
    rows = MIXED_ROWS.repeat(3, 1)
    whole, parts = fitted(MIXED, rows), fitted(MIXED, torch.zeros_like(rows) + 1)
    parts.fit(iter(rows.split(7)))
    torch.testing.assert_close(parts(rows), whole(rows))


def test_a_number_that_never_changes_and_one_that_is_never_there_are_0():
    rows = torch.tensor([[5.0, NAN, 0, 0], [5, NAN, 0, 0]])
    found = fitted(TABLE, rows)(rows)
    assert found[:, [0, 2]].tolist() == [[0, 0], [0, 0]]
    assert fitted(TABLE, rows)(torch.tensor([[7.0, 0, 0, 0]]))[0, 0] == 2


def test_vectors_are_standardised_by_column_and_images_by_channel():
    vectors = torch.randn(50, 3) * torch.tensor([1.0, 10, 0.1]) + 5
    found = fitted(Schema((3,), 0, 1), vectors)
    np.testing.assert_allclose(found(vectors), stats.zscore(vectors.double().numpy()), rtol=1e-4, atol=1e-5)
    assert (found.size, found.owner.tolist()) == (3, [0, 1, 2])
    images = torch.randint(0, 256, (20, 3, 4, 5), dtype=torch.uint8)
    found = fitted(Schema((3, 4, 5), 0, 255, 1), images)(images)
    expected = stats.zscore(images.double().numpy().transpose(1, 0, 2, 3).reshape(3, -1), axis=1)
    np.testing.assert_allclose(found.view(20, 3, 20).transpose(0, 1).reshape(3, -1), expected, rtol=1e-4, atol=1e-5)


def test_ranks_become_normal_whatever_the_tails():
    rows = torch.from_numpy(np.random.default_rng(0).lognormal(sigma=3, size=(20_000, 1))).float()
    found = fitted(Schema((1,), 0, 1), rows, "rank-normal")(rows)
    assert stats.kstest(found[:, 0].numpy(), "norm").statistic < 2 / KNOTS
    assert torch.equal(found[:, 0].argsort(), rows[:, 0].argsort())


def test_equal_numbers_get_the_middle_of_their_ranks():
    rows = torch.tensor([0.0] * 500 + [1.0] * 300 + [2.0] * 200)[:, None]
    found = fitted(Schema((1,), 0, 1), rows, "rank-normal")(torch.tensor([[0.0], [1], [2]]))
    np.testing.assert_allclose(found[:, 0], stats.norm.ppf([0.25, 0.65, 0.9]), atol=0.01)


def test_beyond_the_training_rows_ranks_go_on_by_one_a_standard_deviation():
    rows = torch.randn(2000, 1, generator=torch.manual_seed(0)) * 3
    features = fitted(Schema((1,), 0, 1), rows, "rank-normal")
    top = rows.max()
    here, further = features(torch.stack([top, top + 2 * rows.std(correction=0)])[:, None])[:, 0]
    assert float(further - here) == pytest.approx(2, rel=1e-4)
    assert fitted(TABLE, ROWS, "rank-normal")(ROWS).isfinite().all()


@pytest.mark.parametrize("scaling", ["standard", "rank-normal"])
@pytest.mark.parametrize("schema", [MIXED, Schema((6,), -1.0, 3.0)], ids=["mixed", "plain"])
def test_they_are_read_back_into_ones_built_without_memory(schema, scaling):
    rows = MIXED_ROWS if schema is MIXED else torch.randn(30, 6)
    features = fitted(schema, rows, scaling)
    with torch.device("meta"):
        again = Features(schema, scaling)
    again.load_state_dict(features.state_dict(), assign=True)
    assert torch.equal(again(rows), features(rows))
    assert torch.equal(again.double()(rows).float(), features(rows))


def test_an_unknown_scaling_is_refused():
    with pytest.raises(InputError, match="did you mean 'standard'"):
        Features(TABLE, "standart")


def test_every_kind_of_column_has_a_rule_and_reals_are_what_is_neither_whole_nor_a_symbol():
    assert set(RULES) == set(get_args(ColumnKind))
    assert {kind for kind, rule in RULES.items() if rule.real} == {"numeric"}
    assert {kind for kind, rule in RULES.items() if rule.whole} == {"count"}
