"""An estimator's parameters as a plan and settings, and a model file's record as parameters."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from sklearn.utils.validation import check_random_state

from narrows.errors import InputError, unknown
from narrows.parts import typed
from narrows.persist import Fitted
from narrows.plan import Plan

# Fields of `Plan` that an estimator takes as parameters of the same name; "seed" is its random_state.
OWN = ("epochs", "minutes", "batch_size", "optimizer", "rate", "validation")


def plan_from(parameters: Mapping[str, Any]) -> Plan:
    """Make a plan of an estimator's parameters, each read as its field's type says.

    Parameters
    ----------
    parameters : mapping
        Those of `OWN`, ``random_state``, and ``plan``: the other fields by name, or None.

    Raises
    ------
    InputError
        If a name is unknown or a value has the wrong type.
    """
    hints = get_type_hints(Plan)
    others = dict(parameters["plan"] or {})
    for name in others:
        if name in (*OWN, "seed"):
            raise InputError(f"plan holds {name!r}; give it as {'random_state' if name == 'seed' else name}=...")
        if name not in hints:
            raise unknown("field of plan", name, [name for name in hints if name not in (*OWN, "seed")])
    given = {**{name: parameters[name] for name in OWN}, **others, "seed": seed_of(parameters["random_state"])}
    return Plan(**{name: _field(name, value, hints[name]) for name, value in given.items()})


def seed_of(random_state: Any) -> int:
    """Return an estimator's ``random_state`` as a seed: a whole number as it is, else a draw from it."""
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def settings_from(parameters: Mapping[str, Any]) -> Mapping[str, Any] | list[str]:
    """Settings for `narrows.presets.choose` from the parameters ``settings`` and ``code_size``."""
    settings, size = parameters["settings"] or {}, parameters["code_size"]
    if isinstance(settings, Mapping):
        return settings if size is None else {"latent.size": size, **settings}
    listed = [settings] if isinstance(settings, str) else list(settings)
    return listed if size is None else [f"latent.size={size}", *listed]


def parameters_of(fitted: Fitted) -> dict[str, Any]:
    """Parameters with which an estimator would train this model again."""
    fields = {field.name: field.default for field in dataclasses.fields(Plan)}
    recorded = {name: value for name, value in fitted.record.get("plan", {}).items() if name in fields}
    own = {name: recorded.pop(name, fields[name]) for name in OWN}
    seed = recorded.pop("seed", fields["seed"])
    settings: dict[str, Any] = {}
    for axis, spec in fitted.model.recipe.spec().items():
        settings[axis] = spec["kind"]
        settings |= {f"{axis}.{name}": value for name, value in spec.items() if name != "kind"}
    return {
        "preset": fitted.preset,
        "settings": settings,
        "values": fitted.schema.values,
        "plan": {name: value for name, value in recorded.items() if value != fields[name]} or None,
        "random_state": seed,
        **own,
    }


def _field(name: str, value: Any, annotation: Any) -> Any:
    if get_origin(annotation) is Literal:
        if value not in get_args(annotation):
            raise unknown(name, value, get_args(annotation))
        return value
    if Path in get_args(annotation) and isinstance(value, str):
        return Path(value)
    return typed(name, value, annotation)
