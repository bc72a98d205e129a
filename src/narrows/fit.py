"""From data and a plan to a trained model: the one place where training is put together."""

from __future__ import annotations

import dataclasses
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

import narrows
from narrows import filters
from narrows.axes import Latent
from narrows.checkpoint import Best, hand_on, load_checkpoint
from narrows.data.batches import Batches
from narrows.data.classes import classes_of
from narrows.data.division import check_rows, divided
from narrows.data.filed import Filed
from narrows.data.held_out import HeldOut
from narrows.data.schema import Schema
from narrows.data.transforms import Transform
from narrows.doctor import examine
from narrows.errors import InputError
from narrows.launch import accelerator
from narrows.model import Model, Recipe
from narrows.noise import DealtNoise, Noise
from narrows.optimizers import make_optimizer, range_test
from narrows.persist import Fitted
from narrows.plan import Plan
from narrows.preparation import baseline_of, prepare
from narrows.presets import choose
from narrows.records import plain
from narrows.schedules import make_schedule
from narrows.together import begin_alike, check_shared, identity_of
from narrows.train import Run, held_out, precision_for, train
from narrows.values import Clock, Finding, Progress, apart
from narrows.workers import ALONE, Workers

USUAL_STEPS = 6000
USUAL_EPOCHS = (10, 300)
PROBE_ROWS = 256
EXAMINED_ROWS = 2000


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
    plan = plan or Plan()
    with workers.together():
        check_rows(values)
        recipe = _recipe(schema, preset, settings, plan)
        classes, condition = _classes(recipe.latent, labels, len(values))
        model = _model(dataclasses.replace(recipe, latent=recipe.latent.of(classes)), schema, plan, workers)
        _check_noisy(values, noisy, model)
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
        rate = _rate(model, training, plan) if workers.first else None
    identity = identity_of(plan, model, fingerprint, condition, workers)
    begin_alike(model, values, identity, workers)
    rate = workers.told(rate)
    with workers.together():
        run = _run(model, training, plan, rate)
    best, history, findings = Best(), list[Progress](), list[Finding]()
    progress = _overseen(run, plan, validation, best, history, findings.append, identity)
    for _ in watch(progress):
        pass
    trained = run.deployed
    if best.weights:
        trained.load_state_dict(best.weights)
    trained.eval()
    trained.matrix_dtype = None
    trained.requires_grad_(True)
    trained.zero_grad()
    if workers.first:
        looked_at = next(validation.split(EXAMINED_ROWS)) if len(validation) else next(training.chunks(EXAMINED_ROWS))
        findings += examine(trained, apart(looked_at)[0][:, : schema.shape[0]])
    record = {
        "plan": identity,
        "data": {"rows": len(values), "fingerprint": fingerprint, "held_out": len(validation)},
        "history": history,
        "findings": findings,
        "seconds": run.seconds,
        "steps": run.step,
        "versions": versions(),
    }
    if workers.first and not early:
        baseline = baseline_of(trained, training)
    return Fitted(trained.cpu(), preset, baseline, plain(record))


def new_model(schema: Schema, preset: str, settings: Iterable[str] | Mapping[str, Any], plan: Plan) -> Model:
    """Make an untrained model of a preset, on the plan's device.

    Raises
    ------
    InputError
        If the plan, the preset or the settings cannot be used, or not on such data.
    """
    return _model(_recipe(schema, preset, settings, plan), schema, plan)


def wants_labels(schema: Schema, preset: str, settings: Iterable[str] | Mapping[str, Any], plan: Plan) -> bool:
    """Whether a preset learns the classes of rows; raises as `new_model`."""
    return _recipe(schema, preset, settings, plan).latent.conditional


def _recipe(schema: Schema, preset: str, settings: Iterable[str] | Mapping[str, Any], plan: Plan) -> Recipe:
    """The recipe of a preset for data that the plan may make binary."""
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


def versions() -> dict[str, str]:
    """Return the versions that a training record names."""
    return {"narrows": narrows.__version__, "torch": torch.__version__, "python": platform.python_version()}


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
    )


def _overseen(
    run: Run,
    plan: Plan,
    validation: HeldOut,
    best: Best,
    history: list[Progress],
    report: Callable[[Finding], None],
    identity: Mapping[str, Any],
) -> Iterator[Progress]:
    """Training with everything that looks on, from the checkpoint on where there is one to resume."""
    workers = run.workers
    resumes = plan.checkpoint is not None and (plan.resume or workers.again)
    with workers.together():
        if plan.checkpoint is not None and workers.first:
            plan.checkpoint.mkdir(parents=True, exist_ok=True)
            if resumes:
                load_checkpoint(plan.checkpoint, run, best, history, identity)
    if resumes:
        hand_on(run, best, history)
    progress = filters.guarded(run, train(run), report)
    if len(validation):
        if not best.weights:  # the start is a candidate too: a closed form may be better than what training makes of it
            best.see(run.validate(validation).nats, run.deployed.state_dict())
        progress = filters.validated(run, progress, validation)
        progress = filters.keeping_best(run, progress, best, plan.patience)
    progress = filters.recorded(progress, history)
    if not workers.first:
        return progress
    if plan.checkpoint is not None:
        progress = filters.checkpointed(run, progress, plan.checkpoint, best, history, identity)
    return progress if plan.log is None else filters.logged(progress, plan.log)


def _rate(model: Model, batches: Batches, plan: Plan) -> float | None:
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


def _classes(latent: Latent, labels: np.ndarray | None, rows: int) -> tuple[tuple[str, ...], Tensor | None]:
    """Names of the classes, and that of each row, where the latent is to learn them."""
    if labels is None or not latent.conditional:
        return (), None
    return classes_of(labels, rows, "take preset variational, which asks for no labels")


def _check_noisy(values: np.ndarray | Filed, noisy: np.ndarray | None, model: Model) -> None:
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


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        probe = torch.zeros(1, device=name)
        probe.item()  # a device such as meta holds no numbers
        return probe.device
    except (RuntimeError, AssertionError):
        raise InputError(f"there is no device {name!r} here; take --device cpu, or auto") from None
