"""Held-out rows: those at the places, in order, in parts of any size, as training meets them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.held_out import HeldOut
from narrows.values import Labelled

ROWS = torch.arange(60.0).view(20, 3)
PLACES = st.lists(st.integers(0, 19), unique=True).map(sorted)


@given(places=PLACES, size=st.integers(1, 25))
def test_parts_of_any_size_make_up_the_rows_at_the_places(places, size):
    held = HeldOut(ROWS, torch.tensor(places, dtype=torch.int64))
    assert len(held) == len(places)
    parts = list(held.split(size))
    assert all(len(part) == size for part in parts[:-1])
    assert torch.equal(torch.cat(parts), ROWS[places])


@given(places=PLACES, size=st.integers(1, 25))
def test_what_is_seen_of_each_row_and_its_class_come_beside_it(places, size):
    classes = torch.arange(20) % 4
    held = HeldOut(ROWS, torch.tensor(places, dtype=torch.int64), condition=classes, beside=-ROWS)
    parts = list(held.split(size))
    assert all(isinstance(part, Labelled) for part in parts)
    assert torch.equal(torch.cat([part.rows for part in parts]), torch.cat([ROWS[places], -ROWS[places]], 1))
    assert torch.equal(torch.cat([part.condition for part in parts]), classes[places])


@pytest.mark.parametrize("size", [1, 7, 20, 100])
def test_without_places_all_rows_are_held_out(size):
    assert torch.equal(torch.cat(list(HeldOut(ROWS).split(size))), ROWS)


def test_rows_are_not_copied_before_they_are_met():
    rows = ROWS.clone()
    held = HeldOut(rows, torch.tensor([3, 5]))
    rows[5] = -1.0
    assert torch.equal(next(held.split(2)), torch.stack([ROWS[3], torch.full((3,), -1.0)]))
