"""What graphs are made of: the file of an autoencoder, or that of a detector."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from narrows.data.schema import Schema
from narrows.detection import calibration, files
from narrows.errors import InputError
from narrows.export.graphs import Graph
from narrows.export.of_detectors import graphs_of_detector
from narrows.export.of_models import graphs_of_model
from narrows.persist import holds, load


@dataclass(frozen=True)
class Alarm:
    """When a score is an anomaly.

    Parameters
    ----------
    threshold : float
        Scores above it are.
    false_alarm_rate : float
        Share of normal rows that are.
    calibration_rows : int
        Held-out rows that the rate rests on.
    promised : bool
        Whether fresh normal rows keep the rate: not where the detector learnt from rows that may hold anomalies.
    calibration : tuple of float
        Scores of the held-out rows, sorted upwards, from which p-values are: (1 + those not below a score) / (1 + all).
    """

    threshold: float
    false_alarm_rate: float
    calibration_rows: int
    promised: bool
    calibration: tuple[float, ...]


@dataclass(frozen=True)
class Source:
    """What a file holds.

    Parameters
    ----------
    kind : {"model", "detector"}
        What it is.
    preset : str
        The preset it was made from.
    schema : Schema
        Of the raw data.
    transforms : mapping of str to Tensor
        What was fitted to bring raw values to one scale; graphs do so themselves.
    low, high : Tensor, shape () or (c,)
        Ends of the range of the training rows, or of most of them.
    graphs : callable
        Raw rows to measure them on -> the graphs.
    alarm : Alarm or None
        Of a detector.
    """

    kind: str
    preset: str
    schema: Schema
    transforms: Mapping[str, Tensor]
    low: Tensor
    high: Tensor
    graphs: Callable[[Tensor], list[Graph]]
    alarm: Alarm | None = None


def open_source(path: Path, false_alarm_rate: float) -> Source:
    """Read a model file or a detector file.

    Raises
    ------
    InputError
        If it is neither, or reads tables as symbols, or cannot hold such a rate.
    """
    source = _detector(path, false_alarm_rate) if holds(path, files.WHAT) else _model(path)
    if source.schema.alphabets:
        raise InputError(
            f"{path} reads the cells of a table as symbols, which graphs do not take; take narrows export --codec, or "
            f"train preset variational"
        )
    return source


def schema_of(path: Path) -> Schema:
    """Return the schema of a model file or a detector file."""
    return files.load_detector(path).schema if holds(path, files.WHAT) else load(path).schema


def _model(path: Path) -> Source:
    fitted = load(path)
    model, transform = fitted.model, fitted.model.transform
    low, high = (torch.tensor(end) for end in (fitted.schema.low, fitted.schema.high))
    if fitted.schema.columns is not None:
        low, high = fitted.model.transform.lowest, fitted.model.transform.highest  # type: ignore[assignment]
    return Source(
        "model",
        fitted.preset,
        fitted.schema,
        transform.state_dict(),
        low,
        high,
        lambda rows: graphs_of_model(model, rows),
    )


def _detector(path: Path, rate: float) -> Source:
    fitted = files.load_detector(path)
    detector, held_out = fitted.detector, fitted.detector.calibration
    low, high = (torch.tensor(end) for end in (fitted.schema.low, fitted.schema.high))
    if fitted.schema.columns is not None:
        low, high = fitted.typical.low, fitted.typical.high
    scores = tuple(held_out.tolist())
    alarm = Alarm(calibration.threshold(held_out, rate), rate, len(scores), not fitted.contaminated, scores)
    return Source(
        "detector",
        fitted.preset,
        fitted.schema,
        detector.features.state_dict(),
        low,
        high,
        lambda rows: graphs_of_detector(detector, rows),
        alarm,
    )


def plain_tensor(tensor: Tensor) -> Any:
    """Return numbers as JSON has them; what is not finite is null."""
    if not tensor.is_floating_point():
        return tensor.tolist()
    flat = [number if math.isfinite(number) else None for number in tensor.flatten().tolist()]
    return flat if tensor.dim() else flat[0]
