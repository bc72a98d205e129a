"""Requests that come together share a pass; none spoils another, and none holds the thread for longer than its time."""

import asyncio
import time

import numpy as np
import pyarrow as pa
import pytest
from served import TABLE, objects, rows
from torch import nn

from narrows.errors import InputError
from narrows.serve.answers import Columns
from narrows.serve.problems import OutOfTime, Refused
from narrows.serve.reading import Given
from narrows.serve.worker import Batching, Worker

TOGETHER = Batching(64, 0.05)


class Sums:
    """Work whose answer is told by the rows, and which notes how many it got at once."""

    def __init__(self) -> None:
        self.schema = TABLE
        self.module = nn.Linear(1, 1)
        self.passes = []

    def compute(self, values):
        self.passes.append(len(values))
        if (values[:, 0] == 13).any():
            raise InputError("thirteen")
        return Columns(pa.table({"sum": np.nansum(values[:, :2], 1)}))


def given(raw) -> Given:
    return Given(len(raw), False, objects=objects(raw))


def worked(work, batches, batching=TOGETHER, seconds=5.0):
    """What comes of pieces of work that are asked for at the same time."""

    async def all_at_once():
        worker = Worker(work.module, batching, seconds)
        try:
            return await asyncio.gather(*(worker.share(work, one) for one in batches), return_exceptions=True)
        finally:
            worker.close()

    return asyncio.run(all_at_once())


def test_requests_share_passes_and_each_gets_its_own():
    raw = rows(3, 150)
    work = Sums()
    pieces = [raw[start : start + 1 + start % 3] for start in range(0, 150, 3)]
    answers = worked(work, map(given, pieces))
    for piece, answer in zip(pieces, answers, strict=True):
        np.testing.assert_allclose([row["sum"] for row in answer.plain()], np.nansum(piece[:, :2], 1), rtol=1e-6)
    assert sum(work.passes) == sum(map(len, pieces))
    assert max(work.passes) <= 64
    assert len(work.passes) <= 3


def test_without_batching_each_has_a_pass():
    work = Sums()
    worked(work, [given(rows(3, 1))] * 5, Batching(1, 0.0))
    assert work.passes == [1] * 5


def test_what_is_no_row_spoils_none_beside_it():
    work = Sums()
    good, bad = given(rows(3, 1)), Given(1, True, objects=[{"amount": "x"}])
    answers = worked(work, [good, bad, good])
    assert isinstance(answers[1], InputError)
    assert len(answers[0]) == len(answers[2]) == 1
    assert work.passes == [2]


def test_an_error_of_a_pass_is_told_to_all_in_it_and_the_next_one_works():
    unlucky = rows(3, 1)
    unlucky[0, 0] = 13
    work = Sums()

    async def twice():
        worker = Worker(work.module, Batching(64, 0.01), 5)
        first = await asyncio.gather(worker.share(work, given(unlucky)), return_exceptions=True)
        return first[0], await worker.share(work, given(rows(3, 1)))

    failed, fine = asyncio.run(twice())
    assert str(failed) == "thirteen"
    assert len(fine) == 1


def test_work_whose_time_is_up_ends_at_the_next_part_of_the_model():
    class Slow(Sums):
        def compute(self, values):
            for _ in range(100):
                time.sleep(0.05)
                self.module(nn.Parameter(nn.Linear(1, 1).weight.detach()))
            return super().compute(values)

    work = Slow()
    began = time.monotonic()
    (failed,) = worked(work, [given(rows(3, 1))], seconds=0.2)
    assert isinstance(failed, OutOfTime)
    assert time.monotonic() - began < 3
    assert work.passes == []


def test_a_client_that_has_gone_disturbs_nobody():
    work = Sums()

    async def cancelled():
        worker = Worker(work.module, Batching(64, 0.05), 5)
        leaving = asyncio.ensure_future(worker.share(work, given(rows(3, 1))))
        staying = asyncio.ensure_future(worker.share(work, given(rows(3, 1))))
        await asyncio.sleep(0)
        leaving.cancel()
        return len(await staying), worker._queued

    assert asyncio.run(cancelled()) == (1, 0)


def test_too_much_work_is_refused(monkeypatch):
    monkeypatch.setattr("narrows.serve.worker.MOST_WAITING", 3)
    answers = worked(Sums(), [given(rows(3, 1))] * 5)
    assert [isinstance(one, Refused) for one in answers] == [False] * 3 + [True] * 2


def test_work_alone_is_timed_too():
    async def alone():
        worker = Worker(nn.Linear(1, 1), Batching(64, 0.0), 5)
        with pytest.raises(OutOfTime):
            await worker.run(lambda: None, time.monotonic() - 1)
        return await worker.run(lambda: 7, worker.deadline())

    assert asyncio.run(alone()) == 7
