"""The map of the codes: a point a row, coloured, each with its row in words and, of images, in a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from narrows.apps.plane import Plane
from narrows.report.colours import SCALE, Colours, coloured
from narrows.report.markup import Html, joined, tag

SIDE = 560
EDGE = 34


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
    colours = coloured(name, values, len(words))
    points = _placed(plane.points)
    circles = (
        tag("circle", tag("title", word), cx=f"{x:.1f}", cy=f"{y:.1f}", r=4, fill=colour)
        for (x, y), colour, word in zip(points, colours.points, words, strict=True)
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
    return tag("div", drawn, told, _legend(colours), class_="mapped")


def _placed(points: np.ndarray) -> np.ndarray:
    """Points (n, 2) of the plane on the picture, one scale for both axes, the second one upwards."""
    middle = (points.max(0) + points.min(0)) / 2
    reach = float((points.max(0) - points.min(0)).max()) or 1.0
    placed: np.ndarray = (points - middle) / reach * (SIDE - 2 * EDGE) * (1, -1) + SIDE / 2
    return placed


def _legend(colours: Colours) -> Html:
    """What the colours mean."""
    keys = joined([])
    if colours.ends is not None:
        ramp = ", ".join(f"rgb{tuple(map(int, colour))}" for colour in SCALE)
        bar = tag("span", class_="ramp", style=f"background:linear-gradient(to right, {ramp})")
        low, high = colours.ends
        keys = joined([f"{low:.4g} ", bar, f" {high:.4g}"])
    elif colours.keys:
        dots = ((tag("span", class_="dot", style=f"background:{colour}"), word) for word, colour in colours.keys)
        keys = tag("ul", *(tag("li", *dot) for dot in dots), class_="legend")
    else:
        return keys
    return tag("div", tag("b", colours.name), " ", keys, class_="keys")
