"""Figures of the study of gradients."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from narrows.study.charts.style import BLACK, BLUE, CYCLE, MARKERS, RED, SIZE, STYLES, label, panels
from narrows.study.gradients import PLACES, SIGNALS, Estimator, Gradients


def draw(result: Gradients) -> dict[str, Figure]:
    """Draw bias and variance of the elbo's gradient, and the signal to noise under iwae."""
    return {"gradients-noise": _noise(result), "gradients-signal": _signal(result)}


def _noise(result: Gradients) -> Figure:
    elbo = [one for one in result.estimators if one.objective.startswith("elbo")]
    codes = list(dict.fromkeys(one.codes for one in elbo))
    figure, axes = panels(2, 5.6, rows=len(codes), sharex="col")
    for (bias, variance), code in zip(axes, codes, strict=True):
        start, end = ([one for one in elbo if one.codes == code and one.place == place] for place in PLACES)
        places = range(len(start))
        _dots(variance, start, "variance", BLUE, "o", PLACES[0])
        _dots(variance, end, "variance", RED, "s", PLACES[1])
        _dots(bias, start, "bias", BLUE, "o", "mean error")
        bias.scatter([one.noise for one in start], places, marker="|", s=140, color=BLACK, label="by chance alone")
        bias.set_yticks(
            places, [f"{one.name}{' *' if one.claim != 'none' else ''}" for one in start], fontsize=SIZE - 2
        )
        variance.set_yticks(places, [])
        for one in (bias, variance):
            one.set_xscale("log")
            one.set_ylim(len(start) - 0.4, -2.4)
        label(bias, f"{code}: bias at the start", "", "", "upper left")
        label(variance, f"{code}: variance", "", "", "upper left")
    axes[-1][0].set_xlabel("norm of the mean error, nats (* says it is biased)", fontsize=SIZE - 1)
    axes[-1][1].set_xlabel("variance of one estimate, nats²", fontsize=SIZE - 1)
    return figure


def _dots(axes: Any, rows: list[Estimator], field: str, colour: str, marker: str, said: str) -> None:
    values = [getattr(row, field) for row in rows]
    axes.scatter(values, range(len(rows)), color=colour, marker=marker, s=28, label=said)


def _signal(result: Gradients) -> Figure:
    figure, axes = panels(2, 3.8, sharey=True)
    for one, part in zip(axes, ("encoder", "decoder"), strict=True):
        for name, colour, style, marker in zip(SIGNALS, CYCLE, STYLES, MARKERS, strict=False):
            own = [signal for signal in result.signals if signal.name == name]
            draws = [signal.draws for signal in own]
            one.loglog(
                draws,
                [getattr(signal, part) for signal in own],
                color=colour,
                linestyle=style,
                marker=marker,
                ms=4,
                label=name,
            )
        one.set_xscale("log", base=2)
        label(one, f"gradient of the {part}", "draws k", "", None)
    axes[0].set_ylabel("signal to noise of one estimate", fontsize=SIZE)
    axes[1].legend(fontsize=8.5, loc="lower right", edgecolor="none")
    return figure
