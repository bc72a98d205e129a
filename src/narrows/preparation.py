"""What is taken from all training rows beside the steps: statistics and first weights, and the standing baseline."""

from __future__ import annotations

import torch

from narrows.baseline import Baseline, Typical, fit_baseline, fit_typical
from narrows.data.batches import Batches
from narrows.data.mixed import MixedTransform
from narrows.model import Model
from narrows.train import rows_at_once

BASELINE_CELLS = 20_000_000  # more rows than that are thinned out evenly
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
