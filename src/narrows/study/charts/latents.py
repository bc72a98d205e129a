"""Figures of the study of codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from narrows.study.charts.style import BLACK, BLUE, GREEN, MARKERS, RED, SIZE, STYLES, WIDTH, label, panels
from narrows.study.latents import Drawn, Latents, Plane
from narrows.study.overfitting import Gap

CIRCLES = (1, 2, 3)


def draw(result: Latents) -> dict[str, Figure]:
    """Draw decoded codes side by side, codes in a plane, and the gap."""
    return {
        "latents-samples": _samples(result.drawn),
        "latents-plane": _plane(result.planes),
        "latents-gap": _gap(result.gaps),
    }


def _samples(drawn: list[Drawn]) -> Figure:
    """One row of images for each source of codes."""
    from matplotlib.image import AxesImage

    columns = len(drawn[0].images)
    figure = Figure(
        figsize=(WIDTH, 0.68 * len(drawn) * WIDTH / 8 + 0.3), dpi=100, layout="constrained", facecolor="white"
    )
    grid = figure.subplots(len(drawn), 1)
    for axes, row in zip(grid, drawn, strict=True):
        axes.set(xlim=(0, columns), ylim=(0, 1), xticks=[], yticks=[], aspect="equal")
        axes.spines[:].set_visible(False)
        for place, pixels in enumerate(row.images):
            image = AxesImage(axes, cmap="gray_r", extent=(place + 0.03, place + 0.97, 0.03, 0.97), origin="upper")
            image.set_data(pixels)
            image.set_clim(0, 255)
            axes.add_image(image)
        said = f"{row.model}\n{row.codes}\ndistance {row.distance:.1f}"
        axes.set_ylabel(said, rotation=0, ha="right", va="center", fontsize=SIZE - 2)
    return figure


def _plane(planes: list[Plane]) -> Figure:
    figure, axes = panels(len(planes), 4.2)
    for one, plane in zip(axes, planes, strict=True):
        x, y = zip(*plane.points, strict=True)
        one.scatter(x, y, color=BLUE, alpha=0.5, s=7, linewidths=0, label="codes of test images")
        for radius in CIRCLES:
            angles = [2 * math.pi * step / 200 for step in range(201)]
            said = "N(0, I): 1, 2, 3 deviations" if radius == 1 else None
            one.plot(
                [radius * math.cos(angle) for angle in angles],
                [radius * math.sin(angle) for angle in angles],
                color=BLACK,
                linewidth=1,
                linestyle="--",
                label=said,
            )
        one.set_aspect("equal", adjustable="datalim")
        label(one, f"{plane.model}, codes of two numbers", "z1", "z2", "upper right")
    return figure


def _gap(gaps: list[Gap]) -> Figure:
    figure, (errors, bounds) = panels(2, 3.6)
    _lines(errors, gaps, {"training_nats": "training images", "test_nats": "test images"})
    errors.fill_between(
        range(len(gaps)),
        [g.training_nats for g in gaps],
        [g.test_nats for g in gaps],
        color="#BBBBBB",
        alpha=0.4,
        label="gap",
    )
    label(errors, "-ln p(x | z) after training on few images", "weight of the KL", "nats an image", "upper left")
    weighed = [gap for gap in gaps if gap.weight]  # without a weight the code costs far more than is shown here
    said = {
        "training_bound_nats": "training: minus elbo",
        "test_bound_nats": "test: minus elbo",
        "rate_nats": "KL in it",
    }
    _lines(bounds, weighed, said)
    bounds.set_ylim(bottom=0)
    label(
        bounds, "the bound, the KL at its full weight", "weight of the KL in training", "nats an image", "center right"
    )
    return figure


def _lines(axes: Any, gaps: list[Gap], said: Mapping[str, str]) -> None:
    """One line for each figure, over the weights."""
    for (field, name), colour, style, marker in zip(said.items(), (BLUE, RED, GREEN), STYLES, MARKERS, strict=False):
        values = [getattr(gap, field) for gap in gaps]
        axes.plot(range(len(gaps)), values, color=colour, marker=marker, ms=4, linestyle=style, label=name)
    axes.set_xticks(range(len(gaps)), [f"{gap.weight:g}" for gap in gaps])
