"""One thread that computes, so that the loop never waits; small requests that come together share a forward pass."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from torch import nn

from narrows.errors import InputError
from narrows.serve.answers import Answer
from narrows.serve.limits import MOST_WAITING
from narrows.serve.problems import OutOfTime, Refused
from narrows.serve.reading import Given, values_of_objects

T = TypeVar("T")


class Work(Protocol):
    """What is to be made of rows; equal work may be done at once."""

    @property
    def schema(self) -> Any:
        """Of the rows."""

    def compute(self, values: np.ndarray) -> Answer:
        """Make it of values."""


@dataclass
class _Job:
    work: Work
    given: Given
    until: float
    future: asyncio.Future[Answer]


@dataclass(frozen=True)
class Batching:
    """How small requests are brought together.

    Parameters
    ----------
    rows : int
        Of one pass; 1 where every request has a pass of its own.
    wait : float
        Seconds that the first of them waits for others, while nothing is computed.
    """

    rows: int
    wait: float


@dataclass
class Worker:
    """A thread with a queue.

    Parameters
    ----------
    module : nn.Module
        What computes. Each of its parts looks at the clock, so that work whose time is up ends at the next one.
    batching : Batching
        How small requests are brought together.
    seconds : float
        For one piece of work, waiting included.
    seen : callable
        Told how many rows each pass had.
    """

    module: nn.Module
    batching: Batching
    seconds: float
    seen: Callable[[int], None] = lambda _: None
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "narrows"))
    _waiting: deque[_Job] = field(default_factory=deque)
    _rows: int = 0
    _queued: int = 0
    _busy: bool = False
    _timer: asyncio.TimerHandle | None = None
    _until: float = float("inf")

    def __post_init__(self) -> None:
        """Hang the clock into the model."""
        for part in self.module.modules():
            part.register_forward_pre_hook(self._look_at_the_clock)

    @property
    def full(self) -> bool:
        """Whether no more work is taken."""
        return self._queued >= MOST_WAITING

    def deadline(self) -> float:
        """When work that begins now must have ended."""
        return time.monotonic() + self.seconds

    async def run(self, work: Callable[[], T], until: float) -> T:
        """Do one piece of work by itself.

        Raises
        ------
        OutOfTime
            If it is not done by ``until``.
        Refused
            If too much is waiting already.
        """
        self._admit()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._timed, work, until)
        finally:
            self._queued -= 1

    async def share(self, work: Work, given: Given) -> Answer:
        """Do a small piece of work in a pass that others may share; raises as `run`."""
        self._admit()
        loop = asyncio.get_running_loop()
        job = _Job(work, given, self.deadline(), loop.create_future())
        self._waiting.append(job)
        self._rows += given.count
        if not self._busy:
            if self._rows >= self.batching.rows:
                self._flush()
            elif self._timer is None:
                self._timer = loop.call_later(self.batching.wait, self._flush)
        try:
            return await job.future
        finally:
            self._queued -= 1

    def close(self) -> None:
        """Let the thread end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _admit(self) -> None:
        if self.full:
            raise Refused(503, "the server has too much to do; send it again later", {"Retry-After": "1"})
        self._queued += 1

    def _flush(self) -> None:
        """Give the thread the next batch, if it has none."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        jobs = self._taken()
        if self._busy or not jobs:
            return
        self._busy = True
        done = asyncio.get_running_loop().run_in_executor(self._pool, self._outcomes, jobs)
        done.add_done_callback(functools.partial(self._tell, jobs))

    def _taken(self) -> list[_Job]:
        """The first job waiting, and those after it that can share its pass."""
        jobs: list[_Job] = []
        rows = 0
        while not self._busy and self._waiting:
            job = self._waiting[0]
            if jobs and (job.work != jobs[0].work or rows + job.given.count > self.batching.rows):
                break
            rows += job.given.count
            self._rows -= job.given.count
            jobs.append(self._waiting.popleft())
        return jobs

    def _tell(self, jobs: Sequence[_Job], done: asyncio.Future[list[Answer | BaseException]]) -> None:
        """Give everyone what is theirs, and go on."""
        self._busy = False
        failed = done.exception() if not done.cancelled() else OutOfTime()
        outcomes = [failed] * len(jobs) if failed is not None else done.result()
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.future.done():
                continue  # the client has gone
            if isinstance(outcome, BaseException):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)
        self._flush()

    def _outcomes(self, jobs: Sequence[_Job]) -> list[Answer | BaseException]:
        """An answer or an error for each job: what is no row spoils none beside it."""
        values, errors = _read(jobs)
        places = [place for place in range(len(jobs)) if place not in errors]
        outcomes: list[Any] = [errors.get(place) for place in range(len(jobs))]
        if not places:
            return outcomes
        self.seen(sum(map(len, values)))
        try:
            until = min(job.until for job in jobs)
            answer = self._timed(lambda: jobs[0].work.compute(np.concatenate(values)).spelled(), until)
        except Exception as error:  # told to each of them
            for place in places:
                outcomes[place] = error
            return outcomes
        start = 0
        for place, rows in zip(places, values, strict=True):
            outcomes[place] = answer.cut(start, start + len(rows))
            start += len(rows)
        return outcomes

    def _timed(self, work: Callable[[], T], until: float) -> T:
        """Work that the clock may end."""
        self._until = until
        try:
            self._look_at_the_clock()
            return work()
        finally:
            self._until = float("inf")

    def _look_at_the_clock(self, *_: Any) -> None:
        if time.monotonic() > self._until:
            raise OutOfTime


def _read(jobs: Sequence[_Job]) -> tuple[list[np.ndarray], dict[int, BaseException]]:
    """Values of the jobs that hold some, and what is wrong with the others.

    All at once, which costs less; where some row is none, in turn, which tells whose it is.
    """
    schema = jobs[0].work.schema
    if len(jobs) > 1 and all(job.given.objects is not None for job in jobs):
        with contextlib.suppress(InputError):
            all_rows = values_of_objects([row for job in jobs for row in job.given.objects or ()], schema)
            ends = np.cumsum([job.given.count for job in jobs])
            return np.split(all_rows, ends[:-1]), {}
    values: list[np.ndarray] = []
    errors: dict[int, BaseException] = {}
    for place, job in enumerate(jobs):
        try:
            values.append(job.given.read(schema))
        except Exception as error:  # told to the one whose it is
            errors[place] = error
    return values, errors
