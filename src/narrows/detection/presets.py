"""The detectors that there are: rows of views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from narrows.detection import denoising, masked, neighbours
from narrows.detection.view import View
from narrows.errors import unknown
from narrows.parts import make

# Importing a module of views enters its kinds in the registry.
MODULES = (neighbours, masked, denoising)


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
    """

    name: str
    when: str
    source: str
    views: tuple[dict[str, Any], ...]


_NEIGHBOURS: tuple[dict[str, Any], ...] = (
    {"kind": "local-linear", "scaling": "asinh", "k": 5},
    {"kind": "neighbour", "scaling": "range"},
)
_PRESETS = (
    DetectorPreset(
        "detector",
        "anomalies in tables and images, with a false-alarm rate that is kept",
        "calibrated sum of views; Fisher 1925, Vovk et al. 2005",
        (*_NEIGHBOURS, {"kind": "masked", "scaling": "asinh", "k": 5, "weight": 0.5}),
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
    ),
)
DETECTORS: Mapping[str, DetectorPreset] = {row.name: row for row in _PRESETS}


def views_in(preset: str) -> tuple[dict[str, Any], ...]:
    """Return specifications of the views of a preset; raises `InputError` for an unknown name."""
    if preset not in DETECTORS:
        raise unknown("detector", preset, DETECTORS)
    return DETECTORS[preset].views


def views_of(specs: Iterable[Mapping[str, Any]]) -> list[View]:
    """Make untrained views from their specifications."""
    views = (make("view", spec) for spec in specs)
    return [view for view in views if isinstance(view, View)]
