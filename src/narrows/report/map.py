"""The map of the codes: a point a row, coloured, each with its row in words and, of images, in a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from narrows.apps.plane import Plane, classes, is_scale, short_name
from narrows.report.markup import Html, joined, tag

SIDE = 560
EDGE = 34
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
class Thumbnails:
    """A sheet of small images.

    Parameters
    ----------
    source : str
        Its address.
    size : tuple of int
        Width and height of an image.
    across : int
        How many are side by side.
    """

    source: str
    size: tuple[int, int]
    across: int


def draw_map(
    plane: Plane, words: Sequence[str], name: str, values: np.ndarray | None, small: Thumbnails | None
) -> Html:
    """Draw points of a plane with a legend.

    Parameters
    ----------
    plane : Plane
        The points, n of them.
    words : sequence of str
        What each is.
    name : str
        Of the values.
    values : array, shape (n,), or None
        By which they are coloured.
    small : Thumbnails, optional
        Their images.
    """
    colours, legend = _coloured(name, values, len(words))
    points = _placed(plane.points)
    circles = (
        tag("circle", tag("title", word), cx=f"{x:.1f}", cy=f"{y:.1f}", r=4, fill=colour)
        for (x, y), colour, word in zip(points, colours, words, strict=True)
    )
    said = [
        tag("text", plane.axes[0], x=SIDE / 2, y=SIDE - 8, text_anchor="middle"),
        tag("text", plane.axes[1], transform=f"translate(14 {SIDE / 2}) rotate(-90)", text_anchor="middle"),
    ]
    options = {} if small is None else {"source": small.source, "size": small.size, "across": small.across}
    drawn = tag(
        "svg",
        tag("title", f"Map of {plane.shown}"),
        *said,
        tag("g", *circles),
        viewBox=f"0 0 {SIDE} {SIDE}",
        role="img",
        tabindex="0",
        class_="map",
        data_thumbnails=json.dumps(options) if options else None,
    )
    hint = "Point at a dot to see its row; with the keyboard, go to the map and press the arrow keys."
    told = tag("p", hint, class_="told", aria_live="polite")
    return tag("div", drawn, told, legend, class_="mapped")


def _placed(points: np.ndarray) -> np.ndarray:
    """Points (n, 2) of the plane on the picture, one scale for both axes, the second one upwards."""
    middle = (points.max(0) + points.min(0)) / 2
    reach = float((points.max(0) - points.min(0)).max()) or 1.0
    placed: np.ndarray = (points - middle) / reach * (SIDE - 2 * EDGE) * (1, -1) + SIDE / 2
    return placed


def _coloured(name: str, values: np.ndarray | None, n: int) -> tuple[Sequence[str], Html]:
    """A colour a point, and what the colours mean."""
    if values is None:
        return [PALETTE[0]] * n, Html("")
    if is_scale(values):
        return _on_scale(name, values)
    found = classes(values)
    colours = [*PALETTE[: len(found.names)], GREY]
    named = [*found.names, found.others] if found.others else found.names
    keys = colours if found.others else colours[:-1]
    items = (
        tag("li", tag("span", class_="dot", style=f"background:{key}"), short_name(one))
        for one, key in zip(named, keys, strict=True)
    )
    return [colours[place] for place in found.places], _legend(name, tag("ul", *items, class_="legend"))


def _on_scale(name: str, values: np.ndarray) -> tuple[Sequence[str], Html]:
    """Numbers as colours, those far out as the ends of the scale; points without one are grey."""
    low, high = np.quantile(values[np.isfinite(values)], ENDS)
    share = np.clip((values - low) / ((high - low) or 1.0), 0, 1) * (len(SCALE) - 1)
    steps = range(len(SCALE))
    mixed = np.stack([np.interp(share, steps, SCALE[:, channel]) for channel in range(3)], 1)
    colours = [GREY if np.isnan(rgb).any() else "#" + bytes(rgb.round().astype(np.uint8)).hex() for rgb in mixed]
    ramp = ", ".join(f"rgb{tuple(map(int, colour))}" for colour in SCALE)
    bar = tag("span", class_="ramp", style=f"background:linear-gradient(to right, {ramp})")
    return colours, _legend(name, joined([f"{low:.4g} ", bar, f" {high:.4g}"]))


def _legend(name: str, keys: Html) -> Html:
    return tag("div", tag("b", short_name(name)), " ", keys, class_="keys")
