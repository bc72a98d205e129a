"""How figures look: 800 pixels wide, on white, in colours that colour-blind people tell apart (Okabe and Ito 2008)."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#333333",
)
CYCLE = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")
WIDTH, DPI = 8.0, 100  # inches, pixels an inch
SIZE = 10  # points


def panels(columns: int, height: float = 3.4, rows: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Make a figure of some panels side by side; return it with its axes, an array of them if there is more than one.

    Parameters
    ----------
    columns, rows : int
        Panels.
    height : float
        Of the whole, in inches.
    options
        For ``Figure.subplots``.
    """
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, **options)
    for one in [axes] if rows * columns == 1 else axes.flat:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(color="#DDDDDD", linewidth=0.6)
        one.set_axisbelow(True)
        one.tick_params(labelsize=SIZE - 1)
    return figure, axes


def label(axes: Any, title: str, x: str, y: str, legend: str | None = "best") -> None:
    """Say what a panel shows, what its axes are, units included, and which line is which."""
    axes.set_title(title, fontsize=SIZE, loc="left")
    axes.set_xlabel(x, fontsize=SIZE)
    axes.set_ylabel(y, fontsize=SIZE)
    if legend is not None:
        axes.legend(loc=legend, fontsize=SIZE - 1.5, frameon=True, framealpha=0.9, edgecolor="none")
