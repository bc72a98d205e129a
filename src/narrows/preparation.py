"""What is taken from all training rows beside the steps: statistics and first weights, and the standing baseline."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from narrows.baseline import Baseline, Typical, fit_baseline, fit_typical
from narrows.data.batches import Batches
from narrows.data.filed import Filed
from narrows.data.mixed import MixedTransform
from narrows.errors import InputError
from narrows.model import Model
from narrows.noise import Noise
from narrows.optimizers import range_test
from narrows.plan import Plan
from narrows.train import held_out, rows_at_once
from narrows.values import Clock, apart

BASELINE_CELLS = 20_000_000  # more rows than that are thinned out evenly
PROBE_ROWS = 256
START_ROWS = 4000  # more rows than twice that are thinned out evenly


def prepare(model: Model, training: Batches) -> None:
    """Let a model take statistics and first weights from training rows."""
    size, stride = rows_at_once(model), max(1, len(training) // START_ROWS)
    model.adapt(training.chunks(size))
    model.start(lambda: torch.cat(list(training.chunks(size, stride))))


@torch.no_grad()
def baseline_of(model: Model, training: Batches) -> Baseline | Typical | None:
    """Principal components, or the typical row, of training rows spread over the set, in the model's units."""
    transform = model.transform
    stride = max(1, len(training) * model.schema.size // BASELINE_CELLS)
    targets = (transform(raw).x for raw in training.chunks(rows_at_once(model), stride))
    if isinstance(transform, MixedTransform):
        return fit_typical((x.cpu() for x in targets), transform.is_symbol.cpu())
    # Components as many as cells tell all, and nothing of a code that is no code.
    size = 0 if model.latent.whole else model.latent.size
    return fit_baseline((transform.comparable(x).cpu() for x in targets), size)


def rate_of(model: Model, batches: Batches, plan: Plan) -> float | None:
    """Return the rate asked for or the range test's; None for the optimizer's usual one."""
    if plan.rate != "auto":
        return None if plan.rate is None else float(plan.rate)
    rows = iter(batches.again(batches.size))
    probe = next(iter(batches.again(PROBE_ROWS)))
    noise, clock, cells = Noise(plan.seed, model.device), Clock.at_end(model.device), model.schema.size

    def surrogate(candidate: Model) -> Tensor:
        raw = next(rows)
        if plan.online:
            candidate.transform.update(apart(raw)[0])
        return candidate.train().loss(raw, noise, clock)[0] / cells

    def figure(candidate: Model) -> float:
        return held_out(candidate, probe).nats / cells

    return range_test(model, plan.optimizer, surrogate, figure)


def check_noisy(values: np.ndarray | Filed, noisy: np.ndarray | None, model: Model) -> None:
    """Raise `InputError` unless what is seen of each row is there where it is the user's own, and nowhere else."""
    corruption = model.recipe.corruption
    if noisy is None and corruption.own:
        raise InputError(
            "corruption own sees what comes with the examples, and nothing did; give narrows train --noisy, or take "
            "corruption=gaussian"
        )
    if noisy is not None and not corruption.own:
        raise InputError(
            f"noisy examples were given, and corruption {corruption.kind} makes its own; set corruption=own"
        )
    if noisy is not None and noisy.shape != values.shape:
        raise InputError(
            f"the noisy examples have the shape {noisy.shape} and the clean ones {values.shape}; give one noisy "
            f"version of each, in the same order"
        )
