"""Train a model and write its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.apps.training_detectors import TrainedDetector, train_detector
from narrows.apps.training_examples import Asked, Examples, shared
from narrows.apps.training_members import (
    TrainedMembers,
    findings_of,
    member_files,
    train_members,
)
from narrows.apps.training_streams import TrainedOnStream, train_on_stream
from narrows.apps.watching import progress_bar
from narrows.atomic import check_target
from narrows.errors import InputError
from narrows.launch import joined, launched, refuse_workers, silent
from narrows.plan import Plan

if TYPE_CHECKING:
    from narrows.workers import Workers


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
        The objective, in nats per example: over the last interval, and of the weights kept, on held-out rows.
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
    members: int | None = None,
) -> Trained | TrainedDetector | TrainedOnStream | TrainedMembers | None:
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
    members : int, optional
        Train so many models at once, of the seeds from --seed on, each into a file with its seed in its name: for
        the output m.safetensors m-0.safetensors, m-1.safetensors and on.
    """
    from narrows.data.request import STANDARD_INPUT

    if data == STANDARD_INPUT:
        _check_stream(contaminated, noisy, members)
        return train_on_stream(output, preset, settings, values, reading, plan)
    outputs = _outputs(output, plan, members)
    check = partial(_check, data, outputs, reading, plan, noisy)
    if not launched():
        check()  # before anything large is imported
    with joined(plan.device) as workers:
        with workers.together():
            if launched():
                check()

            from narrows.detection.presets import DETECTORS

            _check_preset(preset, preset in DETECTORS, contaminated, noisy, members)
            if preset in DETECTORS:
                dataset = reading.read(data, kind=values, keep_constants=True)
                return train_detector(dataset, output, preset, contaminated, settings, plan)
            asked = Asked(data, values, reading, noisy, preset, settings, plan)
            large = asked.stay_on_disk()
            if large and members is not None:
                raise InputError(f"the rows of {data} are too many to hold, which --members asks for; leave it out")
            found = asked.on_disk(workers) if large else asked.examples()
        examples = shared(found, workers)
        if noisy is not None:
            settings = ("corruption=own", *settings)
        if members is not None:
            return train_members(examples, preset, settings, plan, outputs)
        return _trained(examples, preset, settings, plan, output, workers)


def _trained(
    examples: Examples, preset: str, settings: tuple[str, ...], plan: Plan, output: Path, workers: Workers
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
        held_out_nats=fitted.record["held_out_nats"],
        findings=findings_of(fitted),
        notes=list(examples.notes),
    )


def _check_stream(contaminated: bool, noisy: str | None, members: int | None) -> None:
    """Refuse what has no meaning for rows that come once."""
    refuse_workers("training on standard input")
    options = {"--contaminated": contaminated, "--noisy": noisy is not None, "--members": members is not None}
    for option, given in options.items():
        if given:
            raise InputError(f"{option} is for a file, and standard input was given; leave it out, or give a file")


def _check_preset(preset: str, detects: bool, contaminated: bool, noisy: str | None, members: int | None) -> None:
    """Refuse options that mean nothing to a detector, or to any preset but a detector, and what is no preset."""
    from narrows.presets import check_preset

    if not detects and contaminated:
        raise InputError(f"--contaminated is for detectors, and {preset} is none; leave it out, or --preset detector")
    if not detects:
        check_preset(preset)  # before all data are read
        return
    refuse_workers(f"preset {preset}")
    if noisy is not None:
        raise InputError(f"--noisy is for models that denoise, and {preset} is none; take --preset denoiser")
    if members is not None:
        raise InputError(f"--members is for autoencoders, and {preset} is none; leave it out")


def _outputs(output: Path, plan: Plan, members: int | None) -> list[Path]:
    """The files to write."""
    if members is None:
        return [output]
    refuse_workers("--members")
    return member_files(output, plan.seed, members)


def _check(data: str, outputs: Sequence[Path], reading: Reading, plan: Plan, noisy: str | None) -> None:
    """Raise `InputError` for what can be told at once to be of no use; only the first worker writes."""
    plan.check()
    inputs = [data] if noisy is None else [data, noisy]
    if not silent():
        for output in outputs:
            check_target(output, inputs=inputs)
        _check_side_outputs(plan, data)
    for given in inputs:
        reading.check(given)


def _check_side_outputs(plan: Plan, data: str) -> None:
    if plan.log is not None:
        check_target(plan.log, inputs=[data])
    if plan.checkpoint is not None and plan.checkpoint.exists() and not plan.checkpoint.is_dir():
        raise InputError(f"{plan.checkpoint} is a file; give --checkpoint a folder")
