"""The scikit-learn face of the detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from narrows.detection import calibration, files
from narrows.detection.files import FittedDetector
from narrows.detection.fit import fit_detector
from narrows.examples import first_examples, further_examples, take_names
from narrows.options import seed_of
from narrows.tensors import tensor_of

USUAL_RATE = 0.05


class AnomalyDetector(OutlierMixin, BaseEstimator):
    """Scores rows by how unlike the training rows they are, and marks anomalies at a stated false-alarm rate.

    No labels, no scaling and no tuning are needed. Some training rows are held out to calibrate the threshold
    (split-conformal), so that a fresh normal row is marked with a probability of at most ``false_alarm_rate``.

    Parameters
    ----------
    preset : {"detector", "detector-fast"}
        Which views are taken; see `narrows.detection.presets.DETECTORS`.
    false_alarm_rate : float, optional
        Share of normal rows that `predict` may mark. None takes 0.05, or where the calibration rows are fewer than 39
        twice the finest rate that they can hold.
    contaminated : bool
        Whether anomalies may be among the training rows. No rate is then promised.
    calibration : float, optional
        Share of the rows held out to calibrate; None takes a tenth, and at most 10,000.
    random_state : int, RandomState instance or None
        Of the choice of rows, and of training.

    Attributes
    ----------
    fitted_ : narrows.detection.files.FittedDetector
        The detector, what training rows hold, and how it was fitted.
    false_alarm_rate_ : float
        The rate that `predict` holds.
    offset_ : float
        Of `decision_function`: minus the largest score that is no alarm.
    n_features_in_, feature_names_in_ : int, array of str
        Numbers in one example, and column names where the data had them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from narrows import AnomalyDetector
    >>> digits = load_digits()
    >>> detector = AnomalyDetector().fit(digits.data[digits.target < 9])
    >>> bool((detector.predict(digits.data[digits.target == 9]) == -1).mean() > 0.1)
    True
    """

    def __init__(
        self,
        preset: str = "detector",
        *,
        false_alarm_rate: float | None = None,
        contaminated: bool = False,
        calibration: float | None = None,
        random_state: Any = 0,
    ) -> None:
        self.preset = preset
        self.false_alarm_rate = false_alarm_rate
        self.contaminated = contaminated
        self.calibration = calibration
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn what rows are like.

        Parameters
        ----------
        X : array or frame, shape (n, columns), or images (n, height, width[, channels]); or narrows.Dataset
            Normal rows; with ``contaminated``, any. Columns of a frame (pandas, polars, Arrow) may hold numbers, text
            and gaps. Those that never change are kept, for a row that differs there is unlike the others; dates and ids
            are left out, with a warning.
        y : None
            Ignored.

        Raises
        ------
        InputError
            If the data or a parameter cannot be used; one sentence says why and what to do. It is a ``ValueError``.
        """
        data = first_examples(self, X, None, keep_constants=True)
        fitted = fit_detector(
            data.values,
            data.schema,
            self.preset,
            contaminated=self.contaminated,
            calibration=self.calibration,
            seed=seed_of(self.random_state),
        )
        return self._take(fitted)

    def score_samples(self, X: Any) -> np.ndarray:
        """Score rows, the higher the more normal: minus the anomaly score in nats, shape (n,)."""
        return -self._scores(X).numpy()

    def decision_function(self, X: Any) -> np.ndarray:
        """Score rows around the threshold: negative where a row is marked, shape (n,)."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Mark rows: -1 for an anomaly, 1 for a normal row, shape (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any) -> np.ndarray:
        """Give split-conformal p-values in (0, 1], shape (n,): at most r with probability r for a fresh normal row."""
        scores = self._scores(X)
        return self.fitted_.detector.p_values(scores).numpy()

    def discoveries(self, X: Any, rate: float = 0.1) -> np.ndarray:
        """Mark rows of a batch so that at most a share ``rate`` of those marked is normal: booleans, shape (n,)."""
        p = torch.from_numpy(self.p_values(X))
        calibration.check_rate(self.fitted_.detector.calibration, rate)
        return calibration.discoveries(p, rate).numpy()

    def contributions(self, X: Any) -> np.ndarray:
        """Share out the anomaly score, minus `score_samples`, of each row among its cells: (n, n_features_in_)."""
        rows = self._rows(X)
        return self.fitted_.detector.contributions(rows).numpy()

    def reasons(self, X: Any) -> list[str]:
        """Say for each row which cells its score comes from, and what training rows hold there."""
        rows = self._rows(X)
        shares = self.fitted_.detector.contributions(rows)
        return [self.fitted_.typical.sentence(row, share) for row, share in zip(rows, shares, strict=True)]

    def save(self, path: Path | str) -> None:
        """Write the detector as one safetensors file, which ``narrows detect`` and `load` read."""
        check_is_fitted(self, "fitted_")
        files.save_detector(self.fitted_, path)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read a file of `save` or of ``narrows train --preset detector``."""
        fitted = files.load_detector(path)
        record = fitted.record
        return cls(fitted.preset, contaminated=record["contaminated"], random_state=record["seed"])._take(fitted)

    def _take(self, fitted: FittedDetector) -> Self:
        held_out = fitted.detector.calibration
        self.fitted_ = fitted
        rate = self.false_alarm_rate
        self.false_alarm_rate_ = min(max(USUAL_RATE, 2 / (len(held_out) + 1)), 0.5) if rate is None else rate
        self.offset_ = -calibration.threshold(held_out, self.false_alarm_rate_)
        take_names(self, fitted.schema)
        return self

    def _scores(self, X: Any) -> Tensor:
        rows = self._rows(X)
        return self.fitted_.detector.scores(rows)

    def _rows(self, X: Any) -> Tensor:
        check_is_fitted(self, "fitted_")
        return tensor_of(further_examples(self, X, self.fitted_.schema))
