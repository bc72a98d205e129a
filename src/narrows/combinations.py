"""Small parts of every kind, and recipes made of them that hold together: what the contract is checked on."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Any

from narrows.axes import Gradient, Latent, Objective
from narrows.data.schema import Schema
from narrows.model import Recipe
from narrows.parts import Part, kinds

# Those a model is made of; others may be open in the registry beside them.
AXES = tuple(field.name for field in dataclasses.fields(Recipe))
# Codes and what is done with them refuse most: what cannot be is seen before the rest is tried.
SEARCHED = ("latent", "objective", "gradient", "network", "likelihood", "corruption")
# Values that keep a check short, by the name of the parameter.
SMALL: dict[str, Any] = {"vectors": 2, "symbols": 2, "dim": 2, "categories": 3, "entries": 4, "labels": ("a", "b")}
SMALL |= {"size": 4, "channels": 4, "width": 8, "hidden": 8, "reach": 1, "window": 2.0, "threshold": 0.5}
# Settings that change what a kind does; each flag is turned over as well.
CHANGES = {"samples": 2, "components": 2, "steps": 2, "told": 0, "baseline": "learned"}
_variants: dict[type[Part], list[Part]] = {}


def variants(kind: type[Part]) -> list[Part]:
    """Parts of one kind, small: with its defaults, with each flag turned over, and with a few other settings.

    A part that is held by another takes the place of that one's default, one kind after the other.
    """
    if kind in _variants:
        return _variants[kind]
    allowed = kind.parameters_of()
    plain = kind(**{name: value for name, value in SMALL.items() if name in allowed})
    flags = {name: not parameter.default for name, parameter in allowed.items() if isinstance(parameter.default, bool)}
    changes = flags | {name: value for name, value in CHANGES.items() if name in allowed}
    changed = [{name: value} for name, value in changes.items()]
    for name, held in ((name, type(p.default)) for name, p in allowed.items() if isinstance(p.default, Part)):
        others = (other for other in kinds(held.axis).values() if other is not held)
        changed += [{name: variants(other)[0].fresh()} for other in others]
    return _variants.setdefault(kind, [plain, *(plain.fresh(**change) for change in changed)])


def completions(given: dict[str, list[Part]], schema: Schema) -> Iterator[Recipe]:
    """Recipes with a part of those given for an axis, and a variant of any kind on the other axes.

    Those in which nothing refuses anything come first. Parts that refuse such data are left out where there are
    others, and end the search where there are none; so are those that no part given goes with. The last one shows what
    is refused: where the parts given refuse each other nothing else, and if that cannot be, as little as can be.
    """
    takers, refused = dict[str, list[Part]](), False
    for axis in SEARCHED:
        parts = given.get(axis) or [part for kind in kinds(axis).values() for part in variants(kind)]
        parts = [part for part in parts if not part.refuses(schema)] or parts[:1]
        refused = refused or bool(parts[0].refuses(schema))
        for others in given.values():
            parts = [part for part in parts if not all(_apart(part, other) for other in others)] or parts
        takers[axis] = parts
    if refused:
        yield _recipe(tuple(parts[0] for parts in takers.values()))
        return
    yield from _together(takers)
    fewer_and_more = (_together(takers, spare=spare) for spare in itertools.count(1))
    yield next(itertools.chain(_together(takers, frozenset(given)), itertools.chain.from_iterable(fewer_and_more)))


def _together(
    takers: dict[str, list[Part]], may: frozenset[str] = frozenset(), chosen: tuple[Part, ...] = (), spare: int = 0
) -> Iterator[Recipe]:
    """Recipes of one part of each axis, in which none refuses another but those of axes that may, and few to spare."""
    if len(chosen) == len(takers):
        yield _recipe(chosen)
        return
    for part in takers[SEARCHED[len(chosen)]]:
        apart = sum(_apart(part, other) for other in chosen if not {part.axis, other.axis} <= may)
        apart += isinstance(part, Gradient) and _alone(part, chosen, may)
        if apart <= spare:
            yield from _together(takers, may, (*chosen, part), spare - apart)


def _alone(gradient: Gradient, chosen: tuple[Part, ...], may: frozenset[str]) -> bool:
    """Whether an estimator does not serve the latent and the objective chosen, and may not refuse them."""
    latent, objective = chosen[:2]
    assert isinstance(latent, Latent)
    assert isinstance(objective, Objective)
    exempt = gradient.axis in may and not may.isdisjoint({latent.axis, objective.axis})
    return not exempt and bool(gradient.refuses_pair(latent, objective))


def _recipe(chosen: tuple[Part, ...]) -> Recipe:
    return Recipe(**{part.axis: part for part in chosen})  # type: ignore[arg-type]


@functools.cache
def _apart(one: Part, other: Part) -> bool:
    """Whether one of two parts refuses the other."""
    pairs = ((one, other), (other, one))
    return any(getattr(part, f"refuses_{beside.axis}", lambda _: None)(beside) for part, beside in pairs)
