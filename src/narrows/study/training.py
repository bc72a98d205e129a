"""Small models trained for a study, looked at on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from narrows.data.batches import Batches
from narrows.data.dataset import Dataset
from narrows.fit import new_model
from narrows.model import Model
from narrows.noise import Noise
from narrows.optimizers import make_optimizer
from narrows.plan import Plan
from narrows.schedules import make_schedule
from narrows.tensors import tensor_of
from narrows.train import Run, train

DATA = "fashion-sample"


def training(data: Dataset, settings: Sequence[str], plan: Plan) -> Iterator[tuple[float, Model]]:
    """Train a plain autoencoder with some settings on all rows; nothing is held out and nothing stops it early.

    Parameters
    ----------
    data : Dataset
        Training rows.
    settings : sequence of str
        As `narrows.presets.choose` takes them.
    plan : Plan
        Its epochs, batch size, optimizer, rate, schedule, seed and binarize count.

    Yields
    ------
    epoch : float
        Passes over the rows so far: 0 before the first step.
    model : Model
        The one model, which moves on in place.
    """
    model = new_model(data.schema, "autoencoder", settings, plan)
    values = tensor_of(data.values).to(model.device)
    batches = Batches(values, len(values) if plan.batch_size == "full" else int(plan.batch_size), seed=plan.seed)
    model.objective.adapt(len(values))
    model.adapt(values)
    rate = None if plan.rate is None else float(plan.rate)
    run = Run(
        model,
        batches,
        make_optimizer(plan.optimizer, model, rate, plan.momentum),
        make_schedule(plan.schedule),
        Noise(plan.seed, model.device),
        steps=(plan.epochs or 1) * batches.per_epoch,
    )
    yield 0.0, model
    for progress in train(run):
        yield progress.epoch, model


def trained(data: Dataset, settings: Sequence[str], plan: Plan) -> Model:
    """Train as `training` does, to the end."""
    *_, (_, model) = training(data, settings, plan)
    return model.eval()
