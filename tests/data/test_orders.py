"""Places that are worked out where they are asked for: all but some, and the order of an epoch by pools."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.orders import Others, PooledOrder


@given(count=st.integers(0, 60), without=st.sets(st.integers(0, 59)), data=st.data())
def test_others_are_all_but_some(count, without, data):
    left_out = sorted(place for place in without if place < count)
    others = Others(count, torch.tensor(left_out, dtype=torch.int64))
    expected = torch.tensor([place for place in range(count) if place not in without], dtype=torch.int64)
    assert len(others) == len(expected)
    start, stop, step = (data.draw(st.integers(low, 70)) for low in (0, 0, 1))
    assert torch.equal(others[start:stop:step], expected[start:stop:step])
    if len(expected):
        positions = torch.tensor(data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=5)), dtype=torch.int64)
        assert torch.equal(others[positions], expected[positions])


@given(
    count=st.integers(1, 500),
    block=st.integers(1, 40),
    batch=st.integers(1, 70),
    batches=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_an_epoch_has_every_row_once_and_a_pool_is_the_same_whichever_came_before(count, block, batch, batches, seed):
    pool = batch * batches

    def order():
        return PooledOrder(torch.arange(count), block, batch, pool, seed)

    starts = range(0, count, pool)
    whole = order()
    pools = [whole[start : start + pool] for start in starts]
    assert torch.equal(torch.cat(pools).sort().values, torch.arange(count))
    for start, expected in reversed(list(zip(starts, pools, strict=True))):
        assert torch.equal(order()[start : start + batch], expected[:batch])
    blocks = torch.cat([torch.unique_consecutive(found.sort().values // block) for found in pools])
    assert len(blocks) <= -(-count // block) + len(pools)  # no block lies in more pools than it must


def test_epochs_differ_and_rows_of_a_block_are_apart():
    first, second = (PooledOrder(torch.arange(10_000), 100, 50, 2000, seed)[0:2000] for seed in (0, 1))
    assert not torch.equal(first, second)
    assert np.mean([len((batch // 100).unique()) for batch in first.split(50)]) == pytest.approx(
        20 * (1 - (1 - 1 / 20) ** 50), abs=3
    )
