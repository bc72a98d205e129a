"""Several processes under torchrun: whether this is one of them, and how they find each other. Imports no library."""

from __future__ import annotations

import dataclasses
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from narrows.errors import InputError, SaidByAnother, unknown

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

    from narrows.workers import Workers

ASSUMED_THREADS = "1"  # what torchrun says to its workers where nobody chose a number
SECONDS_TO_COME = 1800.0
AT_WORK = timedelta(days=7)  # for which one may keep the others waiting, as when it reads all rows; who ends is noticed
SHARED = ("train",)  # verbs that several workers share


def launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


def silent() -> bool:
    """Whether another worker says what all have to say."""
    return launched() and _number("RANK") > 0


def refuse_workers(what: str) -> None:
    """Raise `InputError` where several workers were started for what one process does."""
    if launched() and _number("WORLD_SIZE") > 1:
        raise (SaidByAnother if silent() else InputError)(
            f"torchrun started {_number('WORLD_SIZE')} workers, and {what} is for one process; leave torchrun out"
        )


def check_verb(verb: str | None, verbs: Iterable[str]) -> None:
    """Raise `InputError` for a verb that there is not, or that is for one process, where several were started."""
    if verb is not None and verb not in verbs:
        raise unknown("verb", verb, verbs)
    if verb not in SHARED:
        refuse_workers(f"narrows {verb or '--help'}")


@contextmanager
def joined(device: str) -> Iterator[Workers]:
    """Join the other workers for as long as the block lasts; alone, where torchrun started none.

    Each worker computes with its share of the machine's cores. Tensors on accelerators go by NCCL, all others by gloo.

    Parameters
    ----------
    device : str
        Where models are to be trained; `accelerator` says which one is this worker's.

    Raises
    ------
    InputError
        If there are fewer accelerators than workers on this machine.
    """
    from narrows.workers import ALONE, Workers, in_touch

    if not launched():
        yield ALONE
        return
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    rank, count, local_rank, local_count = map(_number, ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    again = _number("TORCHELASTIC_RESTART_COUNT") > 0
    if os.environ.get("OMP_NUM_THREADS", ASSUMED_THREADS) == ASSUMED_THREADS:
        torch.set_num_threads(max(1, _cores() // local_count))
    workers = Workers(rank, count, local_rank, local_count, elastic=True, again=again)
    if count == 1:
        yield workers
        return
    try:
        chosen = torch.device(accelerator(device, local_rank, local_count))
    except InputError as error:  # which all workers of this machine meet
        raise (SaidByAnother if local_rank else InputError)(str(error)) from error
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    with in_touch():
        store = unused(next(rendezvous("env://", rank, count))[0], rank, count)
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=AT_WORK, store=store, rank=rank, world_size=count)
    # Where a machine joined or left, only some workers are told that it is not the first time.
    yield dataclasses.replace(workers, again=any(workers.values(again)))
    distributed.destroy_process_group()


def unused(store: Store, rank: int, count: int) -> Store:
    """Return a part of the engine's store that no earlier attempt of its workers has written into.

    The engine keeps one store for all attempts, in which workers look up each other's addresses: one that is started
    again must not find those of workers that have gone. Each says that it is here by a word of its own, to which alone
    the first worker answers with the name of the part; it answers until it has heard from all.

    Raises
    ------
    InputError
        If not all workers come.
    """
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]

    word = secrets.token_hex(8)
    if rank:
        store.set(f"here/{rank}", word)
        part = store.get(f"part/{word}").decode()
        store.set(f"heard/{part}/{rank}", "")
        return PrefixStore(part, store)
    waited_for, last = set(range(1, count)), time.monotonic() + SECONDS_TO_COME
    while waited_for:
        for other in tuple(waited_for):
            if store.check([f"here/{other}"]):
                store.set(f"part/{store.get(f'here/{other}').decode()}", word)
            if store.check([f"heard/{word}/{other}"]):
                waited_for.remove(other)
        if time.monotonic() > last:
            raise InputError(f"{len(waited_for)} of {count} workers did not come; see what they said")
        time.sleep(0.01)
    return PrefixStore(word, store)


def accelerator(device: str, rank: int, count: int) -> str:
    """Name the device of one of the workers on a machine.

    Raises
    ------
    InputError
        If there are fewer accelerators than workers, or one was named for all of them.
    """
    import torch

    if count > 1 and device.startswith("cuda:"):
        raise InputError(f"--device {device} names one accelerator for {count} workers; take --device cuda")
    if device not in ("auto", "cuda") or (device == "auto" and not torch.cuda.is_available()):
        return "cpu" if device == "auto" else device
    if torch.cuda.device_count() < count:
        raise InputError(
            f"{count} workers were started on a machine with {torch.cuda.device_count()} accelerators; start one for "
            f"each (torchrun --nproc-per-node), or take --device cpu"
        )
    return f"cuda:{rank}"


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _number(name: str) -> int:
    return int(os.environ.get(name, "0"))
