"""Autoencoders put to work: compress, denoise, detect anomalies, generate, embed and fill gaps."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from narrows.data.dataset import Dataset
    from narrows.data.readers import read
    from narrows.data.schema import Schema
    from narrows.ensemble import Ensemble
    from narrows.errors import InputError
    from narrows.estimator import Autoencoder
    from narrows.outliers import AnomalyDetector
    from narrows.persist import Fitted, load, save
    from narrows.plan import Plan
    from narrows.presets import PRESETS

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "AnomalyDetector",
    "Autoencoder",
    "Dataset",
    "Ensemble",
    "Fitted",
    "InputError",
    "Plan",
    "Schema",
    "__version__",
    "load",
    "read",
    "save",
]

# Where each public name is defined; it is imported when first asked for, so that `import narrows` costs nothing.
_HOMES = {
    "PRESETS": "narrows.presets",
    "AnomalyDetector": "narrows.outliers",
    "Autoencoder": "narrows.estimator",
    "Dataset": "narrows.data.dataset",
    "Ensemble": "narrows.ensemble",
    "Fitted": "narrows.persist",
    "InputError": "narrows.errors",
    "Plan": "narrows.plan",
    "Schema": "narrows.data.schema",
    "load": "narrows.persist",
    "read": "narrows.data.readers",
    "save": "narrows.persist",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
