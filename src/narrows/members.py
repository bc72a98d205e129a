"""Many models of one preset, of seeds that follow each other, trained in one computation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import tee
from operator import itemgetter
from typing import Any

import numpy as np

from narrows.data.filed import Filed
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.fit import Watch, begin, recipe_of
from narrows.model import Recipe
from narrows.optimizers import OPTIMIZERS, make_optimizer
from narrows.parts import Part
from narrows.persist import Fitted
from narrows.plan import Plan, member_seeds
from narrows.stacked import Stack, train_stacked
from narrows.training import Training
from narrows.values import Progress


def fit_members(
    values: np.ndarray | Filed,
    schema: Schema,
    preset: str = "autoencoder",
    settings: Iterable[str] | Mapping[str, Any] = (),
    plan: Plan | None = None,
    members: int = 2,
    watch: Watch = iter,
    noisy: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> list[Fitted]:
    """Train a preset on rows from several seeds at once.

    Member i is what `narrows.fit.fit` gives for the seed ``plan.seed + i``, but for the rounding of sums: it has the
    same rows held out, the same batches in the same order, the same draws, and stops by its own held-out figure. What
    many small steps lose to everything but arithmetic is lost once for all members.

    Parameters
    ----------
    values, schema, preset, settings, noisy, labels
        As of `narrows.fit.fit`; but rows that stay in their file are refused.
    plan : Plan, optional
        How to train each; its seed is that of the first member.
    members : int
        How many, at most 1000.
    watch : callable
        A filter over the progress of the first member that has not stopped.

    Returns
    -------
    list of Fitted
        In the order of their seeds. Their ``seconds`` are those of all members until theirs stopped.

    Raises
    ------
    InputError
        As of `narrows.fit.fit`; and for what is of one model alone: see `check_members`.
    """
    plan = plan or Plan()
    check_members(plan, members)
    settings = dict(settings) if isinstance(settings, Mapping) else list(settings)
    check_parts(recipe_of(schema, preset, settings, plan))
    if isinstance(values, Filed):
        raise _single("rows that stay in their file are", members)
    values = np.ascontiguousarray(values)  # once for all members, whose tensors then share it
    # It is the steps of all that are captured, not those of each.
    plans = [dataclasses.replace(plan, seed=seed, eager=True) for seed in member_seeds(plan.seed, members)]
    trainings = [begin(values, schema, preset, settings, one, noisy, labels) for one in plans]
    rate = None if plan.rate is None else float(plan.rate)
    make = partial(make_optimizer, plan.optimizer, rate=rate, momentum=plan.momentum)
    for _ in watch(_in_step(trainings, Stack([training.run for training in trainings], make, eager=plan.eager))):
        pass
    return [training.finished() for training in trainings]


def check_members(plan: Plan, members: int) -> None:
    """Raise `InputError` for a number of members that makes no sense, and for a plan that only one model can follow.

    Members take equally many steps at one rate, each number moving by its own gradient. So minutes, a rate that is
    found or follows a held-out figure, and sgd, which cuts the gradient of a whole model, are of one model; so are
    statistics that run along with the batches, checkpoints and logs.
    """
    plan.check()
    member_seeds(plan.seed, members)
    rule = OPTIMIZERS.get(plan.optimizer)
    single = {
        "--minutes": plan.minutes is not None,
        "--online": plan.online,
        "--rate auto": plan.rate == "auto",
        "--schedule plateau": plan.schedule == "plateau",
        f"--optimizer {plan.optimizer}": rule is not None and not rule.make.elementwise,
        "--checkpoint": plan.checkpoint is not None,
        "--log": plan.log is not None,
    }
    for option, given in single.items():
        if given:
            raise _single(f"{option} is", members)


def check_parts(recipe: Recipe) -> None:
    """Raise `InputError` where a part, or one in it, trains one model at a time; see `narrows.parts.Part.instead`."""
    for part in recipe.parts().values():
        for inner in part.modules():
            if isinstance(inner, Part) and inner.instead:
                raise InputError(
                    f"{inner.axis} {inner.kind} trains one model at a time; take {inner.instead}, or leave members out "
                    f"and train one seed after the other"
                )


def _single(what: str, members: int) -> InputError:
    return InputError(
        f"{what} for a model by itself, and members were given ({members}); leave one of them out, or train one seed "
        f"after the other"
    )


def _in_step(trainings: list[Training], stack: Stack) -> Iterator[Progress]:
    """Train until each training has stopped or come to its end; yield the progress of the first that has not."""
    streams = tee(train_stacked(stack), len(trainings))
    going = {
        training.run: (training, training.overseen(map(itemgetter(training.run), stream)))
        for training, stream in zip(trainings, streams, strict=True)
    }
    while going:
        told: list[Progress] = []
        for run, (training, progress) in list(going.items()):
            now = next(progress, None)
            if now is not None:
                told.append(now)
            if now is None or training.stopped or run.share >= 1.0:
                stack.release(run)
                del going[run]
        yield from told[:1]
