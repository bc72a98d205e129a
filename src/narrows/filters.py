"""Filters over the progress of a run: each takes the iterator, does one thing at every interval, and passes it on."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from narrows.atomic import naming
from narrows.checkpoint import Best, save_checkpoint
from narrows.data.held_out import HeldOut
from narrows.doctor import broken
from narrows.records import plain
from narrows.tensors import copied
from narrows.train import Run
from narrows.values import Finding, Progress

SECONDS_BETWEEN_CHECKPOINTS = 5.0


def guarded(run: Run, progress: Iterator[Progress], report: Callable[[Finding], None]) -> Iterator[Progress]:
    """Stop where a figure is no longer a number; put the last good weights back and report which term failed first."""
    models = [run.model] if run.average is None else [run.model, run.average.model]
    # Now, not at the first look: the first interval of one member is that of all.
    good = [copied(model.state_dict()) for model in models]
    return _guarded(run, progress, report, models, good)


def _guarded(
    run: Run,
    progress: Iterator[Progress],
    report: Callable[[Finding], None],
    models: Sequence[nn.Module],
    good: list[dict[str, Tensor]],
) -> Iterator[Progress]:
    """See `guarded`; ``good`` are the weights of the models to go back to."""
    for now in progress:
        finite = all(map(math.isfinite, dataclasses.astuple(now.training)))
        if not finite or not _finite(run.model):
            report(broken(run.figures, run.full_rate))
            for model, weights in zip(models, good, strict=True):
                model.load_state_dict(weights)
            return
        good = [copied(model.state_dict(), weights) for model, weights in zip(models, good, strict=True)]
        yield now


@torch.no_grad()
def _finite(model: nn.Module) -> bool:
    """Whether all weights are numbers; the host asks the device but once."""
    finite = [tensor.isfinite().all() for tensor in model.parameters()]
    return not finite or bool(torch.stack(finite).all())


def validated(run: Run, progress: Iterator[Progress], values: Tensor | HeldOut) -> Iterator[Progress]:
    """Add the held-out figures at the end of each epoch, and at the end."""
    for now in progress:
        if now.epoch_ended or now.share >= 1.0:
            figures = run.validate(values)
            run.schedule.see(figures.nats)
            now = dataclasses.replace(now, validation=figures)
        yield now


def keeping_best(run: Run, progress: Iterator[Progress], best: Best, patience: int) -> Iterator[Progress]:
    """Keep the weights with the lowest held-out figure; stop after ``patience`` validations without a lower one.

    While the latent is not settled, the last weights are the best ones.
    """
    if best.waited >= patience:
        return
    for now in progress:
        if now.validation is not None:
            best.see(now.validation.nats, run.deployed.state_dict())
            if not run.model.latent.settled(now.share):
                best.nats = math.inf  # the next ones are better, whatever their figure
        yield now
        if best.waited >= patience:
            return


def recorded(progress: Iterator[Progress], history: list[Progress]) -> Iterator[Progress]:
    """Keep the progress of every epoch's end."""
    for now in progress:
        if now.epoch_ended or now.share >= 1.0:
            history.append(now)
        yield now


def checkpointed(
    run: Run,
    progress: Iterator[Progress],
    folder: Path,
    best: Best,
    history: list[Progress],
    plan: Mapping[str, Any],
) -> Iterator[Progress]:
    """Write a checkpoint every few seconds and at the end."""
    last = -math.inf
    for now in progress:
        if time.monotonic() - last >= SECONDS_BETWEEN_CHECKPOINTS or now.share >= 1.0:
            save_checkpoint(folder, run, best, history, plan)
            last = time.monotonic()
        yield now


def logged(progress: Iterator[Progress], path: Path) -> Iterator[Progress]:
    """Append each interval's progress to a file as a JSON line."""
    with naming(path):
        path.touch()
    for now in progress:
        with naming(path), path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(plain(now)) + "\n")
        yield now
