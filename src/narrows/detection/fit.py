"""From raw rows to a fitted detector."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor

from narrows.data.schema import Schema
from narrows.detection.detector import Detector
from narrows.detection.files import FittedDetector
from narrows.detection.presets import views_in, views_of
from narrows.detection.reasons import Typical
from narrows.errors import InputError, at_least, at_most
from narrows.tensors import data_fingerprint, tensor_of

MOST_CALIBRATION_ROWS = 10_000


def fit_detector(
    values: np.ndarray,
    schema: Schema,
    preset: str = "detector",
    *,
    contaminated: bool = False,
    calibration: float | None = None,
    seed: int = 0,
) -> FittedDetector:
    """Fit a detector to rows, and calibrate it on rows held out from them.

    Parameters
    ----------
    values : array, shape (n, x)
        Raw rows, normal ones alone unless ``contaminated``; at least two.
    schema : Schema
        Of the rows.
    preset : str
        A name of `narrows.detection.presets.DETECTORS`.
    contaminated : bool
        Whether anomalies may be among the rows.
    calibration : float, optional
        Share of the rows held out; see `calibration_rows` for the usual number.
    seed : int
        Of the choice of rows, and of training.

    Raises
    ------
    InputError
        If there are too few rows, or an option cannot be used.
    """
    began = time.perf_counter()
    if len(values) < 2:
        raise InputError(f"the data hold {len(values)} row{'s' * (len(values) != 1)} (1 sample); a detector needs 2")
    rows = tensor_of(values)
    fitted_on, held_out = split(rows, calibration_rows(len(rows), calibration), seed)
    views = views_of(views_in(preset, contaminated=contaminated))
    detector = Detector(schema, views, copies=not contaminated)
    detector.fit(fitted_on, held_out, seed)
    typical = Typical(schema)
    typical.fit(fitted_on)
    record = {
        "rows": len(rows),
        "calibration_rows": len(held_out),
        "contaminated": contaminated,
        "seed": seed,
        "fingerprint": data_fingerprint(rows),
        "seconds": time.perf_counter() - began,
    }
    return FittedDetector(detector.eval(), typical, preset, record)


def calibration_rows(n: int, share: float | None = None) -> int:
    """Rows held out of ``n`` to calibrate: the share asked for, or a tenth and at most 10,000; at least one."""
    if share is not None:
        at_least("calibration", share, 0)
        at_most("calibration", share, 0.9)
        return min(max(1, int(share * n)), n - 1)
    return max(1, min(n // 10, MOST_CALIBRATION_ROWS))


def split(rows: Tensor, held_out: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows to fit, and rows to calibrate on, chosen by the seed."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return rows[order[held_out:]], rows[order[:held_out]]
