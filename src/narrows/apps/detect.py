"""Score rows by how unlike the training rows they are, with a threshold that keeps its promise and a reason each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from narrows.apps.reading import Reading
from narrows.apps.sharding import Sharded, Sharding, as_table, each_shard, of_one_shard
from narrows.atomic import check_target
from narrows.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from torch import Tensor

    from narrows.detection.files import FittedDetector


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


@dataclass(frozen=True)
class DetectedShards(Sharded):
    """What was found in shards.

    Parameters
    ----------
    anomalies : int
        Rows of this run that were marked 1.
    false_alarm_rate : float
        Among normal rows.
    threshold : float
        Score above which a row is marked, in nats.
    guarantee : str
        What is promised.
    """

    anomalies: int
    false_alarm_rate: float
    threshold: float
    guarantee: str


def detect(
    model: Path,
    data: str,
    output: Path,
    false_alarm_rate: float = 0.01,
    discoveries: bool = False,
    contributions: bool = False,
    reading: Reading = Reading(),  # noqa: B008  frozen
    sharding: Sharding = Sharding(),  # noqa: B008  frozen
) -> Detected | DetectedShards:
    """Find anomalies: a score, a p-value, a verdict and a reason for each row.

    Parameters
    ----------
    model : Path
        A detector file, which narrows train --preset detector wrote.
    data : str
        A file, a folder of images or of shards, or a named data set.
    output : Path
        .csv or .parquet with the columns row, score, p_value, anomaly (0 or 1) and reason; or, for a folder of shards,
        a folder (no suffix), with such a file for each of them.
    false_alarm_rate : float
        Share of normal rows that may be marked: with 0.01, one in a hundred.
    discoveries : bool
        Hold the rate among the rows marked instead, over the whole batch (Benjamini and Hochberg).
    contributions : bool
        Also write a column for each column of the data: its share of the score, which they add up to.
    reading : Reading
        How to read the data.
    sharding : Sharding
        Who works on the shards of a folder.
    """
    work = Detecting(model, false_alarm_rate, discoveries, contributions, reading)
    if sharding.wanted(data, output):
        return _detect_shards(work, data, output, sharding)
    check_target(output, inputs=[model, data])

    from narrows.data.writers import TABLE_WRITERS, check_suffix

    check_suffix(output, tuple(TABLE_WRITERS))
    at_work = work.open()
    made = at_work(data, output, empty=False)
    return Detected(
        file=str(output),
        rows=made["rows"],
        anomalies=made["anomalies"],
        share=made["anomalies"] / made["rows"],
        false_alarm_rate=false_alarm_rate,
        threshold=at_work.limit,
        calibration_rows=len(at_work.fitted.detector.calibration),
        guarantee=guarantee(at_work.fitted, discoveries),
    )


def _detect_shards(work: Detecting, data: str, output: Path, sharding: Sharding) -> DetectedShards:
    if work.discoveries:
        raise InputError("--discoveries holds for all rows together, and shards are worked on one by one; leave it out")
    skip, work = work.reading.skip_bad_shards, dataclasses.replace(work, reading=of_one_shard(work.reading))
    at_work = work.open()
    assert at_work.limit is not None
    found, sums = each_shard(work, at_work, data, output, as_table, sharding, skip=skip)
    return DetectedShards(
        **vars(found),
        anomalies=sums["anomalies"],
        false_alarm_rate=work.false_alarm_rate,
        threshold=at_work.limit,
        guarantee=guarantee(at_work.fitted, discoveries=False),
    )


@dataclass(frozen=True)
class Detecting:
    """What is to be found, and by which detector; the parameters are those of `detect`."""

    model: Path
    false_alarm_rate: float
    discoveries: bool
    contributions: bool
    reading: Reading
    verb: ClassVar[str] = "detect"

    def open(self) -> _AtWork:
        """Load the detector; raises `InputError` if it is none, or cannot hold the rate."""
        from narrows.detection.files import load_detector

        fitted = load_detector(self.model)
        return _AtWork(self, fitted, limit_of(fitted, self.false_alarm_rate, self.discoveries))


@dataclass(frozen=True)
class _AtWork:
    """A detector in memory, to which the rows of files come in parts."""

    work: Detecting
    fitted: FittedDetector
    limit: float | None

    def __call__(self, data: str, output: Path, *, empty: bool = True) -> dict[str, int]:
        """Write what is found in the rows of a file; how many there are, and anomalies among them."""
        import pyarrow as pa

        from narrows.data.parts import no_rows
        from narrows.data.writers import growing_table

        schema, made = self._schema(), {"rows": 0, "anomalies": 0}
        with growing_table(output, schema) as write:
            for first, rows in self._parts(data):
                options = self.work.false_alarm_rate, self.work.discoveries, self.work.contributions
                found = findings(self.fitted, rows, *options)
                write(pa.table({"row": range(first, first + len(rows)), **found}, schema))
                made["rows"] += len(rows)
                made["anomalies"] += int(found["anomaly"].sum())
            if not made["rows"] and not empty:
                raise no_rows(data)
        return made

    def _parts(self, data: str) -> Iterator[tuple[int, Tensor]]:
        """Rows of a file in parts; all at once where what is said of one depends on the others."""
        from narrows.tensors import tensor_of

        reading, schema = self.work.reading, self.fitted.schema
        whole = self.work.discoveries
        parts = iter([(0, reading.read(data, schema))]) if whole else reading.parts(data, schema)
        return ((first, tensor_of(part.values)) for first, part in parts)

    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        from narrows.detection.reasons import cell_names

        real, whole = pa.float64(), pa.int64()
        columns = {"row": whole, "score": real, "p_value": real, "anomaly": whole, "reason": pa.string()}
        shares = cell_names(self.fitted.schema) if self.work.contributions else ()
        return pa.schema([*columns.items(), *((share_of(name), real) for name in shares)])


def share_of(name: str) -> str:
    """Name of the column with what one cell adds to the score."""
    return f"share of {name}"


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
    return np.array(told, dtype=object)


def _contributions(fitted: FittedDetector, rows: Tensor, block: int | None) -> dict[str, np.ndarray]:
    from narrows.detection.reasons import cell_names

    shares = fitted.detector.contributions(rows, block).numpy()
    return {share_of(name): shares[:, place] for place, name in enumerate(cell_names(fitted.schema))}


def guarantee(fitted: FittedDetector, discoveries: bool) -> str:
    """What is promised of the rows marked, in words."""
    if fitted.contaminated:
        return "none: the detector was fitted on rows that may hold anomalies"
    if fitted.record.get("learnt"):
        return "none: the detector has learnt from a stream since it was calibrated"
    if discoveries:
        return "at most that share of the rows marked are normal, on average over batches of rows drawn as in training"
    return "at most that share of normal rows are marked, on average, if they are drawn as the training rows were"
