"""Train many models at once: what the verb train does where members are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from narrows.apps.watching import progress_bar
from narrows.atomic import writing
from narrows.plan import Plan, member_seeds

if TYPE_CHECKING:
    from narrows.apps.training_examples import Examples
    from narrows.persist import Fitted


@dataclass(frozen=True)
class TrainedMembers:
    """What training many models at once came to.

    Parameters
    ----------
    models : list of str
        The files written, in the order of their seeds.
    preset : str
        The preset trained.
    data : str
        What the data are.
    parts : str
        The kind on each axis.
    parameters : int
        Trained numbers of each model.
    rows, held_out : int
        Rows given, and those of them held out to choose the best weights of each.
    steps : list of int
        Updates made of each.
    seconds : float
        Time spent in training all.
    held_out_nats : list of float
        The objective of the weights kept of each on its held-out rows, in nats per example.
    mean_held_out_nats, spread_held_out_nats : float or None
        Their mean, and their standard deviation where there are several.
    findings : list of str
        What the doctor found, with the file that it found it in.
    notes : list of str
        Columns that were left out, and why.
    """

    models: list[str]
    preset: str
    data: str
    parts: str
    parameters: int
    rows: int
    held_out: int
    steps: list[int]
    seconds: float
    held_out_nats: list[float]
    mean_held_out_nats: float | None
    spread_held_out_nats: float | None
    findings: list[str]
    notes: list[str]


def member_files(output: Path, seed: int, members: int) -> list[Path]:
    """Files of so many members: that of a seed has it after a dash at the end of its name."""
    return [output.with_name(f"{output.stem}-{one}{output.suffix}") for one in member_seeds(seed, members)]


def train_members(
    examples: Examples, preset: str, settings: tuple[str, ...], plan: Plan, outputs: Sequence[Path]
) -> TrainedMembers:
    """Train a model for each file, write all files or none, and say what it came to."""
    from narrows.members import fit_members
    from narrows.model import parameters_in
    from narrows.persist import save

    schema = examples.schema
    assert schema is not None
    trained = fit_members(
        examples.rows, schema, preset, settings, plan, len(outputs), progress_bar, examples.noisy, examples.labels
    )
    with ExitStack() as files:  # none takes its name before all are written
        for fitted, beside in zip(trained, [files.enter_context(writing(path)) for path in outputs], strict=True):
            save(fitted, beside)
    first = trained[0]
    figures = [fitted.record["held_out_nats"] for fitted in trained]
    held_out = [nats for nats in figures if nats is not None]
    return TrainedMembers(
        models=[str(path) for path in outputs],
        preset=preset,
        data=schema.describe(),
        parts=", ".join(part.kind for part in first.model.recipe.parts().values()),
        parameters=parameters_in(first.model),
        rows=len(examples.rows),
        held_out=first.record["data"]["held_out"],
        steps=[fitted.record["steps"] for fitted in trained],
        seconds=max(fitted.record["seconds"] for fitted in trained),
        held_out_nats=held_out,
        mean_held_out_nats=mean(held_out) if held_out else None,
        spread_held_out_nats=stdev(held_out) if len(held_out) > 1 else None,
        findings=[f"{path}: {said}" for path, one in zip(outputs, trained, strict=True) for said in findings_of(one)],
        notes=list(examples.notes),
    )


def findings_of(fitted: Fitted) -> list[str]:
    """What the doctor found, a sentence each."""
    return [f"{finding['name']}: {finding['what']}; {finding['remedy']}" for finding in fitted.record["findings"]]
