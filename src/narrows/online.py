"""Learning from a stream: one pass in the order of arrival, from the first example on."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor

from narrows.data.batches import Batches
from narrows.data.schema import Schema
from narrows.doctor import broken
from narrows.errors import InputError
from narrows.fit import new_model
from narrows.model import Model
from narrows.noise import Noise
from narrows.optimizers import make_optimizer
from narrows.persist import Fitted
from narrows.plan import Plan
from narrows.records import plain
from narrows.schedules import make_schedule
from narrows.train import Run
from narrows.training import versions
from narrows.values import Finding, table


class Learner:
    """A model that goes on learning as examples arrive.

    Each batch first moves the running statistics by which the data are standardised, then the weights. The rate is
    constant, for a stream has no end to descend to; every other schedule stands at its end, for the same reason.
    Products are in float32, on the model's device.

    Parameters
    ----------
    fitted : Fitted
        Where to go on from; it is left as it is.
    plan : Plan
        Of it the optimizer, rate, momentum, batch size, average and seed.

    Raises
    ------
    InputError
        If the rate is to be found by a range test.
    """

    def __init__(self, fitted: Fitted, plan: Plan) -> None:
        plan.check()
        if plan.rate == "auto":
            raise InputError("rate 'auto' looks for a rate on all rows, and a stream does not have them; give a number")
        self._start = fitted
        self._plan = plan
        self._run = self._open(copy.deepcopy(fitted.model))
        self.rows = 0
        self.steps = 0
        self.seconds = 0.0

    @classmethod
    def new(cls, schema: Schema, preset: str, settings: Iterable[str] | Mapping[str, Any], plan: Plan) -> Self:
        """Begin with an untrained model for data of such a schema.

        Raises
        ------
        InputError
            If the preset, the settings or the plan cannot be used, or not on such data.
        """
        model = new_model(schema, preset, settings, plan)
        record = {
            "plan": {**dataclasses.asdict(plan), "parts": model.recipe.spec()},
            "data": {},
            "history": [],
            "findings": [],
            "versions": versions(),
        }
        return cls(Fitted(model, preset, None, plain(record)), plan)

    def learn(self, rows: Tensor) -> Finding | None:
        """Make one pass over raw rows (n, x), in batches of the plan's size.

        Returns
        -------
        Finding or None
            What went wrong if a figure stopped being a number; the model is then what it was before these rows.
        """
        model, began = self._run.model.train(), time.perf_counter()
        good = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        scores = []
        for raw in rows.split(len(rows) if self._plan.batch_size == "full" else int(self._plan.batch_size)):
            scores.append(self._run.update(raw.to(model.device)))
            model.likelihood.calibrate(model.transform.resolution)
        model.eval()
        self.seconds += time.perf_counter() - began
        figures = table(scores)
        sums = torch.stack([parameter.detach().sum() for parameter in model.parameters()])
        if figures.isfinite().all() and sums.isfinite().all():
            self.rows += len(rows)
            self.steps += len(scores)
            return None
        rate = self._run.full_rate
        model.load_state_dict(good)
        # The optimizer's moments are spoilt as well.
        self._run = self._open(model)
        return broken(figures, rate)

    @property
    def fitted(self) -> Fitted:
        """The model as it now stands, which later examples change; without a baseline, whose unit has moved."""
        record = self._start.record
        data = {"rows": record.get("data", {}).get("rows", 0) + self.rows, "held_out": 0}
        counts = {name: record.get(name, 0) + getattr(self, name) for name in ("steps", "seconds")}
        return Fitted(self._run.deployed, self._start.preset, None, {**record, "data": data, **counts})

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the run's state by value, not its objects, some of which are views of each other."""
        return {**vars(self), "_run": self._run.state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Put the state back into a new run."""
        vars(self).update(state)
        self._run = self._open(copy.deepcopy(self._start.model))
        self._run.restore(*state["_run"])

    def _open(self, model: Model) -> Run:
        """Start an optimizer on a model."""
        plan = self._plan
        return Run(
            model,
            Batches(torch.zeros(0), 1),  # the stream hands in its own
            make_optimizer(plan.optimizer, model, None if plan.rate is None else float(plan.rate), plan.momentum),
            make_schedule("constant"),
            Noise(plan.seed, model.device),
            average=plan.average,
            running=True,
        )
