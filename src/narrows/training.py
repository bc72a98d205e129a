"""A training put together: what looks on while it goes, and what comes of it."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

import narrows
from narrows import filters
from narrows.baseline import Baseline, Typical
from narrows.checkpoint import Best, hand_on, load_checkpoint
from narrows.data.held_out import HeldOut
from narrows.doctor import examine
from narrows.persist import Fitted
from narrows.plan import Plan
from narrows.preparation import baseline_of
from narrows.records import plain
from narrows.train import Run
from narrows.values import Finding, Progress, apart

EXAMINED_ROWS = 2000


@dataclass(frozen=True)
class Training:
    """A training put together: what is to be trained, on what, and what is seen on the way.

    Parameters
    ----------
    run : Run
        Its state.
    plan : Plan
        How to train.
    preset : str
        The preset trained.
    rows : int
        Rows given, those held out among them.
    validation : HeldOut
        Those that are held out.
    identity : dict
        What must be equal for a checkpoint to continue.
    fingerprint : str
        Of the rows.
    baseline : Baseline, Typical or None
        That of the training rows, where it is there before the training.
    early : bool
        Whether it is.
    best : Best
        The weights that were best on the held-out rows.
    history : list of Progress
        At the ends of epochs.
    findings : list of Finding
        What went wrong.
    """

    run: Run
    plan: Plan
    preset: str
    rows: int
    validation: HeldOut
    identity: dict[str, Any]
    fingerprint: str
    baseline: Baseline | Typical | None
    early: bool
    best: Best = field(default_factory=Best)
    history: list[Progress] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def stopped(self) -> bool:
        """Whether the held-out figure has not fallen for as many validations as the plan has patience."""
        return self.best.waited >= self.plan.patience

    def overseen(self, progress: Iterator[Progress]) -> Iterator[Progress]:
        """Have all look on that look on, from the checkpoint on where there is one to resume."""
        run, plan, best, workers = self.run, self.plan, self.best, self.run.workers
        resumes = plan.checkpoint is not None and (plan.resume or workers.again)
        with workers.together():
            if plan.checkpoint is not None and workers.first:
                plan.checkpoint.mkdir(parents=True, exist_ok=True)
                if resumes:
                    load_checkpoint(plan.checkpoint, run, best, self.history, self.identity)
        if resumes:
            hand_on(run, best, self.history)
        progress = filters.guarded(run, progress, self.findings.append)
        if len(self.validation):
            if not best.weights:  # the start is a candidate too: a closed form may be better than training makes of it
                best.see(run.validate(self.validation).nats, run.deployed.state_dict())
            progress = filters.validated(run, progress, self.validation)
            progress = filters.keeping_best(run, progress, best, plan.patience)
        progress = filters.recorded(progress, self.history)
        if not workers.first:
            return progress
        if plan.checkpoint is not None:
            progress = filters.checkpointed(run, progress, plan.checkpoint, best, self.history, self.identity)
        return progress if plan.log is None else filters.logged(progress, plan.log)

    def finished(self) -> Fitted:
        """Return the model with its best weights, and the record of its training."""
        run, training, validation = self.run, self.run.batches, self.validation
        trained = run.deployed
        if self.best.weights:
            trained.load_state_dict(self.best.weights)
        trained.eval()
        trained.matrix_dtype = None
        trained.requires_grad_(True)
        trained.zero_grad()
        findings = list(self.findings)
        if run.workers.first:
            looked_at = validation.split(EXAMINED_ROWS) if len(validation) else training.chunks(EXAMINED_ROWS)
            findings += examine(trained, apart(next(iter(looked_at)))[0][:, : trained.schema.shape[0]])
        record = {
            "plan": self.identity,
            "data": {"rows": self.rows, "fingerprint": self.fingerprint, "held_out": len(validation)},
            "history": self.history,
            "held_out_nats": self.best.kept,
            "findings": findings,
            "seconds": run.seconds,
            "steps": run.step,
            "versions": versions(),
        }
        late = run.workers.first and not self.early
        baseline = baseline_of(trained, training) if late else self.baseline
        return Fitted(trained.cpu(), self.preset, baseline, plain(record))


def versions() -> dict[str, str]:
    """Return the versions that a training record names."""
    return {"narrows": narrows.__version__, "torch": torch.__version__, "python": platform.python_version()}
