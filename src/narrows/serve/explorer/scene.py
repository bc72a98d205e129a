"""What the page is told of a model and of the examples shown: plain values, made once."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.apps.decode import examples_of
from narrows.apps.plane import plane
from narrows.errors import InputError
from narrows.evaluate import kl_by_unit
from narrows.generation.moves import check_moves
from narrows.inference import check_code
from narrows.report.colours import SCALE, coloured
from narrows.report.images import ACROSS
from narrows.report.subject import active_units
from narrows.serve.explorer.shown import DRAWN, Shown
from narrows.serve.verbs import Loaded, examples
from narrows.tensors import tensor_of

MOST_UNITS = 24
ENDS = (0.005, 0.995)  # quantiles of a unit that its slider reaches, and a tenth beyond
DIGITS = 6
UNUSUAL = 12
USUAL_RATE = 0.01


def scene(loaded: Loaded, shown: Shown | None, why: str | None) -> dict[str, Any]:
    """Tell of a model and what is shown; ``why`` there is nothing, if there is not."""
    coded = code_of(loaded, shown)
    found: dict[str, Any] = {
        "picture": picture_of(loaded, shown),
        "code": coded,
        "map": None,
        "without_map": why,
        "shown": None if shown is None else {"what": shown.what, "rows": len(shown), "drawn": shown.what == DRAWN},
        "start": start_of(loaded, shown),
        "unusual": unusual(loaded, shown),
        "false_alarm_rate": rate_of(loaded),
    }
    if shown is not None and shown.codes is not None:
        try:
            found["map"] = map_of(shown)
        except InputError as error:
            found["without_map"] = str(error)
    return found


def map_of(shown: Shown) -> dict[str, Any]:
    """Points of the plane, colours, words; and how a point of the plane becomes a code.

    z' = z + (p - (z - centre) D') D moves a code z to the point p, D the directions, and leaves what the plane does not
    show as it was. Of codes of two numbers z' = p.
    """
    assert shown.codes is not None
    laid = plane(shown.codes.double().numpy())
    colours = coloured(shown.name, shown.colours, len(shown))
    small = shown.small
    return {
        "points": rounded(laid.points),
        "axes": laid.axes,
        "shown": laid.shown,
        "centre": rounded(laid.centre),
        "directions": rounded(laid.directions),
        "words": shown.words,
        "colours": colours.points,
        "legend": {"name": colours.name, "keys": colours.keys, "ends": colours.ends, "scale": SCALE.tolist()},
        "thumbnails": None if small is None else {"size": small[1], "across": ACROSS},
    }


def code_of(loaded: Loaded, shown: Shown | None) -> dict[str, Any] | None:
    """How large a code is, whether there is something between two of them, and which units move the examples."""
    if loaded.what != "model":
        return None
    model = loaded.fitted.model
    try:
        check_code(model, "decode")
    except InputError:
        return None
    return {
        "size": model.latent.size,
        "still": _refusal(lambda: check_moves(model)),
        "path": "spherical" if model.latent.random else "linear",
        "discrete": model.latent.discrete,
        "units": [] if shown is None or shown.codes is None else units_of(shown),
    }


def units_of(shown: Shown) -> list[dict[str, Any]]:
    """The units in use, at most 24, those first that tell most: how far each goes, and its nats where known."""
    model, z = shown.loaded.fitted.model, shown.codes
    assert isinstance(z, Tensor)
    by_unit = kl_by_unit(model, tensor_of(shown.values))
    if by_unit is not None and len(by_unit) != z.shape[1]:
        by_unit = None
    low, high = torch.quantile(z.double(), torch.tensor(ENDS, dtype=torch.float64), dim=0)
    room = torch.zeros_like(low) if model.latent.discrete else ((high - low) / 10).clamp_min(1e-6)
    ends = rounded(torch.stack([low - room, high + room], 1).numpy())
    return [
        {"unit": unit, "low": ends[unit][0], "high": ends[unit][1], "nats": by_unit and round(by_unit[unit], 3)}
        for unit in active_units(model.latent, z, by_unit)[:MOST_UNITS]
        if ends[unit][1] > ends[unit][0]
    ]


def picture_of(loaded: Loaded, shown: Shown | None) -> dict[str, Any] | None:
    """How an image lies in nested lists, and which values are black and white; None for tables."""
    schema = loaded.schema
    if not schema.is_image:
        return None
    low, high = schema.low, schema.high
    if not np.isfinite(high) or high <= low:
        values = shown.values if shown is not None else np.array([low, low + 1.0])
        low, high = float(values.min()), float(max(values.max(), values.min() + 1))
    channels, height, width = schema.shape
    return {
        "layout": schema.layout, "channels": channels, "height": height, "width": width,
        "low": low, "high": high, "step": schema.step,
    }  # fmt: skip


def start_of(loaded: Loaded, shown: Shown | None) -> Any:
    """A row of the table to begin with: the first one shown, what a detector saw most, or what a middling code says."""
    if loaded.schema.is_image:
        return None
    if shown is not None:
        return examples(loaded, shown.values[:1]).plain()[0]
    if loaded.what == "detector":
        typical = loaded.fitted.typical
        middle = ((typical.low + typical.high) / 2).numpy()
        common = typical.common[:, 0].clamp_min(0).numpy()
        named = [bool(column.categories) for column in loaded.schema.columns or ()] or [False] * loaded.schema.size
        return examples(loaded, np.where(named, common, middle)[None].astype(np.float32)).plain()[0]
    try:
        z = np.zeros((1, loaded.fitted.model.latent.size), np.float32)
        return examples(loaded, examples_of(loaded.fitted.model, z)).plain()[0]
    except InputError:  # there is no code
        return None


def unusual(loaded: Loaded, shown: Shown | None) -> list[dict[str, Any]]:
    """Of a detector: the rows shown that score highest."""
    if loaded.what != "detector" or shown is None:
        return []
    scores = loaded.fitted.detector.scores(tensor_of(shown.values))
    first = scores.topk(min(UNUSUAL, len(scores)))
    pairs = zip(first.indices.tolist(), first.values.tolist(), strict=True)
    return [{"place": place, "words": shown.words[place], "score": score} for place, score in pairs]


def rate_of(loaded: Loaded) -> float | None:
    """False-alarm rate at which a detector marks: the usual one, or a larger one where it has few calibration rows."""
    if loaded.what != "detector":
        return None
    return max(USUAL_RATE, 1 / len(loaded.fitted.detector.calibration))


def rounded(values: np.ndarray) -> Any:
    """Nested lists of numbers of six digits, which are enough for a screen."""
    return np.vectorize(lambda value: float(f"{value:.{DIGITS}g}"), otypes=[float])(values).tolist()


def _refusal(check: Any) -> str | None:
    try:
        check()
    except InputError as error:
        return str(error)
    return None
