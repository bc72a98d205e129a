"""Charts as SVG, drawn in the colours of the page: lines, steps of a histogram, points of a map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from narrows.report.markup import Html, tag

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 26, 38
TICKS = 4


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Parameters
    ----------
    name : str
        What it is.
    x, y : sequence of float
        Its points.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Range:
    """Values from one end of an axis to the other, and where on the chart these are."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        """Where on the chart a value is."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values within, at steps of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def lines(series: Sequence[Series], title: str, x: str, y: str) -> Html:
    """Draw lines over one another, the second and later ones dashed, with a legend.

    Parameters
    ----------
    series : sequence of Series
        Each of at least one point.
    title, x, y : str
        Of the chart and its axes.
    """
    across, up = _ranges([p for s in series for p in s.x], [p for s in series for p in s.y])
    drawn = []
    for number, one in enumerate(series):
        points = [f"{across.place(a):.1f},{up.place(b):.1f}" for a, b in zip(one.x, one.y, strict=True)]
        drawn.append(tag("polyline", points=" ".join(points), class_=f"line s{number}"))
        if len(points) == 1:
            cx, cy = points[0].split(",")
            drawn.append(tag("circle", cx=cx, cy=cy, r=3, class_=f"p{number}"))
    return tag("div", _svg(title, across, up, x, y, drawn), _legend([one.name for one in series]), class_="chart")


def histogram(groups: Sequence[tuple[str, np.ndarray]], mark: tuple[str, float] | None, title: str, x: str) -> Html:
    """Draw how values are spread, each group's share in each of 40 bins, and a line at a value that is marked."""
    everything = np.concatenate([values for _, values in groups])
    edges = np.histogram_bin_edges(everything, 40, (float(everything.min()), float(everything.max())))
    shares = [np.histogram(values, edges)[0] / max(len(values), 1) for _, values in groups]
    across, up = _ranges([edges[0], edges[-1]], [0.0, max(float(share.max()) for share in shares)])
    drawn = []
    for number, share in enumerate(shares):
        steps = zip(np.repeat(edges, 2)[1:-1], np.repeat(share, 2), strict=True)
        points = " ".join(f"{across.place(a):.1f},{up.place(b):.1f}" for a, b in steps)
        drawn.append(tag("polyline", points=points, class_=f"line s{number}"))
    names = [name for name, _ in groups]
    if mark is not None:
        place = f"{across.place(min(max(mark[1], across.low), across.high)):.1f}"
        drawn.append(tag("line", x1=place, x2=place, y1=TOP, y2=HEIGHT - BOTTOM, class_="line s3"))
        names += [""] * (3 - len(names)) + [mark[0]]
    return tag("div", _svg(title, across, up, x, "share of the rows", drawn), _legend(names), class_="chart")


def _ranges(x: Sequence[float], y: Sequence[float]) -> tuple[Range, Range]:
    """From the least to the largest value, with room where they are one."""
    ends = [(float(min(values)), float(max(values))) for values in (x, y)]
    (a, b), (c, d) = [(low, high) if high > low else (low - 0.5, high + 0.5) for low, high in ends]
    return Range(a, b, LEFT, WIDTH - RIGHT), Range(c, d, HEIGHT - BOTTOM, TOP)


def _svg(title: str, across: Range, up: Range, x: str, y: str, drawn: Sequence[Html]) -> Html:
    """A chart with its axes."""
    marks = []
    for value in across.ticks():
        marks.append(
            tag("text", f"{value:g}", x=f"{across.place(value):.1f}", y=HEIGHT - BOTTOM + 14, text_anchor="middle")
        )
    for value in up.ticks():
        place = up.place(value)
        marks.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{place:.1f}", y2=f"{place:.1f}", class_="grid"))
        marks.append(tag("text", f"{value:g}", x=LEFT - 5, y=f"{place + 3.5:.1f}", text_anchor="end"))
    words = [
        tag("text", title, x=LEFT, y=14, class_="name"),
        tag("text", x, x=(LEFT + WIDTH) / 2, y=HEIGHT - 5, text_anchor="middle"),
        tag("text", y, transform=f"translate(11 {HEIGHT / 2}) rotate(-90)", text_anchor="middle"),
    ]
    box = f"0 0 {WIDTH} {HEIGHT}"
    return tag("svg", tag("title", f"{title}: {y} by {x}"), *marks, *drawn, *words, viewBox=box, role="img")


def _legend(names: Sequence[str]) -> Html:
    """Names of lines, each behind a sample of it; a single one needs none."""
    named = [(number, name) for number, name in enumerate(names) if name]
    items = (tag("li", tag("span", class_=f"key s{number}"), name) for number, name in named)
    return tag("ul", *items, class_="legend") if len(named) > 1 else Html("")
