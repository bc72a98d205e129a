"""A fitted detector as one file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from narrows.data.schema import Schema
from narrows.detection.detector import Detector
from narrows.detection.presets import views_of
from narrows.detection.reasons import Typical
from narrows.errors import InputError
from narrows.persist import check_held, read_tensors, write_tensors
from narrows.tensors import under

WHAT = "detector"


@dataclass(frozen=True)
class FittedDetector:
    """A detector with what a user of its file needs to know.

    Parameters
    ----------
    detector : Detector
        Fitted and calibrated.
    typical : Typical
        What training rows hold, for reasons.
    preset : str
        The row of views it was made from.
    record : dict
        How it was fitted: rows, calibration rows, whether on contaminated data, seed, seconds. Plain JSON values.
    """

    detector: Detector
    typical: Typical
    preset: str
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def schema(self) -> Schema:
        """The schema of the raw data."""
        return self.detector.schema

    @property
    def contaminated(self) -> bool:
        """Whether it was fitted on rows that may hold anomalies, so that no false-alarm rate is promised."""
        return bool(self.record["contaminated"])

    def reasons(self, rows: Tensor, block: int | None = None) -> list[str]:
        """What the score of each raw row (n, x) comes from, in words; ``block`` as in `Detector.scores`."""
        shares = self.detector.contributions(rows, block)
        return [self.typical.sentence(row, share) for row, share in zip(rows, shares, strict=True)]


def save_detector(
    fitted: FittedDetector,
    path: Path | str,
    further: Mapping[str, Tensor] = MappingProxyType({}),
    note: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write a detector as one safetensors file, whole or not at all; ``further`` tensors and a ``note`` beside it."""
    tensors = {f"detector.{name}": tensor for name, tensor in fitted.detector.state_dict().items()}
    tensors |= {f"typical.{name}": tensor for name, tensor in fitted.typical.state_dict().items()}
    header = {
        "what": WHAT,
        "preset": fitted.preset,
        "views": fitted.detector.spec(),
        "schema": fitted.schema.to_json(),
        "record": fitted.record,
    }
    write_tensors(path, {**tensors, **further}, {**header, **note})


def load_detector(path: Path | str) -> FittedDetector:
    """Read a file of `save_detector`.

    Raises
    ------
    InputError
        If there is no such file, or it is foreign, truncated, altered or of a newer format.
    """
    tensors, header = read_tensors(path, what=WHAT)
    try:
        schema = Schema.from_json(header["schema"])
        _refuse_larger(schema, tensors["typical.low"])
        detector = Detector(schema, views_of(header["views"]), copies=not header["record"]["contaminated"])
        fitted = FittedDetector(detector, Typical(schema), header["preset"], header["record"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{path} describes a detector that this version cannot build ({said}); train again") from None
    _fill(fitted.detector, under("detector.", tensors), path)
    _fill(fitted.typical, under("typical.", tensors), path)
    _try(fitted, path)
    return fitted


def _refuse_larger(schema: Schema, cells: Tensor) -> None:
    """Refuse a header that asks for more cells, and so for more memory, than the file brings."""
    if cells.shape != (schema.size,):
        raise ValueError(f"its header has {schema.size} cells and its tensors {cells.numel()}")


def _fill(module: torch.nn.Module, tensors: dict[str, Tensor], path: Path | str) -> None:
    """Put the file's tensors in the place of the module's; those that are built empty have a size that was learnt."""
    built = module.state_dict()
    learnt = {name for name, tensor in built.items() if tensor.shape in ((0,), (0, 0))}
    expected, given = (
        {name: (tensor.dtype, None if name in learnt else tensor.shape) for name, tensor in held.items()}
        for held in (built, tensors)
    )
    check_held(expected, given, WHAT, path)
    own = dict(module.named_modules())
    for name, tensor in tensors.items():
        where, _, last = name.rpartition(".")
        own[where]._buffers[last] = tensor


def _try(fitted: FittedDetector, path: Path | str) -> None:
    """Score a row, lest a file whose sizes contradict one another be found out amid the work."""
    row = torch.zeros(1, *fitted.schema.shape)
    try:
        fitted.typical.sentence(row[0], fitted.detector.contributions(row)[0])
    except (RuntimeError, IndexError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{path} does not hold the detector that it describes ({said}); train again") from None
