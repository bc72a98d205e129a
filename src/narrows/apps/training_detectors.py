"""Train a detector: what the verb train does where a detector is asked for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.errors import InputError
from narrows.plan import Plan

if TYPE_CHECKING:
    from narrows.data.dataset import Dataset


@dataclass(frozen=True)
class TrainedDetector:
    """What fitting a detector came to.

    Parameters
    ----------
    model : str
        The file written.
    preset : str
        The detector fitted.
    data : str
        What the data are.
    views : str
        What a row is looked at by.
    rows, calibration_rows : int
        Rows given, and those of them held out to calibrate.
    finest_false_alarm_rate : float or None
        The lowest rate that so many calibration rows can hold; None where the rows may be contaminated.
    seconds : float
        Time spent.
    notes : list of str
        Columns that were left out, and why; and those that never change.
    """

    model: str
    preset: str
    data: str
    views: str
    rows: int
    calibration_rows: int
    finest_false_alarm_rate: float | None
    seconds: float
    notes: list[str]


def train_detector(
    dataset: Dataset, output: Path, preset: str, contaminated: bool, settings: tuple[str, ...], plan: Plan
) -> TrainedDetector:
    """Fit a detector and write its file; raises `InputError` for options that mean nothing to it."""
    from narrows.detection.files import save_detector
    from narrows.detection.fit import fit_detector

    fields = [field for field in dataclasses.fields(plan) if field.name != "seed"]
    changed = [field.name for field in fields if getattr(plan, field.name) != field.default] + ["set"] * bool(settings)
    if changed:
        option = "--" + changed[0].replace("_", "-")
        raise InputError(f"{option} was given for {preset}, which has one configuration for all data; leave it out")
    fitted = fit_detector(dataset.values, dataset.schema, preset, contaminated=contaminated, seed=plan.seed)
    save_detector(fitted, output)
    held_out = fitted.record["calibration_rows"]
    return TrainedDetector(
        model=str(output),
        preset=preset,
        data=dataset.schema.describe(),
        views=", ".join(view["kind"] for view in fitted.detector.spec()),
        rows=len(dataset),
        calibration_rows=held_out,
        finest_false_alarm_rate=None if contaminated else 1 / (held_out + 1),
        seconds=fitted.record["seconds"],
        notes=list(dataset.notes),
    )
