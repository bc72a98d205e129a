"""Train on rows that come on standard input, once, in memory that does not grow with their number."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.atomic import check_target
from narrows.errors import InputError
from narrows.plan import Plan

if TYPE_CHECKING:
    from torch import Tensor

    from narrows.data.dataset import Dataset
    from narrows.online import Learner

HELD_OUT = 2000  # rows at most, of the first part
HEEDED = ("batch_size", "optimizer", "rate", "momentum", "average", "seed", "device", "binarize")


@dataclass(frozen=True)
class TrainedOnStream:
    """What a training on standard input came to.

    Parameters
    ----------
    model : str
        The file written.
    preset : str
        The preset trained.
    data : str
        What the data are.
    parts : str
        The kind on each axis.
    parameters : int
        Trained numbers.
    rows, held_out : int
        Rows that came, and those of them held out to measure.
    steps : int
        Updates made.
    seconds : float
        From the first rows to the last.
    held_out_nats : float or None
        The objective at the end, in nats per example; None where the rows are too few to hold any out.
    notes : list of str
        Columns that were left out, and why; rows that were not learnt from.
    """

    model: str
    preset: str
    data: str
    parts: str
    parameters: int
    rows: int
    held_out: int
    steps: int
    seconds: float
    held_out_nats: float | None
    notes: list[str]


def train_on_stream(
    output: Path,
    preset: str,
    settings: tuple[str, ...],
    values: str | None,
    reading: Reading,
    plan: Plan,
) -> TrainedOnStream:
    """Make one pass over standard input, an Arrow stream, and write the model.

    The first part tells what the columns hold. Each batch first moves the running statistics by which the data are
    standardised, then the weights, at a constant rate; rows are shuffled within parts of about four million cells.

    Raises
    ------
    InputError
        If an option means nothing here, or the rows cannot be used.
    """
    plan.check()
    _refuse_unheeded(preset, plan)
    check_target(output)

    from narrows.data.parts import stream_parts
    from narrows.model import parameters_in
    from narrows.online import Learner
    from narrows.persist import save
    from narrows.tensors import tensor_of
    from narrows.train import held_out

    parts = stream_parts(reading.request(), values)
    first = next(parts)
    learner = Learner.new(first.schema, preset, settings, plan)
    began = time.perf_counter()
    kept = min(HELD_OUT, len(first) // 10)
    apart = tensor_of(first.values[len(first) - kept :])
    missed = _learn(learner, _training_rows(first, kept, parts), plan.seed)
    fitted = learner.fitted
    if not learner.rows:
        raise InputError("not a row of standard input could be learnt from; give more of them, or a lower --rate")
    save(fitted, output)
    model = fitted.model
    return TrainedOnStream(
        model=str(output),
        preset=preset,
        data=first.schema.describe(),
        parts=", ".join(part.kind for part in model.recipe.parts().values()),
        parameters=parameters_in(model),
        rows=learner.rows + kept + missed,
        held_out=kept,
        steps=learner.steps,
        seconds=time.perf_counter() - began,
        held_out_nats=held_out(model, apart).nats if kept else None,
        notes=[*first.notes, *([f"{missed} rows were not learnt from: figures were no numbers"] if missed else [])],
    )


def _refuse_unheeded(preset: str, plan: Plan) -> None:
    from narrows.detection.presets import DETECTORS

    if preset in DETECTORS:
        raise InputError(f"preset {preset} looks at rows more than once; give a file, not standard input")
    for field in dataclasses.fields(plan):
        if field.name not in HEEDED and getattr(plan, field.name) != field.default:
            option = "--" + field.name.replace("_", "-")
            raise InputError(f"{option} was given for standard input, which is read once; leave it out")


def _training_rows(first: Dataset, kept: int, parts: Iterator[Dataset]) -> Iterator[Tensor]:
    """Rows of all parts but those of the first that are held out."""
    from narrows.tensors import tensor_of

    yield tensor_of(first.values[: len(first) - kept])
    for part in parts:
        yield tensor_of(part.values)


def _learn(learner: Learner, parts: Iterator[Tensor], seed: int) -> int:
    """Learn from shuffled parts; return how many rows were passed over, for which figures stopped being numbers."""
    import torch

    generator, missed = torch.Generator().manual_seed(seed), 0
    for rows in parts:
        if learner.learn(rows[torch.randperm(len(rows), generator=generator)]) is not None:
            missed += len(rows)
    return missed
