"""From data and a plan to a trained model: the one place where training is put together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.axes import Latent
from narrows.captured import graph_for
from narrows.data.batches import Batches
from narrows.data.classes import classes_of
from narrows.data.division import check_rows, divided
from narrows.data.filed import Filed
from narrows.data.schema import Schema
from narrows.data.transforms import Transform
from narrows.errors import InputError
from narrows.launch import accelerator
from narrows.model import Model, Recipe
from narrows.noise import DealtNoise, Noise
from narrows.optimizers import make_optimizer
from narrows.persist import Fitted
from narrows.plan import Plan
from narrows.preparation import baseline_of, check_noisy, prepare, rate_of
from narrows.presets import choose
from narrows.schedules import make_schedule
from narrows.together import begin_alike, check_shared, identity_of
from narrows.train import Run, precision_for, train
from narrows.training import Training
from narrows.values import Progress
from narrows.workers import ALONE, Workers

USUAL_STEPS = 6000
USUAL_EPOCHS = (10, 300)


Watch = Callable[[Iterator[Progress]], Iterator[Progress]]


def fit(
    values: np.ndarray | Filed,
    schema: Schema,
    preset: str = "autoencoder",
    settings: Iterable[str] | Mapping[str, Any] = (),
    plan: Plan | None = None,
    watch: Watch = iter,
    noisy: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    workers: Workers = ALONE,
) -> Fitted:
    """Train a preset on rows.

    Parameters
    ----------
    values : array, shape (n, x), or Filed
        Raw rows in their stored type; at least two.
    schema : Schema
        Of the rows.
    preset : str
        A name of `narrows.presets.PRESETS`.
    settings : iterable of str, or mapping
        Choices changed, as in `narrows.presets.choose`.
    plan : Plan, optional
        How to train.
    watch : callable
        A last filter over the progress, such as a progress bar.
    noisy : array, shape (n, x), optional
        What is seen of each row, for corruption own.
    labels : array, shape (n,), optional
        The class of each row, numbers or text; a latent that knows no classes leaves them alone.
    workers : Workers
        The processes that train together; each calls this with the same arguments.

    Returns
    -------
    Fitted
        With the weights that were best on the held-out rows. Only the first worker looks for findings and fits a
        baseline.

    Raises
    ------
    InputError
        If the data, the preset, the settings or the plan cannot be used.
    """
    training = begin(values, schema, preset, settings, plan or Plan(), noisy, labels, workers)
    for _ in watch(training.overseen(train(training.run))):
        pass
    return training.finished()


def begin(
    values: np.ndarray | Filed,
    schema: Schema,
    preset: str,
    settings: Iterable[str] | Mapping[str, Any],
    plan: Plan,
    noisy: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    workers: Workers = ALONE,
) -> Training:
    """Put a training together, up to its first step; see `fit`."""
    with workers.together():
        check_rows(values)
        recipe = recipe_of(schema, preset, settings, plan)
        classes, condition = _classes(recipe.latent, labels, len(values))
        model = _model(dataclasses.replace(recipe, latent=recipe.latent.of(classes)), schema, plan, workers)
        check_noisy(values, noisy, model)
        check_shared(model, workers)
        training, validation, fingerprint = divided(values, noisy, condition, plan, model.device, workers)
        if condition is not None:
            model.latent.weigh(condition)
        model.objective.adapt(len(training))
        if workers.first and not plan.online:
            prepare(model, training)
        # Resident rows have it before the training, which takes again the memory that this gives back.
        early = not (plan.online or isinstance(values, Filed))
        baseline = baseline_of(model, training) if early and workers.first else None
        model.matrix_dtype = _matrix_dtype(model, plan.precision)
        rate = rate_of(model, training, plan) if workers.first else None
    identity = identity_of(plan, model, fingerprint, condition, workers)
    begin_alike(model, values, identity, workers)
    rate = workers.told(rate)
    with workers.together():
        run = _run(model, training, plan, rate)
    return Training(run, plan, preset, len(values), validation, identity, fingerprint, baseline, early)


def new_model(schema: Schema, preset: str, settings: Iterable[str] | Mapping[str, Any], plan: Plan) -> Model:
    """Make an untrained model of a preset, on the plan's device.

    Raises
    ------
    InputError
        If the plan, the preset or the settings cannot be used, or not on such data.
    """
    return _model(recipe_of(schema, preset, settings, plan), schema, plan)


def recipe_of(schema: Schema, preset: str, settings: Iterable[str] | Mapping[str, Any], plan: Plan) -> Recipe:
    """Return the recipe of a preset for data that the plan may make binary."""
    plan.check()
    if plan.binarize != "none" and schema.step == 0:
        raise InputError(f"only levels can be binarised, and the data are {schema.describe()}; leave out binarize")
    modelled = Transform(schema, grid=True, binarize=plan.binarize).modelled
    return choose(preset, modelled, settings)


def _model(recipe: Recipe, schema: Schema, plan: Plan, workers: Workers = ALONE) -> Model:
    device = accelerator(plan.device, workers.local_rank, workers.local_count) if workers.count > 1 else plan.device
    return Model(recipe, schema, binarize=plan.binarize, seed=plan.seed).to(_device(device))


def _matrix_dtype(model: Model, precision: str) -> torch.dtype | None:
    """Type of the matrix products in training; float32 where looks are compared, of which bfloat16 would hide much."""
    corruption = model.recipe.corruption
    if corruption.differences and precision == "bfloat16":
        raise InputError(
            f"corruption {corruption.kind} sets two looks at an example against each other, for which bfloat16 is too "
            f"coarse; take --precision float32"
        )
    return precision_for("float32" if corruption.differences else precision, model.device)


def _run(model: Model, batches: Batches, plan: Plan, rate: float | None) -> Run:
    """Put together the run that a plan describes."""
    epochs = plan.epochs or min(max(math.ceil(USUAL_STEPS / batches.per_epoch), USUAL_EPOCHS[0]), USUAL_EPOCHS[1])
    noise = (Noise if batches.workers.count == 1 else DealtNoise)(plan.seed, model.device)
    return Run(
        model,
        batches,
        make_optimizer(plan.optimizer, model, rate, plan.momentum),
        make_schedule(plan.schedule),
        noise,
        steps=None if plan.minutes else epochs * batches.per_epoch,
        seconds=plan.minutes * 60 if plan.minutes else None,
        average=plan.average,
        running=plan.online,
        graph=None if plan.eager or plan.online or batches.workers.count > 1 else graph_for(model, noise),
    )


def _classes(latent: Latent, labels: np.ndarray | None, rows: int) -> tuple[tuple[str, ...], Tensor | None]:
    """Names of the classes, and that of each row, where the latent is to learn them."""
    if labels is None or not latent.conditional:
        return (), None
    return classes_of(labels, rows, "take preset variational, which asks for no labels")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        probe = torch.zeros(1, device=name)
        probe.item()  # a device such as meta holds no numbers
        return probe.device
    except (RuntimeError, AssertionError):
        raise InputError(f"there is no device {name!r} here; take --device cpu, or auto") from None
