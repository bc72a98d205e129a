"""Colours of points by what is known of their rows, and what each of them means, whatever draws them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from narrows.apps.plane import classes, is_scale, short_name

ENDS = (0.01, 0.99)  # quantiles at the ends of a scale of colours
# From viridis, at even distances.
SCALE = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)])
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#CC79A7",
    "#56B4E9",
    "#8C564B",
    "#8A8A00",
    "#7B6BB5",
    "#4D8F8F",
    "#AEC7E8",
    "#FFBB78",
    "#98DF8A",
    "#FF9896",
    "#C5B0D5",
    "#C49C94",
    "#DBDB8D",
    "#9EDAE5",
)
GREY = "#999999"


@dataclass(frozen=True)
class Colours:
    """Colours of points.

    Parameters
    ----------
    points : list of str
        One a point.
    name : str
        Of the values that they stand for.
    keys : list of pairs
        Of classes: what a colour means, and the colour.
    ends : tuple of float, optional
        Of numbers: those at the ends of the scale.
    """

    points: list[str]
    name: str
    keys: list[tuple[str, str]]
    ends: tuple[float, float] | None = None


def coloured(name: str, values: np.ndarray | None, n: int) -> Colours:
    """Colour n points by values (n,), text or numbers, of that name; alike where there are none."""
    name = short_name(name)
    if values is None:
        return Colours([PALETTE[0]] * n, name, [])
    if is_scale(values):
        return _on_scale(name, values)
    found = classes(values)
    palette = [*PALETTE[: len(found.names)], GREY]
    words = [*map(short_name, found.names), *([found.others] if found.others else [])]
    return Colours([palette[place] for place in found.places], name, list(zip(words, palette, strict=False)))


def _on_scale(name: str, values: np.ndarray) -> Colours:
    """Numbers as colours, those far out as the ends of the scale; points without one are grey."""
    low, high = map(float, np.quantile(values[np.isfinite(values)], ENDS))
    share = np.clip((values - low) / ((high - low) or 1.0), 0, 1) * (len(SCALE) - 1)
    steps = range(len(SCALE))
    mixed = np.stack([np.interp(share, steps, SCALE[:, channel]) for channel in range(3)], 1)
    colours = [GREY if np.isnan(rgb).any() else "#" + bytes(rgb.round().astype(np.uint8)).hex() for rgb in mixed]
    return Colours(colours, name, [], (low, high))
