"""What `guard.py` times: a short piece of our work beside plain work of the like, and what several such pairs share."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from narrows.data.schema import Schema, infer_schema
from narrows.detection.detector import Detector
from narrows.detection.files import FittedDetector
from narrows.detection.fit import calibration_rows, split
from narrows.detection.presets import views_in, views_of
from narrows.detection.reasons import Typical
from narrows.model import Model
from narrows.persist import Fitted, save
from narrows.presets import choose

STEPS = 50  # of a detector's networks

# Work is done once, and says how many examples it took.
Work = Callable[[], int]


class Pair(NamedTuple):
    """Ours, and what it is compared with."""

    ours: Work
    reference: Work
    keeps: object = None  # what must live as long as they are used


def taking(examples: int, done: Callable[[], object]) -> Work:
    """Work that takes so many examples."""

    def work() -> int:
        done()
        return examples

    return work


def untrained(preset: str, data: np.ndarray, *settings: str) -> tuple[Model, Tensor]:
    """A model before its first step, and the rows that its schema was told from."""
    schema = infer_schema(data)
    rows = torch.from_numpy(schema.from_user(data))
    return adapted(preset, schema, rows, *settings), rows


def adapted(preset: str, schema: Schema, rows: Tensor, *settings: str) -> Model:
    """A model before its first step, for rows of a schema."""
    model = Model(choose(preset, schema, settings), schema).eval()
    model.adapt(rows)
    return model


def saved(folder: str, preset: str, data: np.ndarray, *settings: str) -> tuple[Path, Tensor]:
    """The file of a model before its first step, and its rows."""
    model, rows = untrained(preset, data, *settings)
    path = Path(folder) / f"{preset}.safetensors"
    save(Fitted(model, preset), path)
    return path, rows


def fitted_detector(preset: str, rows: np.ndarray) -> FittedDetector:
    """A detector of a preset for columns f0, f1 ..., whose networks took few steps."""
    values, names = torch.from_numpy(rows), tuple(f"f{place}" for place in range(rows.shape[1]))
    schema = infer_schema(rows, names=names)
    steps: dict[str, dict[str, int]] = {kind: {"updates": STEPS} for kind in ("masked", "denoising")}
    detector = Detector(schema, views_of({**view, **steps.get(view["kind"], {})} for view in views_in(preset)))
    detector.fit(*split(values, calibration_rows(len(values)), 0), 0)
    typical = Typical(schema)
    typical.fit(values)
    return FittedDetector(detector.eval(), typical, preset, {"contaminated": False})


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers of such sizes, with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def decoded(model: Model, z: Tensor, items: int) -> int:
    """The decoder alone on codes, a thousand at once; returns the number of items that they stand for."""
    with torch.inference_mode():
        for some in z.split(1_000):
            model.network.decode(some)
    return items
