"""What workers that train one model must have in common, and what a checkpoint must to go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from narrows.data.division import fingerprint_of_ends
from narrows.data.filed import Filed
from narrows.errors import InputError
from narrows.model import Model
from narrows.plan import Plan
from narrows.records import plain
from narrows.tensors import data_fingerprint
from narrows.workers import Workers


def check_shared(model: Model, workers: Workers) -> None:
    """Raise `InputError` where workers cannot share a batch out."""
    if workers.count > 1 and model.objective.compares:
        raise InputError(
            f"objective {model.objective.kind} compares the examples of a batch with each other, and {workers.count} "
            f"workers have each a part of it; train in one process, or take objective=elbo"
        )


def begin_alike(model: Model, values: np.ndarray | Filed, identity: Mapping[str, Any], workers: Workers) -> None:
    """Make sure that all workers train one model on the same rows, and give them the first one's weights."""
    if workers.count == 1:
        return
    workers.agree({**identity, "data": [list(values.shape), fingerprint_of_ends(values)]})
    state = model.state_dict()
    model.load_state_dict(dict(zip(state, workers.handed_on(list(state.values())), strict=True)))


def identity_of(
    plan: Plan, model: Model, fingerprint: str, condition: Tensor | None, workers: Workers
) -> dict[str, Any]:
    """What must be equal for a checkpoint to continue; not where it is kept, nor how its steps are launched."""
    how = ("checkpoint", "resume", "log", "eager")
    fields = {name: value for name, value in dataclasses.asdict(plan).items() if name not in how}
    if condition is not None:
        fields["labels"] = data_fingerprint(condition)
    facts = {"parts": model.recipe.spec(), "schema": model.schema.to_json(), "data": fingerprint}
    # An engine may start fewer workers again than were lost, or more, each with its share of a machine's cores.
    threads = {} if workers.elastic else {"threads": torch.get_num_threads()}
    return plain({**fields, **facts, **threads})
