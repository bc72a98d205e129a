"""Who works on shards: this process, or workers under Ray."""

from __future__ import annotations

import errno
import importlib.util
import io
import json
import logging
import os
import socket
import sys
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import Field, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from urllib.parse import urlsplit

from narrows.apps.shard_folder import Task
from narrows.data.wording import brief
from narrows.errors import InputError, lack_of_memory

if TYPE_CHECKING:
    from narrows.apps.reading import Reading

Made = Mapping[str, int]  # figures of a shard, which add up over shards
Opened = Callable[[str, Path], Made]

STANDARD_ERROR = 2
# Errors that another shard would meet as well.
OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
RETRIES = 3  # of a shard whose worker was lost
SECONDS_TO_ANSWER = 10.0
STARTS = 3  # Ray gives processes of its own 15 seconds to start, which a busy machine may not
STORE_BYTES = 2**27  # names and figures are all that workers are sent


class Work(Protocol):
    """What is made of each shard: a frozen dataclass, which travels to workers and holds plain values alone."""

    verb: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def model(self) -> Path:
        """The file of the model."""

    @property
    def reading(self) -> Reading:
        """How shards are read."""

    def open(self) -> Opened:
        """Load the model; give what makes one output of one shard, whole or not at all."""


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Parameters
    ----------
    place : int
        Of the task.
    made : dict
        Its figures.
    refused : str or None
        Why there is no output.
    bad : bool
        Whether that is for what the shard holds: it may be left out, and others need not fail as well.
    """

    place: int
    made: Mapping[str, int]
    refused: str | None = None
    bad: bool = False


def attempt(opened: Opened, place: int, source: str, target: Path) -> Outcome:
    """Make the output of a shard: its figures, or, in a sentence, why there is none."""
    try:
        return Outcome(place, opened(source, target))
    except InputError as error:
        return Outcome(place, {}, str(error), bad=True)
    except OSError as error:
        said = f"could not read or write {error.filename or source}: {error.strerror or error}"
        return Outcome(place, {}, said, bad=error.filename in (None, source) and error.errno not in OF_THE_MACHINE)
    except MemoryError as error:
        return Outcome(place, {}, lack_of_memory(error))


def in_this_process(opened: Opened, tasks: Sequence[Task]) -> Generator[Outcome]:
    """Work on one task after the other."""
    for place, task in enumerate(tasks):
        yield attempt(opened, place, str(task.shard.path), task.target)


def under_ray(work: Work, tasks: Sequence[Task], workers: int | None, address: str | None) -> Generator[Outcome]:
    """Work on tasks with Ray Data: actors of one core each, which load the model once, in no certain order.

    A worker that is lost is started again, and its shard goes to another one.

    Parameters
    ----------
    work : Work
        What to do.
    tasks : sequence of Task
        What to do it to.
    workers : int or None
        How many; as many as there are cores, unless given.
    address : str or None
        Of a cluster; without it that of RAY_ADDRESS; without that, one is started on this machine.

    Raises
    ------
    InputError
        If Ray is not installed, there is no such cluster, or a shard lost its worker again and again.
    """
    check_ray()
    items = [
        {"place": place, "source": str(task.shard.path.absolute()), "target": str(task.target.absolute())}
        for place, task in enumerate(tasks)
    ]
    worker: Any = _Worker  # a class that is called as a function is, once a shard
    with _cluster(workers, address) as cores:
        import ray
        from ray.exceptions import RayError

        count = min(workers or cores, len(items))
        shards = ray.data.from_items(items, override_num_blocks=len(items))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray warns of the one way that it has to bound retries
            made = shards.map(
                worker,
                fn_constructor_args=(replace(work, model=work.model.absolute()),),
                compute=ray.data.ActorPoolStrategy(size=count, max_tasks_in_flight_per_actor=1),
                num_cpus=1,
                ray_remote_args_fn=lambda: {"max_restarts": -1, "max_task_retries": RETRIES},
            )
        try:
            for row in made.iter_rows():
                yield Outcome(int(row["place"]), json.loads(row["made"]), row["refused"] or None, bool(row["bad"]))
        except RayError as error:
            raise InputError(
                f"Ray gave up ({brief(error)}); finished shards are kept, and the same command goes on from them"
            ) from error


def check_ray() -> None:
    """Raise `InputError` where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise InputError("--engine ray needs Ray, which is not installed; pip install 'narrows[ray]'")


def check_cluster(address: str | None) -> None:
    """Raise `InputError` where nobody answers at the address of a cluster, for whom Ray waits for minutes.

    Parameters
    ----------
    address : str or None
        As of `under_ray`; only one of a host and a port can be tried.
    """
    address = _named(address)
    try:
        place = urlsplit(f"//{(address or '').removeprefix('ray://')}")
        if place.hostname is not None and place.port is not None:
            socket.create_connection((place.hostname, place.port), SECONDS_TO_ANSWER).close()
    except (OSError, ValueError) as error:
        raise InputError(f"Ray {_trouble(address)} ({brief(error)})") from error


def _named(address: str | None) -> str | None:
    """The cluster's address that was given, in words or by the environment."""
    return address or os.environ.get("RAY_ADDRESS")


class _Worker:
    """An actor: a model, loaded once, that shards come to."""

    def __init__(self, work: Work) -> None:
        self._opened = work.open()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        outcome = attempt(self._opened, row["place"], row["source"], Path(row["target"]))
        told = {"place": outcome.place, "made": json.dumps(dict(outcome.made)), "bad": outcome.bad}
        return {**told, "refused": outcome.refused or ""}


@contextmanager
def _cluster(workers: int | None, address: str | None) -> Iterator[int]:
    """Join a cluster, or start one on this machine for as long as the block lasts; give the number of its cores."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no word leaves the machine unasked
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with _muted():  # Ray's core writes there by itself, first of all that it was told not to
        import ray

        own = not ray.is_initialized()
        if own:
            _join(workers, _named(address))
    try:
        _silence()
        # Ray tells of lost workers on standard output, where results go; its logs have it all.
        with redirect_stdout(io.StringIO()):
            yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        if own:
            ray.shutdown()


@contextmanager
def _muted() -> Iterator[None]:
    """Let nothing reach standard error, not even past Python."""
    sys.stderr.flush()
    kept, nothing = os.dup(STANDARD_ERROR), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, STANDARD_ERROR)
    try:
        yield
    finally:
        os.dup2(kept, STANDARD_ERROR)
        os.close(kept)
        os.close(nothing)


def _join(workers: int | None, address: str | None) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    here: dict[str, Any] = {"num_cpus": workers or _cores(), "object_store_memory": STORE_BYTES}
    where: dict[str, Any] = {"address": address} if address else {"include_dashboard": False, **here}
    for attempts_left in reversed(range(1 if address else STARTS)):
        try:
            ray.init(**where, **quiet)
            return
        except Exception as error:  # Ray raises no narrower one where a process of its own did not start
            ray.shutdown()
            if not attempts_left:
                raise InputError(f"Ray {_trouble(address)} ({brief(error)})") from error


def _trouble(address: str | None) -> str:
    if address:
        return f"has no cluster at {address}; start it, give another --engine-address, or leave out RAY_ADDRESS"
    return "did not start on this machine; free memory and cores, or take --engine local"


def _silence() -> None:
    """Ray Data draws and logs; what is to be said of shards the verb says."""
    import ray

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
