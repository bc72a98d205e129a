"""Checkpoints from which training resumes bit for bit, written whole or not at all."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from narrows.errors import InputError
from narrows.persist import read_tensors, write_tensors
from narrows.records import plain
from narrows.tensors import copied, under
from narrows.train import Run
from narrows.values import Figures, Progress

FILE = "checkpoint.safetensors"
BEST = ("nats", "kept", "waited")


class Best:
    """The weights with the lowest held-out figure so far, and how long it has not fallen.

    Attributes
    ----------
    nats : float
        The lowest figure, which a later one has to be below.
    kept : float or None
        That of the weights here.
    waited : int
        Validations since then.
    weights : dict of str to Tensor
        A copy of the weights that had it.
    """

    def __init__(self) -> None:
        self.nats = math.inf
        self.kept: float | None = None
        self.waited = 0
        self.weights: dict[str, Tensor] = {}

    def see(self, nats: float, weights: Mapping[str, Tensor]) -> None:
        """Take the figure of one more validation, and the weights that had it."""
        if nats < self.nats:
            self.nats, self.kept, self.waited = nats, nats, 0
            self.weights = copied(weights, self.weights)
        else:
            self.waited += 1


def save_checkpoint(folder: Path, run: Run, best: Best, history: list[Progress], plan: Mapping[str, Any]) -> None:
    """Write the state of a run into ``folder``; the one before is replaced in one step."""
    tensors, numbers = _packed(run, best, history)
    write_tensors(folder / FILE, tensors, plain({"what": "checkpoint", "numbers": numbers, "plan": plan}))


def load_checkpoint(folder: Path, run: Run, best: Best, history: list[Progress], plan: Mapping[str, Any]) -> bool:
    """Put a run back to where `save_checkpoint` left it.

    Returns
    -------
    bool
        Whether there was a checkpoint; without one the run begins anew.

    Raises
    ------
    InputError
        If the checkpoint is damaged, or was made with other data or settings.
    """
    if not (folder / FILE).exists():
        return False
    tensors, header = read_tensors(folder / FILE, what="checkpoint")
    differing = _differing(header["plan"], plain(dict(plan)))
    if differing:
        raise InputError(
            f"the checkpoint in {folder} was made with other {', '.join(differing)}; resume with the same data and "
            f"settings, or give --checkpoint another folder"
        )
    _unpack(tensors, header["numbers"], run, best, history)
    # What a kill in the middle of a write left beside it.
    for unfinished in folder.glob(f".{Path(FILE).stem}.*"):
        unfinished.unlink(missing_ok=True)
    return True


def _differing(kept: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of what is not as it was; workers keep no number of threads, and whoever goes on from theirs has any."""
    return [name for name in now if (name in kept or name != "threads") and kept.get(name) != now[name]]


def hand_on(run: Run, best: Best, history: list[Progress]) -> None:
    """Put the run of every worker to where that of the first one is; files are for that one alone."""
    if run.workers.count == 1:
        return
    tensors, numbers = _packed(run, best, history) if run.workers.first else ({}, {})
    tensors, numbers = run.workers.state_handed_on(tensors), run.workers.told(plain(numbers))
    if not run.workers.first:
        _unpack(tensors, numbers, run, best, history)


def _packed(run: Run, best: Best, history: list[Progress]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors, numbers = run.state()
    tensors |= {f"best.{name}": tensor for name, tensor in best.weights.items()}
    return tensors, {**numbers, "best": {name: getattr(best, name) for name in BEST}, "history": history}


def _unpack(tensors: dict[str, Tensor], numbers: dict[str, Any], run: Run, best: Best, history: list[Progress]) -> None:
    run.restore(tensors, numbers)
    best.nats = math.inf if numbers["best"]["nats"] is None else numbers["best"]["nats"]
    best.kept, best.waited = numbers["best"].get("kept", numbers["best"]["nats"]), numbers["best"]["waited"]
    best.weights = under("best.", tensors)
    history[:] = [_progress(record) for record in numbers["history"]]


def _progress(record: dict[str, Any]) -> Progress:
    def figures(values: dict[str, Any] | None) -> Figures | None:
        return None if values is None else Figures(**{name: math.nan if v is None else v for name, v in values.items()})

    training = figures(record["training"])
    assert training is not None
    return dataclasses.replace(
        Progress(**{**record, "training": training, "validation": None}), validation=figures(record["validation"])
    )
