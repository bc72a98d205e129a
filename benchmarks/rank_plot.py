"""A critical-difference plot: mean ranks over data sets, and which of them the data cannot tell apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from scipy.stats import studentized_range

WIDTH, LINE = 9.0, 0.28  # inches


def critical_difference(contenders: int, sets: int, level: float = 0.05) -> float:
    """Difference of mean ranks from which on two of so many contenders differ at a level (Nemenyi; Demsar 2006).

    q / sqrt(2) * sqrt(k (k + 1) / (6 n)), q the upper quantile of the studentised range of k normal variables.
    """
    q = float(studentized_range.ppf(1 - level, contenders, math.inf))
    return q / math.sqrt(2) * math.sqrt(contenders * (contenders + 1) / (6 * sets))


def cliques(ranks: list[float], difference: float) -> list[tuple[int, int]]:
    """Longest runs (first, last) of sorted ranks whose ends lie within the difference, none inside another."""
    runs: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(place for place, other in enumerate(ranks) if other - rank <= difference)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def draw(ranks: Mapping[str, float], sets: int, title: str, path: Path) -> None:
    """Draw mean ranks, 1 the best, by contender; bars join those that the Nemenyi test does not tell apart at 5 %."""
    ordered = sorted(ranks.items(), key=lambda item: item[1])
    values = [rank for _, rank in ordered]
    difference = critical_difference(len(ordered), sets)
    joined = cliques(values, difference)
    half = (len(ordered) + 1) // 2
    figure = Figure(figsize=(WIDTH, LINE * (half + len(joined) + 4)), dpi=120, layout="constrained")
    axes = figure.subplots()
    low, high = 1, len(ordered)
    depth = len(joined) * 0.6 + 0.6
    for row, (first, last) in enumerate(joined):
        axes.plot([values[first], values[last]], [-0.6 * (row + 1)] * 2, color="black", linewidth=3, clip_on=False)
    for place, (name, rank) in enumerate(ordered):
        left = place < half
        y = -depth - (place if left else len(ordered) - 1 - place) * 0.9
        edge = low - 0.3 if left else high + 0.3
        axes.plot([rank, rank, edge], [0, y, y], color="black", linewidth=0.8, clip_on=False)
        told = f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}"
        axes.text(edge, y, f"{told} " if left else f" {told}", ha="right" if left else "left", va="center", fontsize=9)
    axes.plot([low, low + difference], [1.6, 1.6], color="black", linewidth=2)
    axes.text(low + difference / 2, 1.7, f"critical difference {difference:.2f}", ha="center", va="bottom", fontsize=9)
    axes.set(xlim=(low, high), ylim=(-depth - half * 0.9, 2.4), yticks=[], xticks=range(low, high + 1))
    axes.set_title(title, fontsize=10)
    axes.spines[["left", "right", "bottom"]].set_visible(False)
    axes.spines["top"].set_position(("data", 0))
    axes.xaxis.set_ticks_position("top")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")
