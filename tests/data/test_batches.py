"""The order of examples: every row once an epoch, a new order in the next, and resumption anywhere."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.batches import Batches


def take(batches, count):
    return [batch.flatten().tolist() for batch in itertools.islice(iter(batches), count)]


def rows(n):
    return torch.arange(n).view(n, 1)


@given(n=st.integers(1, 40), size=st.integers(1, 50), seed=st.integers(0, 5))
def test_every_row_comes_once_an_epoch_and_the_last_batch_holds_what_is_left(n, size, seed):
    batches = Batches(rows(n), size, seed=seed)
    for _ in range(3):
        epoch = take(batches, batches.per_epoch)
        assert sorted(itertools.chain(*epoch)) == list(range(n))
        assert [len(batch) for batch in epoch[:-1]] == [min(size, n)] * (batches.per_epoch - 1)
        assert len(epoch[-1]) == n - min(size, n) * (batches.per_epoch - 1)


def test_each_epoch_has_an_order_of_its_own_and_equal_seeds_have_equal_ones():
    one, two, other = (take(Batches(rows(30), 7, seed=seed), 10) for seed in (0, 0, 1))
    assert one == two
    assert one != other
    assert one[:5] != one[5:]


@given(n=st.integers(1, 20), size=st.integers(1, 8), done=st.integers(0, 30))
def test_it_resumes_anywhere_as_if_it_had_never_stopped(n, size, done):
    whole = Batches(rows(n), size)
    take(whole, done)
    resumed = Batches(rows(n), size)
    take(resumed, 3)
    resumed.go_to(whole.epoch, whole.position)
    assert take(resumed, 12) == take(whole, 12)


def test_going_back_works_within_a_running_iteration():
    batches = Batches(rows(10), 3)
    running = iter(batches)
    first = [next(running).tolist() for _ in range(4)]
    next(running)
    batches.go_to(0, 0)
    assert [next(running).tolist() for _ in range(4)] == first


def test_a_full_batch_is_the_tensor_itself():
    values = rows(10)
    assert next(iter(Batches(values, 10))) is values
    assert next(iter(Batches(values, 1000))) is values


def test_one_at_a_time():
    assert all(len(batch) == 1 for batch in take(Batches(rows(10), 1), 20))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_rows_keep_their_stored_type_and_shape(dtype):
    values = torch.zeros(10, 1, 4, 5, dtype=dtype)
    batch = next(iter(Batches(values, 3)))
    assert batch.dtype == dtype
    assert batch.shape == (3, 1, 4, 5)


def test_position_counts_rows_within_the_epoch():
    batches = Batches(rows(10), 4)
    seen = []
    for _ in zip(range(4), batches, strict=False):
        seen.append((batches.epoch, batches.position))
    assert seen == [(0, 4), (0, 8), (1, 0), (1, 4)]
