"""Train a model and write its file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.apps.training_detectors import TrainedDetector, train_detector
from narrows.apps.training_streams import TrainedOnStream, train_on_stream
from narrows.apps.watching import progress_bar, waiting
from narrows.atomic import check_target
from narrows.errors import InputError
from narrows.launch import joined, launched, refuse_workers, silent
from narrows.plan import Plan

if TYPE_CHECKING:
    import numpy as np

    from narrows.data.filed import Filed
    from narrows.data.schema import Schema
    from narrows.data.unpacking import Unpacked
    from narrows.workers import Workers

READ_IN_BLOCKS = "the rows are too many to hold: blocks of them are read when they are trained on"
UNPACKED = "they were written one after the other into a temporary file in {folder}, of {size:.1f} GiB"


@dataclass(frozen=True)
class Trained:
    """What a training came to.

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
        Rows given, and those of them held out to choose the best weights.
    epochs : float
        Passes made over the training rows.
    steps : int
        Updates made.
    seconds : float
        Time spent in training.
    training_nats, held_out_nats : float or None
        The objective, in nats per example: over the last interval, and the lowest on held-out rows.
    findings : list of str
        What the doctor found.
    notes : list of str
        Columns that were left out, and why.
    """

    model: str
    preset: str
    data: str
    parts: str
    parameters: int
    rows: int
    held_out: int
    epochs: float
    steps: int
    seconds: float
    training_nats: float | None
    held_out_nats: float | None
    findings: list[str]
    notes: list[str]


def train(
    data: str,
    output: Path,
    preset: str = "autoencoder",
    settings: tuple[str, ...] = (),
    values: str | None = None,
    reading: Reading = Reading(),  # noqa: B008  frozen
    plan: Plan = Plan(),  # noqa: B008  frozen
    contaminated: bool = False,
    noisy: str | None = None,
) -> Trained | TrainedDetector | TrainedOnStream | None:
    """Train a model on your own images or table, and write it as one file.

    Parameters
    ----------
    data : str
        A file, a folder of images, or a named data set (see narrows data); or - for standard input, an Arrow stream,
        of which one pass is made.
    output : Path
        The model file to write, by custom with the suffix .safetensors.
    preset : str
        Which kind of autoencoder, or detector of anomalies (see narrows presets).
    settings : tuple of str
        Change single choices of the preset, such as latent=gaussian latent.size=32 (see narrows parts).
    values : {"binary", "levels", "counts", "reals"}, optional
        Kind of values, where it is not the one inferred (see narrows data DATA).
    reading : Reading
        How to read the data.
    plan : Plan
        How to train.
    contaminated : bool
        For a detector: anomalies may be among the rows, and no false-alarm rate is promised.
    noisy : str, optional
        A noisy version of each example of the data, in the same order (of files, that of their names): what a denoiser
        learns to clean up. It takes the place of the preset's own noise.
    """
    from narrows.data.request import STANDARD_INPUT

    if data == STANDARD_INPUT:
        _check_stream(contaminated, noisy)
        return train_on_stream(output, preset, settings, values, reading, plan)
    check = partial(_check, data, output, reading, plan, noisy)
    if not launched():
        check()  # before anything large is imported
    with joined(plan.device) as workers:
        with workers.together():
            if launched():
                check()

            from narrows.detection.presets import DETECTORS

            if preset in DETECTORS:
                return _detector(data, output, preset, contaminated, settings, values, reading, plan, noisy)
            if contaminated:
                raise InputError(
                    f"--contaminated is for detectors, and {preset} is none; leave it out, or --preset detector"
                )
            on_disk = noisy is None and _stays_on_disk(data, reading, preset)
            find = partial(_on_disk, settings=settings, plan=plan, workers=workers) if on_disk else _read
            found = find(data, reading, values, preset, noisy)
        examples = found if isinstance(found, _Examples) else _shared(found, workers)
        if noisy is not None:
            settings = ("corruption=own", *settings)
        return _trained(examples, preset, settings, plan, output, workers)


def _detector(
    data: str,
    output: Path,
    preset: str,
    contaminated: bool,
    settings: tuple[str, ...],
    values: str | None,
    reading: Reading,
    plan: Plan,
    noisy: str | None,
) -> TrainedDetector:
    refuse_workers(f"preset {preset}")
    if noisy is not None:
        raise InputError(f"--noisy is for models that denoise, and {preset} is none; take --preset denoiser")
    dataset = reading.read(data, kind=values, keep_constants=True)
    return train_detector(dataset, output, preset, contaminated, settings, plan)


@dataclass(frozen=True)
class _Examples:
    """What is trained on: rows, their schema, what was left out, what is seen of each, and their labels."""

    rows: np.ndarray | Filed
    schema: Schema | None  # of rows in their file, None but for the first worker
    notes: tuple[str, ...]
    noisy: np.ndarray | None = None
    labels: np.ndarray | None = None


def _stays_on_disk(data: str, reading: Reading, preset: str) -> bool:
    """Whether data are too many to hold."""
    from narrows.presets import PRESETS

    return not (preset in PRESETS and PRESETS[preset].symbols) and reading.is_large(data)


def _on_disk(
    data: str,
    reading: Reading,
    values: str | None,
    preset: str,
    _: str | None,
    *,
    settings: tuple[str, ...],
    plan: Plan,
    workers: Workers,
) -> _Examples | Unpacked | None:
    """Rows in their own files, or unpacked by the first worker of each machine; None for its others."""
    from narrows.fit import wants_labels

    filed = reading.filed(data, values)
    if filed is not None:
        # To find the ends of their range, all rows are read: once for all workers.
        return _Examples(filed, filed.schema() if workers.first else None, (READ_IN_BLOCKS, *filed.notes))
    if workers.local_rank:
        return None
    with waiting(f"writing the rows of {data} one after the other, as they are too many to hold"):
        return reading.unpacked(data, values, lambda schema: wants_labels(schema, preset, settings, plan))


def _shared(unpacked: Unpacked | None, workers: Workers) -> _Examples:
    """Rows that the first worker of each machine has unpacked, opened by all of its workers."""
    from narrows.data.unpacking import Unpacked

    records = workers.values(unpacked and unpacked.to_json())
    found = unpacked or Unpacked.from_json(records[workers.rank - workers.local_rank])
    try:
        rows, labels = found.opened(), found.read_labels()
        workers.values(None)  # all have opened it
    finally:
        if unpacked is not None:
            unpacked.forget()
    where = UNPACKED.format(size=rows.size / 2**30, folder=found.path.parent)
    notes = (f"{READ_IN_BLOCKS}; {where}", *found.notes)
    return _Examples(rows, found.schema if workers.first else None, notes, labels=labels)


def _read(data: str, reading: Reading, values: str | None, preset: str, noisy: str | None) -> _Examples:
    from narrows.presets import PRESETS

    symbols = preset in PRESETS and PRESETS[preset].symbols
    dataset = reading.read(data, kind=values, symbols=symbols)
    beside = None if noisy is None else reading.read(noisy, dataset.schema).values
    return _Examples(dataset.values, dataset.schema, dataset.notes, beside, dataset.labels)


def _trained(
    examples: _Examples, preset: str, settings: tuple[str, ...], plan: Plan, output: Path, workers: Workers
) -> Trained | None:
    """Train, write the model, and say what it came to: all that by the first worker."""
    from narrows.data.schema import Schema
    from narrows.fit import fit
    from narrows.model import parameters_in
    from narrows.persist import save

    rows, schema = examples.rows, examples.schema
    if workers.count > 1:
        schema = Schema.from_json(workers.told(schema and schema.to_json()))
    assert schema is not None
    watch = progress_bar if workers.first else iter
    fitted = fit(rows, schema, preset, settings, plan, watch, examples.noisy, examples.labels, workers)
    if not workers.first:
        return None
    save(fitted, output)
    history = fitted.record["history"]
    held_out = [entry["validation"]["nats"] for entry in history if entry["validation"]]
    return Trained(
        model=str(output),
        preset=preset,
        data=schema.describe(),
        parts=", ".join(part.kind for part in fitted.model.recipe.parts().values()),
        parameters=parameters_in(fitted.model),
        rows=len(rows),
        held_out=fitted.record["data"]["held_out"],
        epochs=history[-1]["epoch"] if history else 0.0,
        steps=fitted.record["steps"],
        seconds=fitted.record["seconds"],
        training_nats=history[-1]["training"]["nats"] if history else None,
        held_out_nats=min(held_out) if held_out else None,
        findings=[
            f"{finding['name']}: {finding['what']}; {finding['remedy']}" for finding in fitted.record["findings"]
        ],
        notes=list(examples.notes),
    )


def _check_stream(contaminated: bool, noisy: str | None) -> None:
    """Refuse what has no meaning for rows that come once."""
    refuse_workers("training on standard input")
    if contaminated or noisy is not None:
        raise InputError("--contaminated and --noisy are for files; leave them out, or give a file")


def _check(data: str, output: Path, reading: Reading, plan: Plan, noisy: str | None) -> None:
    """Raise `InputError` for what can be told at once to be of no use; only the first worker writes."""
    plan.check()
    inputs = [data] if noisy is None else [data, noisy]
    if not silent():
        check_target(output, inputs=inputs)
        _check_side_outputs(plan, data)
    for given in inputs:
        reading.check(given)


def _check_side_outputs(plan: Plan, data: str) -> None:
    if plan.log is not None:
        check_target(plan.log, inputs=[data])
    if plan.checkpoint is not None and plan.checkpoint.exists() and not plan.checkpoint.is_dir():
        raise InputError(f"{plan.checkpoint} is a file; give --checkpoint a folder")
