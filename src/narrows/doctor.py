"""The doctor: looks at a run and says what is wrong, how it shows, and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from narrows.data.mixed import MixedTransform
from narrows.data.moments import CONSTANT_BELOW
from narrows.data.schema import Schema
from narrows.data.transforms import Transform
from narrows.inference import codes
from narrows.model import Model
from narrows.values import Finding

ROWS_LOOKED_AT = 2000
SCALES_APART = 1e3
TERMS = ("objective", "reconstruction term", "rate (KL or price of the code)")


def examine(model: Model, values: Tensor) -> list[Finding]:
    """Look at a trained model on raw rows (n, x).

    Returns
    -------
    list of Finding
        Empty where nothing is wrong: units in use, a code that has to leave something out, sigma off its floor, columns
        of comparable scale.
    """
    findings = [*about_data(model.transform), *model.likelihood.diagnose(), *about_code(model)]
    if len(values) > 1:
        findings += model.latent.diagnose(model.latent.used(codes(model, values[:ROWS_LOOKED_AT])))
    return findings


def about_data(transform: Transform | MixedTransform) -> Iterator[Finding]:
    """Say what the fitted statistics tell of the units of the data."""
    spread = (transform.squares / transform.count.clamp_min(1)).sqrt().flatten()
    still = spread <= CONSTANT_BELOW * transform.mean.abs().flatten()
    constant = int(still.sum())
    if constant:
        yield Finding(
            "constant columns",
            f"{_names(transform.schema, still)} never change{'s' if constant == 1 else ''} in the training rows",
            "leave them out with --ignore: they cost a little and tell nothing",
        )
    moving = spread[~still]
    if len(moving) > 1 and float(moving.max() / moving.min()) > SCALES_APART:
        yield Finding(
            "units",
            f"the columns' standard deviations run from {float(moving.min()):.2g} to {float(moving.max()):.2g}",
            "nothing to do: each column is standardised, and the error is counted in its own standard deviations",
        )


def about_code(model: Model) -> Iterator[Finding]:
    """Say that a code has room for all that is seen, which a network then need only copy."""
    size, seen = model.latent.size, math.prod(model.transform.seen_shape)
    if model.latent.free and size > seen and not model.recipe.corruption.corrupts:
        yield Finding(
            "wide code",
            f"a code of {size} numbers for the {seen} that are seen of a row need leave nothing out",
            "take a smaller latent.size, or what makes a code of any size learn: a sparse latent, or preset denoising",
        )


def first_bad_term(figures: Tensor) -> str:
    """Name what first stopped being a number among an interval's nats, distortion and rate (3, examples met).

    Where all terms fail for one example, the step before it had spoilt the weights.
    """
    bad = ~torch.isfinite(figures)
    first = int(bad.any(0).int().argmax())
    if not bad[:, first].any() or bad[1:, first].all():
        return "gradient, which spoilt the weights"
    # The objective is made of the other two, so it is named only where it alone fails.
    return next(TERMS[i] for i in (1, 2, 0) if bad[i, first])


def broken(figures: Tensor, rate: float) -> Finding:
    """Report that a term is no longer a number."""
    return Finding(
        "not a number",
        f"training stopped because the {first_bad_term(figures)} stopped being finite; the last good weights are kept",
        f"take a lower rate (--rate {rate / 10:.1g}), or look for extreme values in the data",
    )


def _names(schema: Schema, chosen: Tensor) -> str:
    """Name some columns of a mask, or channels of images."""
    picked = chosen.nonzero().flatten().tolist()
    what = "channel" if schema.is_image else "column"
    names = [schema.names[i] if schema.names else f"{what} {i}" for i in picked[:3]]
    return ", ".join(names) + (f" and {len(picked) - 3} more" if len(picked) > 3 else "")
