"""Parts: the choices on the six axes. A part's constructor signature *is* its configuration."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

import torch
from torch import nn

from narrows.data.schema import Schema
from narrows.errors import InputError, unknown

_registry: dict[str, dict[str, type[Part]]] = {}


class Part(nn.Module):
    """One choice on one axis.

    A class statement with ``axis=`` opens an axis; one with ``kind=`` adds a kind to the axis of its parent:

        class Latent(Part, axis="latent"): ...
        class Gaussian(Latent, kind="gaussian"): ...

    The constructor stores each argument under its own name and does nothing else with the outside world, so
    that `get_params`, `fresh` and `spec` need no code in the kind.
    """

    axis: ClassVar[str] = ""
    kind: ClassVar[str] = ""

    def __init_subclass__(cls, *, axis: str = "", kind: str = "") -> None:
        super().__init_subclass__()
        if axis:
            cls.axis = axis
            _registry[axis] = {}
        if kind:
            cls.kind = kind
            _registry[cls.axis][kind] = cls

    @property
    def instead(self) -> str:
        """What to take in its place where many models train as one by `torch.vmap`; nothing where it is able to.

        It is where no step hangs on the value of a tensor, or on whether that has a gradient.
        """
        return ""

    @property
    def asks_host(self) -> bool:
        """Whether a training step asks on the host what a tensor holds, or goes by other things that change there.

        Such a step cannot be captured. A part from outside of narrows is taken to do so unless it says ``asks_host =
        False``.
        """
        return not type(self).__module__.startswith("narrows.")

    @classmethod
    @cache
    def parameters_of(cls) -> dict[str, inspect.Parameter]:
        """The constructor's parameters by name: the configuration this kind takes."""
        parameters = list(inspect.signature(cls.__init__).parameters.items())[1:]
        # A kind without a constructor has torch's, which takes anything.
        return {name: one for name, one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The configuration, as scikit-learn's ``clone`` wants it."""
        return {name: getattr(self, name) for name in self.parameters_of()}

    def fresh(self, **changes: Any) -> Self:
        """Return a new untrained part of the same configuration, with ``changes`` made to it."""
        kept = {name: value.fresh() if isinstance(value, Part) else value for name, value in self.get_params().items()}
        return type(self)(**{**kept, **changes})

    def spec(self) -> dict[str, Any]:
        """The configuration as plain JSON values: ``{"kind": ..., name: value, ...}``; a part in it is one again."""
        return {"kind": self.kind, **{name: _plain(value) for name, value in self.get_params().items()}}

    def refuses(self, schema: Schema) -> str | None:
        """Return a sentence that says why this part cannot serve such data, with the way out; None if it can."""
        return None


def axes() -> list[str]:
    """The names of the axes."""
    return list(_registry)


def kinds(axis: str) -> dict[str, type[Part]]:
    """The kinds on one axis by name."""
    if axis not in _registry:
        raise unknown("axis", axis, _registry)
    return dict(_registry[axis])


def make(axis: str, spec: Mapping[str, Any] | str) -> Part:
    """Make a part from its specification.

    Parameters
    ----------
    axis : str
        The axis, for example ``"latent"``.
    spec : mapping or str
        ``{"kind": "gaussian", "size": 16}``, or just the kind for a part with its defaults.

    Raises
    ------
    InputError
        If the kind or a parameter is unknown (the nearest name is given), or a value has the wrong type.
    """
    spec = {"kind": spec} if isinstance(spec, str) else dict(spec)
    name = spec.pop("kind", None)
    if name not in kinds(axis):
        raise unknown(axis, name, kinds(axis))
    part = kinds(axis)[name]
    allowed = part.parameters_of()
    hints = get_type_hints(part.__init__)
    for parameter, value in spec.items():
        if parameter not in allowed:
            raise unknown(f"parameter of {axis} {name}", parameter, allowed)
        spec[parameter] = typed(f"{axis}.{parameter}", value, hints.get(parameter, Any))
    # First weights are drawn from torch's global generator; `Model` seeds it, and here it is left as it was.
    with torch.random.fork_rng(devices=[]):
        return part(**spec)


def typed(name: str, value: Any, annotation: Any) -> Any:
    """Read ``value``, a JSON value or the text of an option, as ``annotation`` says.

    Raises
    ------
    InputError
        If it cannot be read so.
    """
    for kind in _alternatives(annotation):
        read = _read(value, kind)
        if read is not None or (kind is type(None) and value in (None, "none", "None")):
            return read
    wanted = " or ".join(getattr(kind, "__name__", str(kind)) for kind in _alternatives(annotation))
    raise InputError(f"{name} was given as {value!r}; it takes {wanted.replace('NoneType', 'none')}")


def _names_part(value: Any) -> bool:
    return isinstance(value, (str, Mapping))


def _plain(value: Any) -> Any:
    """A parameter's value as JSON has it."""
    if isinstance(value, Part):
        return value.spec()
    return list(value) if isinstance(value, tuple) else value


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    union = get_origin(annotation) in (Union, types.UnionType)
    return get_args(annotation) if union else (annotation,)


def _read(value: Any, kind: Any) -> Any:
    """``value`` as one plain type, or None where it is not one."""
    if kind is Any:
        return value
    if get_origin(kind) is tuple:
        items = value.split(",") if isinstance(value, str) else value
        items = items if isinstance(items, (list, tuple)) else [items]
        read = tuple(_read(item, get_args(kind)[0]) for item in items)
        return None if None in read else read
    if isinstance(kind, type) and issubclass(kind, Part):
        return value if isinstance(value, kind) else make(kind.axis, value) if _names_part(value) else None
    if kind is bool:
        return {"true": True, "false": False}.get(str(value).lower())
    if isinstance(value, bool) or kind is type(None):
        return None
    if kind not in (int, float):
        return value if isinstance(value, kind) else None
    try:
        whole = kind is float or isinstance(value, str) or float(value) == int(value)
        return kind(value) if whole and math.isfinite(float(value)) else None
    except (TypeError, ValueError, OverflowError):
        return None


def as_mapping(spec: Any) -> dict[str, Any]:
    """Return the specification of a part as a mapping: a kind by its name, or kind and parameters."""
    return {"kind": spec} if isinstance(spec, str) else dict(spec)


def changed(spec: Any, path: Sequence[str], value: Any) -> dict[str, Any]:
    """Return a part's specification with a parameter changed, of it or a part in it; without a path, another kind."""
    if not path:
        return as_mapping(value)
    parameter, *rest = path
    spec = as_mapping(spec) if isinstance(spec, (str, Mapping)) else {}
    return {**spec, parameter: changed(spec.get(parameter), rest, value) if rest else value}
