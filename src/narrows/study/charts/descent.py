"""Figures of the study of descent."""

from __future__ import annotations

from matplotlib.figure import Figure

from narrows.study.charts.style import BLACK, BLUE, CYCLE, MARKERS, RED, STYLES, label, panels
from narrows.study.descent import Descents


def draw(result: Descents) -> dict[str, Figure]:
    """Draw the error by examples and by time, the variance, and the paths."""
    return {"descent-loss": _loss(result), "descent-variance": _variance(result), "descent-paths": _paths(result)}


def _loss(result: Descents) -> Figure:
    figure, axes = panels(2, 3.6, sharey=True)
    for descent, colour, style, marker in zip(result.descents, CYCLE, STYLES, MARKERS, strict=False):
        said = f"{descent.name}, rate {descent.rate:g}"
        look = {"color": colour, "linestyle": style, "marker": marker, "ms": 3, "label": said}
        axes[0].plot(descent.examples, descent.errors, **look)
        axes[1].plot(descent.seconds, descent.errors, **look)
    for one, what in zip(axes, ("examples seen", "seconds of the processor"), strict=True):
        one.axhline(result.principal_error, color=BLACK, linestyle=":", linewidth=1, label="principal components")
        one.set_xscale("log")
        one.set_ylim(bottom=0.9 * result.principal_error)
        label(one, f"training error by {what}", what, "", None)
    axes[0].set_ylabel("squared error a pixel, variances")
    axes[0].legend(fontsize=8.5, loc="lower left", edgecolor="none")
    return figure


def _variance(result: Descents) -> Figure:
    figure, axes = panels(1, 3.4)
    sizes = [v.size for v in result.variances]
    axes.loglog(
        sizes, [v.predicted for v in result.variances], color=BLACK, linestyle="--", label="s² / B (N - B) / (N - 1)"
    )
    axes.loglog(sizes, [v.measured for v in result.variances], color=BLUE, marker="o", linestyle="", label="measured")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    label(axes, "variance of a batch's gradient", "rows in a batch B", "by the squared norm of the full gradient")
    return figure


def _paths(result: Descents) -> Figure:
    figure, (plane, apart) = panels(2, 3.8)
    drawn: dict[str, str] = {}
    for path in result.paths:
        new = path.name not in drawn
        colour = drawn.setdefault(path.name, (BLACK, RED, BLUE)[min(len(drawn), 2)])
        x, y = zip(*path.points, strict=True)
        plane.plot(
            x, y, color=colour, linewidth=1.8 if path is result.paths[0] else 0.9, label=path.name if new else None
        )
    plane.plot(0, 0, color=BLACK, marker="o", ms=5, linestyle="")
    label(plane, "weights from the same start", "first direction of the full path", "second direction")
    sizes = [w.size for w in result.wandering]
    apart.loglog(sizes, result.told(), color=BLACK, linestyle="--", label="in proportion to sqrt((N - B) / B)")
    apart.loglog(
        sizes, [w.anew for w in result.wandering], color=BLUE, marker="o", linestyle="", label="each drawn anew"
    )
    order = [w.in_order for w in result.wandering]
    apart.loglog(sizes, order, color=RED, marker="s", linestyle="", label="an epoch in order")
    apart.set_ylim(bottom=min(order) / 8)
    apart.set_xticks(sizes, [str(size) for size in sizes])
    apart.minorticks_off()
    label(
        apart, "distance from the full batch's end", "rows in a batch B", "by the length of the full path", "lower left"
    )
    return figure
