"""Figures of the study of the bound."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from narrows.study.asymmetry import Asymmetry, log_normal
from narrows.study.bound import DRAWN, Bound
from narrows.study.charts.style import BLACK, BLUE, GREEN, ORANGE, RED, label, panels
from narrows.study.weighing import COMPONENT_DRAWS, curve


def draw(result: Bound) -> dict[str, Figure]:
    """Draw the training, the posteriors, the draws that are needed, and the two divergences."""
    return {
        "bound-training": _training(result),
        "bound-posteriors": _posteriors(result),
        "bound-draws": _draws(result),
        "bound-asymmetry": _asymmetry(result.asymmetry),
    }


def _training(result: Bound) -> Figure:
    figure, (both, gap) = panels(2)
    epochs = [moment.epoch for moment in result.moments]
    both.plot(epochs, [m.log_px for m in result.moments], color=BLACK, label="ln p(x), exact")
    both.plot(
        epochs, [m.elbo for m in result.moments], color=BLUE, linestyle="--", marker="o", ms=4, label="elbo, exact"
    )
    label(both, "what training drives up", "epochs", "nats an image", "lower right")
    gap.plot(
        epochs, [m.divergence for m in result.moments], color=RED, marker="s", ms=4, label="KL(q(z | x) || p(z | x))"
    )
    gap.plot(
        epochs, [m.log_px - m.elbo for m in result.moments], color=BLACK, linestyle=":", label="ln p(x) less the elbo"
    )
    gap.set_ylim(bottom=0)
    label(gap, "what lies between", "epochs", "nats an image", "upper right")
    return figure


def _posteriors(result: Bound) -> Figure:
    figure, axes = panels(len(result.posteriors), 3.0)
    for one, row in zip(axes, result.posteriors, strict=True):
        shown = [z for z, p, q in zip(result.codes, row.posterior, row.encoder, strict=True) if max(p, q) > 1e-3]
        one.fill_between(result.codes, row.posterior, color=GREEN, alpha=0.3, label="p(z | x), exact")
        one.plot(result.codes, row.encoder, color=BLUE, label="q(z | x), encoder")
        one.set_xlim(min(shown) - 0.1, max(shown) + 0.1)
        one.set_ylim(0, 1.35 * max(*row.posterior, *row.encoder))
        label(one, f"{row.image}: KL {row.divergence:.2g} nats", "code z", "", "upper left")
    axes[0].set_ylabel("density")
    return figure


def _draws(result: Bound) -> Figure:
    figure, (few, many) = panels(2, 3.6)
    for name, colour, marker in (("prior p(z)", ORANGE, "s"), ("encoder q(z | x)", BLUE, "o")):
        few.loglog(*curve(result.estimates, name), color=colour, marker=marker, ms=4, label=f"codes from the {name}")
    few.axhline(0.05, color=BLACK, linewidth=0.8, linestyle=":")
    few.text(1, 0.055, "0.05 nats", fontsize=8, color=BLACK)
    label(few, f"codes of {DRAWN}", "draws k", "ln p(x) less mean estimate, nats", "upper right")
    numbers = [reach.components for reach in result.reaches]
    short = [-reach.mean_error_nats for reach in result.reaches]
    far = [reach.from_prior_nats for reach in result.reaches]
    many.plot(numbers, short, color=ORANGE, marker="s", ms=4, label=f"short of ln p(x), {COMPONENT_DRAWS:,} draws")
    many.plot(numbers, far, color=GREEN, marker="^", ms=4, linestyle="--", label="KL(p(z | x) || p(z))")
    many.axhline(math.log(COMPONENT_DRAWS), color=BLACK, linewidth=0.8, linestyle=":", label=f"ln {COMPONENT_DRAWS:,}")
    many.set_xscale("log", base=2)
    many.set_yscale("log")
    many.set_xticks(numbers, [str(number) for number in numbers])
    label(many, "principal components, from the prior", "numbers in a code", "nats", "lower right")
    return figure


def _asymmetry(found: Asymmetry) -> Figure:
    import torch

    figure, axes = panels(1, 3.6)
    z = torch.tensor(found.z, dtype=torch.float64)
    axes.fill_between(found.z, found.density, color="#BBBBBB", alpha=0.7, label="p")
    for nearest, colour, style in zip(found.nearest, (RED, BLUE, GREEN), ("-", "--", "-."), strict=True):
        density = log_normal(z, nearest.mean, nearest.deviation).exp()
        said = f"lowest {nearest.by}: KL(q || p) {nearest.reverse_nats:.2f}, KL(p || q) {nearest.forward_nats:.2f}"
        axes.plot(found.z, density.tolist(), color=colour, linestyle=style, label=said)
    axes.set_xlim(-8, 9)
    axes.set_ylim(0, 0.78)
    label(axes, "the gaussian q nearest to p, by either divergence (nats)", "z", "density", "upper right")
    return figure
