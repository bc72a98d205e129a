"""Score rows by how unlike the training rows they are, with a threshold that keeps its promise and a reason each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.atomic import check_target
from narrows.errors import InputError
from narrows.plan import Plan

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from narrows.data.dataset import Dataset
    from narrows.detection.files import FittedDetector


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


@dataclass(frozen=True)
class Detected:
    """What was found in a batch of rows.

    Parameters
    ----------
    file : str
        Where the scores are.
    rows : int
        Rows scored.
    anomalies : int
        Rows marked 1.
    share : float
        Of the rows.
    false_alarm_rate : float
        Among normal rows, or, with --discoveries, of false ones among the anomalies.
    threshold : float or None
        Score above which a row is marked, in nats; None with --discoveries, where it depends on the batch.
    calibration_rows : int
        Held-out rows that the rate rests on.
    guarantee : str
        What is promised.
    """

    file: str
    rows: int
    anomalies: int
    share: float
    false_alarm_rate: float
    threshold: float | None
    calibration_rows: int
    guarantee: str


def detect(
    model: Path,
    data: str,
    output: Path,
    false_alarm_rate: float = 0.01,
    discoveries: bool = False,
    contributions: bool = False,
    reading: Reading = Reading(),  # noqa: B008  frozen
) -> Detected:
    """Find anomalies: a score, a p-value, a verdict and a reason for each row.

    Parameters
    ----------
    model : Path
        A detector file, which narrows train --preset detector wrote.
    data : str
        A file, a folder of images, or a named data set.
    output : Path
        .csv or .parquet with the columns row, score, p_value, anomaly (0 or 1) and reason.
    false_alarm_rate : float
        Share of normal rows that may be marked: with 0.01, one in a hundred.
    discoveries : bool
        Hold the rate among the rows marked instead, over the whole batch (Benjamini and Hochberg).
    contributions : bool
        Also write a column for each column of the data: its share of the score, which they add up to.
    reading : Reading
        How to read the data.
    """
    check_target(output, inputs=[model, data])

    import pyarrow as pa

    from narrows.data import writers
    from narrows.detection.files import load_detector
    from narrows.tensors import tensor_of

    suffix = writers.check_suffix(output, tuple(writers.TABLE_WRITERS))
    fitted = load_detector(model)
    limit = limit_of(fitted, false_alarm_rate, discoveries)
    rows = tensor_of(reading.read(data, fitted.schema).values)
    found = findings(fitted, rows, false_alarm_rate, discoveries, contributions)
    writers.TABLE_WRITERS[suffix](pa.table({"row": range(len(rows)), **found}), output)
    return Detected(
        file=str(output),
        rows=len(rows),
        anomalies=int(found["anomaly"].sum()),
        share=float(found["anomaly"].mean()),
        false_alarm_rate=false_alarm_rate,
        threshold=limit,
        calibration_rows=len(fitted.detector.calibration),
        guarantee=guarantee(fitted, discoveries),
    )


def limit_of(fitted: FittedDetector, rate: float, discoveries: bool) -> float | None:
    """Score above which a row is marked, None where that depends on the batch; raises for a rate not to be held."""
    from narrows.detection.calibration import check_rate, threshold

    calibration = fitted.detector.calibration
    check_rate(calibration, rate)
    return None if discoveries else threshold(calibration, rate)


def findings(
    fitted: FittedDetector,
    rows: Tensor,
    rate: float = 0.01,
    discoveries: bool = False,
    contributions: bool = False,
    block: int | None = None,
) -> dict[str, np.ndarray]:
    """Columns of what is found in raw rows: score, p_value, anomaly, reason and, if wanted, shares of the score.

    Parameters
    ----------
    fitted : FittedDetector
        The detector.
    rows : Tensor, shape (n, x)
        Raw rows.
    rate, discoveries, contributions : float, bool, bool
        As in `detect`.
    block : int, optional
        As in `Detector.scores`.
    """
    from narrows.detection.calibration import discoveries as discovered

    detector = fitted.detector
    limit = limit_of(fitted, rate, discoveries)
    scores = detector.scores(rows, block)
    p = detector.p_values(scores)
    marked = discovered(p, rate) if limit is None else scores > limit
    found: dict[str, np.ndarray] = {
        "score": scores.numpy(),
        "p_value": p.numpy(),
        "anomaly": marked.long().numpy(),
        "reason": _reasons(fitted, rows, marked, block),
    }
    return found | (_contributions(fitted, rows, block) if contributions else {})


def _reasons(fitted: FittedDetector, rows: Tensor, marked: Tensor, block: int | None) -> np.ndarray:
    """A sentence for each row that was marked, and nothing for the others."""
    import numpy as np

    told = [""] * len(rows)
    places = marked.nonzero().flatten()
    for place, reason in zip(places.tolist(), fitted.reasons(rows[places], block), strict=True):
        told[place] = reason
    return np.array(told)


def _contributions(fitted: FittedDetector, rows: Tensor, block: int | None) -> dict[str, np.ndarray]:
    from narrows.detection.reasons import cell_names

    shares = fitted.detector.contributions(rows, block).numpy()
    return {f"share of {name}": shares[:, place] for place, name in enumerate(cell_names(fitted.schema))}


def guarantee(fitted: FittedDetector, discoveries: bool) -> str:
    """What is promised of the rows marked, in words."""
    if fitted.contaminated:
        return "none: the detector was fitted on rows that may hold anomalies"
    if fitted.record.get("learnt"):
        return "none: the detector has learnt from a stream since it was calibrated"
    if discoveries:
        return "at most that share of the rows marked are normal, on average over batches of rows drawn as in training"
    return "at most that share of normal rows are marked, on average, if they are drawn as the training rows were"
