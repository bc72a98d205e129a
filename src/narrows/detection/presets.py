"""The detectors that there are: rows of views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from narrows.detection import denoising, masked, neighbours, whole
from narrows.detection.view import View
from narrows.errors import unknown
from narrows.parts import make

# Importing a module of views enters its kinds in the registry.
MODULES = (neighbours, masked, denoising, whole)


@dataclass(frozen=True)
class DetectorPreset:
    """A row of the table of detectors.

    Parameters
    ----------
    name : str
        Its name.
    when : str
        When to take it.
    source : str
        Where it comes from.
    views : tuple of dict
        Specifications of its views.
    contaminated : str
        The row that takes its place where anomalies may be among the training rows; itself if empty.
    """

    name: str
    when: str
    source: str
    views: tuple[dict[str, Any], ...]
    contaminated: str = ""


_NEIGHBOURS: tuple[dict[str, Any], ...] = (
    {"kind": "local-linear", "scaling": "asinh", "k": 5},
    {"kind": "neighbour", "scaling": "range"},
)
# Anomalies come in groups, in which each is near the next: so all rows are looked at at once, and what lies far out
# is left out of what is learnt.
_WHOLE: tuple[dict[str, Any], ...] = (
    {"kind": "marginal", "scaling": "standard"},
    {"kind": "covariance", "scaling": "median"},
)
_PRESETS = (
    DetectorPreset(
        "detector",
        "anomalies in tables and images, with a false-alarm rate that is kept",
        "calibrated sum of views; Fisher 1925, Vovk et al. 2005",
        (*_NEIGHBOURS, {"kind": "masked", "scaling": "asinh", "k": 5, "weight": 0.5}),
        contaminated="detector-contaminated",
    ),
    DetectorPreset(
        "detector-fast",
        "the same at a million rows a second, and on streams that it may learn from",
        "denoising autoencoder; Vincent et al. 2008",
        ({"kind": "denoising"},),
    ),
    DetectorPreset(
        "detector-without-network",
        "comparison: the same without its trained network",
        "as above",
        _NEIGHBOURS,
        contaminated="detector-contaminated-without-network",
    ),
    DetectorPreset(
        "detector-contaminated",
        "rows that may hold anomalies themselves; what contaminated training takes in place of detector",
        "calibrated sum of views; trimmed as in Rousseeuw and Van Driessen 1999, Shen and Sanghavi 2019",
        (*_WHOLE, {"kind": "masked", "scaling": "asinh", "k": 0, "weight": 1.0, "keep": 0.75}),
    ),
    DetectorPreset(
        "detector-contaminated-without-network",
        "comparison: the same without its trained network",
        "two of the views above",
        _WHOLE,
    ),
)
DETECTORS: Mapping[str, DetectorPreset] = {row.name: row for row in _PRESETS}


def views_in(preset: str, *, contaminated: bool = False) -> tuple[dict[str, Any], ...]:
    """Return specifications of the views of a preset, or of the one that takes its place on contaminated rows.

    Raises
    ------
    InputError
        For an unknown name.
    """
    if preset not in DETECTORS:
        raise unknown("detector", preset, DETECTORS)
    row = DETECTORS[preset]
    return DETECTORS[row.contaminated or preset].views if contaminated else row.views


def views_of(specs: Iterable[Mapping[str, Any]]) -> list[View]:
    """Make untrained views from their specifications."""
    views = (make("view", spec) for spec in specs)
    return [view for view in views if isinstance(view, View)]
