"""A detector on a stream: scores, a threshold that follows, learning from what is no alarm, changes of the world."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from narrows.detection.calibration import threshold
from narrows.detection.drift import Change, Drift
from narrows.detection.files import FittedDetector
from narrows.errors import InputError, at_least, at_most

STEP = 0.005  # 200 alarms raise the threshold by a nat: a burst of anomalies must not hide the next one
MEMORY = 10_000


@dataclass(frozen=True)
class Learning:
    """How a detector learns from a stream.

    Parameters
    ----------
    memory : int
        Rows that all earlier ones together weigh at most in running means and standard deviations.
    step : float
        Nats by which an alarm moves the threshold, times 1 - rate.
    """

    memory: int = MEMORY
    step: float = STEP

    def check(self) -> None:
        """Raise `InputError` for a number that cannot be used."""
        at_least("--memory", self.memory, 1)
        at_least("--follow", self.step, 0)
        at_most("--follow", self.step, 1)


@dataclass(frozen=True)
class Scored:
    """What a detector says of some rows.

    Parameters
    ----------
    scores, p : Tensor, shape (n,)
        Nats; p-values against the calibration rows.
    alarms : Tensor of bool, shape (n,)
        Whether each score was above the threshold of its moment.
    threshold : float
        After these rows.
    """

    scores: Tensor
    p: Tensor
    alarms: Tensor
    threshold: float


class OnlineDetector:
    """A detector that meets rows in the order in which they come.

    Without ``learning`` nothing changes but the window of the drift test. With it, the detector learns from each batch
    once that is scored, from its rows that raised no alarm: the others would teach it the anomaly. The threshold t
    then follows, row by row, by online quantile tracking (Gibbs and Candes 2021; Angelopoulos et al. 2023, section 2):

        t <- t + step (alarm - rate)

    so that after T rows, whatever they were, |share of alarms - rate| = |t_T - t_0| / (step T) is at most
    (R + step) / (step T), where R is the range of the scores and t_0. A world that has changed raises alarms until the
    threshold has reached it, about one nat in 1 / step rows, and is then learnt.

    The drift test judges the scores of the detector as it was at the start, learning or not.

    Parameters
    ----------
    fitted : FittedDetector
        Where to start from; it is left as it is.
    rate : float
        Share of rows that may raise an alarm.
    learning : Learning, optional
        How to learn; without it the detector stays as it is.

    Raises
    ------
    InputError
        If the rate is finer than the calibration rows can tell, or a view cannot learn.
    """

    def __init__(self, fitted: FittedDetector, rate: float, learning: Learning | None = None) -> None:
        self._start = fitted
        self.rate = rate
        self.learning = learning
        self.threshold = threshold(fitted.detector.calibration, rate)
        # While nothing is learnt, the scores are those of the detector as it was; then rows need not be scored again.
        self.drift = Drift(fitted.detector.calibration, self._judged if learning else _themselves)
        self.detector = fitted.detector
        self.learnt = 0
        if learning is not None:
            learning.check()
            if not fitted.detector.learns:
                still = ", ".join(view["kind"] for view in fitted.detector.spec())
                raise InputError(
                    f"--learn was given for a detector of the views {still}, which do not all learn from a stream; "
                    f"train one with --preset detector-fast"
                )
            # A copy, which lies in memory as any other copy does: so a resumed run adds numbers in the same order.
            self.detector = copy.deepcopy(fitted.detector)

    def score(self, rows: Tensor) -> Scored:
        """Score raw rows (n, x); nothing is changed by it."""
        scores = _finite(self.detector.scores(rows))
        limit, limits = self.threshold, []
        follows = 0.0 if self.learning is None else self.learning.step
        for score in scores.tolist():
            limits.append(limit)
            limit += follows * ((score > limit) - self.rate)
        alarms = scores > torch.tensor(limits, dtype=scores.dtype)
        return Scored(scores, self.detector.p_values(scores), alarms, limit)

    @property
    def fitted(self) -> FittedDetector:
        """The detector as it now is, which later rows change."""
        if self.learning is None:
            return self._start
        record = {**self._start.record, "learnt": self.learnt}
        return dataclasses.replace(self._start, detector=self.detector, record=record)

    def follow(self, rows: Tensor, scored: Scored) -> list[tuple[int, Change]]:
        """Learn from rows that have been scored; return changes of the world, each with the place of a row."""
        changes = self.drift.observe(rows if self.learning else scored.scores)
        self.threshold = scored.threshold
        usual = rows[~scored.alarms]
        if self.learning is not None and len(usual):
            self.detector.learn(usual, self.learning.memory)
            self.learnt += len(usual)
        return changes

    def _judged(self, rows: Tensor) -> Tensor:
        """Scores of rows by the detector as it was at the start."""
        return _finite(self._start.detector.scores(rows))

    def state(self) -> tuple[dict[str, Tensor], dict[str, float]]:
        """What has to be kept beside the detector to go on: tensors and numbers."""
        tensors = {"reference": self.drift.reference, "recent": self.drift.recent}
        return tensors, {"threshold": self.threshold, "learnt": self.learnt}

    def restore(self, detector: FittedDetector, tensors: Mapping[str, Tensor], numbers: Mapping[str, float]) -> None:
        """Go back to a state, with the detector as it was then."""
        self.drift.reference, self.drift.recent = tensors["reference"], tensors["recent"]
        self.threshold, self.learnt = float(numbers["threshold"]), int(numbers["learnt"])
        if self.learning is not None:
            self.detector = copy.deepcopy(detector.detector)


def _finite(scores: Tensor) -> Tensor:
    """Scores as JSON has them: what lies too far for floats to say how far gets the largest of them."""
    largest = torch.finfo(scores.dtype).max
    return scores.nan_to_num(nan=largest, posinf=largest)


def _themselves(scores: Tensor) -> Tensor:
    return scores
