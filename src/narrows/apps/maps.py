"""Codes drawn as points of a plane, coloured by what is known of their rows; it needs matplotlib."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from narrows.apps.plane import classes, is_scale, plane, short_name
from narrows.study.charts.style import BLACK, BLUE, CYCLE, SIZE

TEN = (*CYCLE, "#8C564B", "#8A8A00", "#5E4FA2", BLACK)
EIGHTEEN = [colour for i, colour in enumerate(mpl.colormaps["tab20"](range(20))) if i not in (14, 15)]  # but the greys
GREY = "#BBBBBB"
NAMED_FROM = 0.01  # share of the points from which the name of a class stands on the map
INK = 6e4  # of all markers together, in square points
SMALLEST, LARGEST = 4.0, 40.0  # of one
WIDTH, HEIGHT, DPI = 8.0, 6.6, 150  # inches, pixels an inch


@mpl.rc_context({"text.parse_math": False})  # names are names, whatever dollars are in them
def draw_map(z: np.ndarray, name: str, values: np.ndarray | None) -> tuple[Figure, str]:
    """Draw a scatter of codes with a legend of classes or a bar of numbers; also return what it shows, in words.

    Parameters
    ----------
    z : array, shape (n, d)
        Codes; of more than two numbers their first two principal components are drawn.
    name : str
        Of the values.
    values : array, shape (n,), or None
        Text or numbers by which points are coloured; a missing one is empty or NaN. More than 18 different numbers are
        a scale, and all else are classes.

    Raises
    ------
    InputError
        If codes are of fewer than two numbers, or there are fewer than two of them.
    """
    laid = plane(z)
    points = laid.points
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SIZE - 1)
    axes.set_xlabel(laid.axes[0], fontsize=SIZE)
    axes.set_ylabel(laid.axes[1], fontsize=SIZE)
    axes.set_title(laid.shown, fontsize=SIZE, loc="left")
    if values is None:
        _scatter(axes, points, BLUE)
    elif is_scale(values):
        _scale(figure, axes, points, name, values)
    else:
        _classes(axes, points, name, values)
    return figure, laid.shown


def _scatter(axes: Any, points: np.ndarray, colours: Any) -> None:
    """Points, the smaller the more there are."""
    size = float(np.clip(INK / len(points), SMALLEST, LARGEST))
    axes.scatter(*points.T, s=size, alpha=0.7, linewidths=0, c=colours)


def _scale(figure: Figure, axes: Any, points: np.ndarray, name: str, values: np.ndarray) -> None:
    """Numbers as colours, those far out as the ends of the scale; points without one are grey."""
    there = np.isfinite(values)
    low, high = np.quantile(values[there], (0.01, 0.99))
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(low, high), mpl.colormaps["viridis"].with_extremes(bad=GREY))
    _scatter(axes, points, colours.to_rgba(np.ma.masked_invalid(values)))
    bar = figure.colorbar(colours, ax=axes, shrink=0.7, extend="both")
    bar.set_label(_short(name), fontsize=SIZE)


def _classes(axes: Any, points: np.ndarray, name: str, values: np.ndarray) -> None:
    """A colour a class, in an order of chance so that none lies above another, and the names of large ones in place."""
    found = classes(values)
    names, places = found.names, found.places
    palette = [*(TEN if len(names) <= len(TEN) else EIGHTEEN), GREY]
    colours = np.array([mpl.colors.to_rgba(colour) for colour in palette])
    order = np.random.default_rng(0).permutation(len(points))
    _scatter(axes, points[order], colours[places[order]])
    handles = [
        Line2D([], [], ls="", marker="o", ms=6, color=colours[i], label=_short(one)) for i, one in enumerate(names)
    ]
    if found.others:
        handles.append(Line2D([], [], ls="", marker="o", ms=6, color=GREY, label=found.others))
    axes.legend(
        handles=handles,
        title=_short(name),
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        fontsize=SIZE - 1,
        frameon=False,
    )
    for place, one in enumerate(names):
        own = points[places == place]
        if len(own) >= NAMED_FROM * len(points):
            # Of the middle point of the class, for the mean of a class in two parts lies in none of them.
            middle = own[np.square(own - np.median(own, 0)).sum(1).argmin()]
            axes.annotate(
                _short(one),
                middle,
                fontsize=SIZE,
                color=colours[place] * (0.7, 0.7, 0.7, 1.0),
                ha="center",
                va="center",
                weight="bold",
                path_effects=[withStroke(linewidth=3, foreground="white")],
            )


def _short(name: str) -> str:
    """A name as it fits into a legend; matplotlib hides those that begin with an underscore."""
    name = short_name(name)
    return f" {name}" if name.startswith("_") else name
