"""From data and a plan to a trained model: the one place where training is put together."""

from __future__ import annotations

import dataclasses
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import narrows
from narrows import filters
from narrows.baseline import fit_baseline, rows_for_fit
from narrows.checkpoint import Best, data_fingerprint, load_checkpoint
from narrows.data.batches import Batches
from narrows.data.schema import Schema
from narrows.data.transforms import Binarize, Transform
from narrows.doctor import examine
from narrows.errors import InputError
from narrows.model import Model
from narrows.noise import Noise
from narrows.optimizers import OPTIMIZERS, make_optimizer, make_schedule, range_test
from narrows.parts import at_least, at_most
from narrows.persist import Fitted, plain
from narrows.presets import choose
from narrows.train import Run, precision_for, train
from narrows.values import Clock, Finding, Progress

USUAL_STEPS = 6000
USUAL_EPOCHS = (10, 300)


@dataclass(frozen=True)
class Plan:
    """How a model is trained. Every field has the meaning of the option of the same name of ``narrows train``.

    Parameters
    ----------
    epochs, minutes : int or float, optional
        When training ends; with neither, after about 6000 steps, and at least 10 and at most 300 epochs.
    batch_size : int or "full"
        Rows in a batch: ``"full"`` is gradient descent, 1 online descent.
    optimizer : {"adam", "adamw", "sgd"}
        The rule of the step.
    rate : float or "auto", optional
        Learning rate; ``"auto"`` finds one by a range test before training.
    momentum : float, optional
        Of sgd.
    schedule : {"cosine", "constant", "plateau"}
        Of the learning rate.
    average : float
        Decay of averaged weights; 0 for none.
    precision : {"auto", "float32"}
        ``"auto"`` multiplies matrices in bfloat16 where the processor does that fast.
    validation : float
        Share of the rows held out to choose the best weights.
    patience : int
        Validations without a better figure after which training stops.
    online : bool
        Standardise by statistics that run along with the batches, with no pass beforehand.
    binarize : {"none", "threshold", "draw"}
        Make the values binary first.
    seed : int
        Of weights, order, noise and the choice of held-out rows.
    checkpoint : Path, optional
        Folder for checkpoints.
    resume : bool
        Go on from the checkpoint there.
    log : Path, optional
        File to which each interval's figures are appended as JSON lines.
    device : str
        ``"auto"`` takes an accelerator where there is one.
    """

    epochs: int | None = None
    minutes: float | None = None
    batch_size: int | str = 128
    optimizer: str = "adam"
    rate: float | str | None = None
    momentum: float | None = None
    schedule: str = "cosine"
    average: float = 0.0
    precision: str = "auto"
    validation: float = 0.1
    patience: int = 10
    online: bool = False
    binarize: Binarize = "none"
    seed: int = 0
    checkpoint: Path | None = None
    resume: bool = False
    log: Path | None = None
    device: str = "auto"

    def check(self) -> None:
        """Raise `InputError` for values that make no sense."""
        at_least("epochs", 1 if self.epochs is None else self.epochs, 1)
        at_least("minutes", 1 if self.minutes is None else self.minutes, 0, above=True)
        if self.epochs is not None and self.minutes is not None:
            raise InputError("both --epochs and --minutes were given; give one of them")
        if self.batch_size != "full":
            at_least("batch size", _number("batch size", self.batch_size, "a whole number or full"), 1)
        if self.rate not in (None, "auto"):
            at_least("rate", _number("rate", self.rate, "a number or auto"), 0, above=True)
        at_least("validation", self.validation, 0)
        at_most("validation", self.validation, 0.9)
        at_least("average", self.average, 0)
        at_most("average", self.average, 0.99999)
        at_least("patience", self.patience, 1)
        if self.resume and self.checkpoint is None:
            raise InputError("--resume needs --checkpoint with the folder to resume from")
        make_schedule(self.schedule)


Watch = Callable[[Iterator[Progress]], Iterator[Progress]]


def fit(
    values: np.ndarray,
    schema: Schema,
    preset: str = "autoencoder",
    settings: Iterable[str] | Mapping[str, Any] = (),
    plan: Plan | None = None,
    watch: Watch = iter,
) -> Fitted:
    """Train a preset on rows.

    Parameters
    ----------
    values : array, shape (n, x)
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

    Returns
    -------
    Fitted
        With the weights that were best on the held-out rows.

    Raises
    ------
    InputError
        If the data, the preset, the settings or the plan cannot be used.
    """
    plan = plan or Plan()
    plan.check()
    _check_rows(values)
    modelled = Transform(schema, grid=True, binarize=plan.binarize).modelled
    if plan.binarize != "none" and schema.step == 0:
        raise InputError(f"only levels can be binarised, and the data are {schema.describe()}; leave out --binarize")
    recipe = choose(preset, modelled, settings)
    device = _device(plan.device)
    rows = torch.from_numpy(np.ascontiguousarray(values))
    fingerprint = data_fingerprint(rows)
    training, validation = _split(rows.to(device), plan)
    model = Model(recipe, schema, binarize=plan.binarize, seed=plan.seed).to(device)
    if not plan.online:
        model.adapt(training)
    run = _run(model, training, plan)
    best, history, findings = Best(), list[Progress](), list[Finding]()
    identity = _identity(plan, model, fingerprint)
    if plan.checkpoint is not None:
        plan.checkpoint.mkdir(parents=True, exist_ok=True)
        if plan.resume:
            load_checkpoint(plan.checkpoint, run, best, history, identity)
    progress = filters.guarded(run, train(run), findings.append)
    if len(validation):
        progress = filters.validated(run, progress, validation)
        progress = filters.keeping_best(run, progress, best, plan.patience)
    progress = filters.recorded(progress, history)
    if plan.checkpoint is not None:
        progress = filters.checkpointed(run, progress, plan.checkpoint, best, history, identity)
    if plan.log is not None:
        progress = filters.logged(progress, plan.log)
    for _ in watch(progress):
        pass
    trained = run.deployed
    if best.weights:
        trained.load_state_dict(best.weights)
    trained.eval()
    trained.matrix_dtype = None
    trained.requires_grad_(True)
    findings += examine(trained, validation if len(validation) else training)
    record = {
        "plan": identity,
        "data": {"rows": len(rows), "fingerprint": fingerprint, "held_out": len(validation)},
        "history": history,
        "findings": findings,
        "seconds": run.seconds,
        "steps": run.step,
        "versions": {"narrows": narrows.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    return Fitted(trained.cpu(), preset, _baseline(trained, training), plain(record))


def _run(model: Model, training: Tensor, plan: Plan) -> Run:
    """Put together the run that a plan describes."""
    batches = Batches(training, len(training) if plan.batch_size == "full" else int(plan.batch_size), seed=plan.seed)
    epochs = plan.epochs or min(max(math.ceil(USUAL_STEPS / batches.per_epoch), USUAL_EPOCHS[0]), USUAL_EPOCHS[1])
    noise = Noise(plan.seed, model.device)
    model.matrix_dtype = precision_for(plan.precision, model.device)
    rate = _rate(model, batches, plan)
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


def _rate(model: Model, batches: Batches, plan: Plan) -> float:
    """Return the rate asked for, the optimizer's usual one, or the range test's."""
    if plan.optimizer in OPTIMIZERS and plan.rate is None:
        return OPTIMIZERS[plan.optimizer][1]
    if plan.rate != "auto":
        return float(plan.rate or 0.0)
    trial = Batches(batches.values, batches.size, seed=batches.seed)
    rows, noise, clock = iter(trial), Noise(plan.seed, model.device), Clock.at_end(model.device)
    cells = model.schema.size

    def loss(candidate: Model) -> tuple[Tensor, float]:
        surrogate, row = candidate.loss(next(rows), noise, clock)
        return surrogate / cells, float(row[0]) / cells

    return range_test(model.train(), plan.optimizer, loss)


def _split(rows: Tensor, plan: Plan) -> tuple[Tensor, Tensor]:
    """Training and held-out rows, chosen by the seed; too few rows are all trained on."""
    held_out = int(len(rows) * plan.validation)
    if not held_out:
        return rows, rows[:0]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(plan.seed)).to(rows.device)
    return rows[order[held_out:].sort().values], rows[order[:held_out].sort().values]


def _baseline(model: Model, training: Tensor) -> Any:
    """Principal components of the training rows, in the unit of reported errors."""
    count = rows_for_fit(len(training), model.schema.size)
    batch = model.transform(training[:count].to(model.device))
    return fit_baseline(model.transform.comparable(batch.x), model.latent.size)


def _identity(plan: Plan, model: Model, fingerprint: str) -> dict[str, Any]:
    """What must be equal for a checkpoint to continue."""
    where = ("checkpoint", "resume", "log")
    fields = {name: value for name, value in dataclasses.asdict(plan).items() if name not in where}
    return plain({**fields, "parts": model.recipe.spec(), "data": fingerprint, "threads": torch.get_num_threads()})


def _check_rows(values: np.ndarray) -> None:
    if len(values) < 2:
        raise InputError(f"the data hold {len(values)} row{'s' * (len(values) != 1)} (1 sample); training needs at least 2")
    if values.size and (values == values[:1]).all():
        raise InputError("every row of the data is the same, so there is nothing to learn; give rows that differ")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros(0, device=name).device
    except (RuntimeError, AssertionError):
        raise InputError(f"there is no device {name!r} here; take --device cpu, or auto") from None


def _number(name: str, value: Any, allowed: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} was given as {value!r}; it takes {allowed}") from None
