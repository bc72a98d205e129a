"""The contract of every part as runnable checks: over the whole registry, or for kinds of your own.

    for name, check in yield_checks():
        check()

A check passes in silence, or raises `AssertionError`. A new kind is covered as soon as it is in the registry.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable, Iterator
from functools import partial

import torch
from sklearn.base import clone
from torch import Tensor

from narrows.combinations import AXES, completions, variants
from narrows.data.schema import Schema
from narrows.data.specimens import ROWS, Example, examples
from narrows.errors import InputError
from narrows.inference import bounds, codes, reconstructed
from narrows.model import Model, Recipe
from narrows.noise import Noise
from narrows.parts import Part, kinds, make
from narrows.sampling import sample
from narrows.values import Clock, Labelled, table

Check = Callable[[], None]

RATE = 1e-3
LONGEST_SENTENCE = 320
WAY_OUT = re.compile(r"\b(take|say|give|leave|set|train|binarise)\b")


def yield_checks(*only: type[Part]) -> Iterator[tuple[str, Check]]:
    """Give the checks of the contract: of every kind alone, and of how it goes with the kinds on the other axes.

    Parameters
    ----------
    *only : type of Part
        Registered kinds; where some are given, only checks that concern one of them are.

    Yields
    ------
    name : str
        What is checked of what.
    check : callable
        Takes nothing; raises `AssertionError` where the contract is broken.
    """
    registry = {axis: list(kinds(axis).values()) for axis in AXES}
    contract = (check_copies, check_round_trip, check_seeded, check_shapes, check_gradients, check_rows_alone)
    choices: list[tuple[type[Part], ...]] = []
    for one, two in itertools.combinations(registry.values(), 2):
        choices += itertools.product(one, two)
    choices += itertools.product(registry["latent"], registry["objective"], registry["gradient"])
    for check, kind in itertools.product(contract, itertools.chain(*registry.values())):
        if not only or kind in only:
            yield f"{check.__name__}({_named(kind)})", partial(check, kind)
    for choice in choices:
        if not only or set(only) & set(choice):
            yield f"check_combination({_named(*choice)})", partial(check_combination, *choice)


def models(kind: type[Part]) -> Iterator[tuple[Model, Example]]:
    """Untrained models with each variant of a kind, on each example that it, and some completion of it, takes."""
    for part, example in itertools.product(variants(kind), examples()):
        for recipe in completions({kind.axis: [part]}, example.schema):
            if not any(recipe.refusals(example.schema)):
                yield _adapted(recipe, example), example
                break


def check_copies(kind: type[Part]) -> None:
    """`fresh` and scikit-learn's ``clone`` make equal, separate, unbuilt parts, and a model builds parts of its own."""
    for part in variants(kind):
        for copy in (part.fresh(), clone(part)):
            _require(type(copy) is kind and copy is not part, f"a copy of {_named(kind)} is {copy!r}")
            _require(copy.spec() == part.spec(), f"a copy of {_named(kind)} is configured differently")
    unbuilt = set(variants(kind)[0].state_dict())
    for model, _ in models(kind):
        fresh = getattr(model.recipe, kind.axis).fresh()
        _require(set(fresh.state_dict()) == unbuilt, f"{_named(kind)}: fresh() keeps what build() made")
        before = set(fresh.state_dict())
        Model(Recipe(**{**model.recipe.parts(), kind.axis: fresh}), model.schema)
        _require(set(fresh.state_dict()) == before, f"a model changed the {_named(kind)} it was given")


def check_round_trip(kind: type[Part]) -> None:
    """The specification goes through JSON and comes back as an equal part."""
    for part in variants(kind):
        spec = json.loads(json.dumps(part.spec(), allow_nan=False))
        back = make(kind.axis, spec)
        _require(type(back) is kind and back.spec() == part.spec(), f"{spec} came back as {back.spec()}")


def check_seeded(kind: type[Part]) -> None:
    """Equal seeds give equal weights and equal steps, and torch's global generator is left alone."""
    for model, example in models(kind):
        before = torch.get_rng_state()
        again = _adapted(model.recipe, example)
        figures = [_step(one, example).tolist() for one in (model, again)]
        _require(torch.equal(before, torch.get_rng_state()), f"{_named(kind)} draws from torch's global generator")
        _require(figures[0] == figures[1], f"{_named(kind)}: two equal steps gave {figures[0]} and {figures[1]}")
        weights = again.state_dict()
        for name, tensor in model.state_dict().items():
            _require(torch.equal(tensor, weights[name]), f"{_named(kind)}: {name} differs after two equal steps")


def check_shapes(kind: type[Part]) -> None:
    """Every stage is finite and has the shape that the axes declare; codes are random and discrete as they say."""
    for model, example in models(kind):
        where = f"{_named(kind)} on {example.name}"
        latent, z = model.latent, model.latent.size
        for what, (tensor, shape) in _stages(model, example, k=3).items():
            given = tuple(tensor.shape)
            _require(given == shape, f"{where}: {what} has shape {given}, not {shape}")
            _require(bool(tensor.isfinite().all()), f"{where}: {what} is not finite")
            if what == "z in use":
                first, second, _ = tensor.view(3, ROWS, z)
                differ = latent.random or latent.nested
                _require(differ != torch.equal(first, second), f"{where}: random={latent.random} is not so")
                _require(not latent.discrete or torch.equal(first, first.round()), f"{where}: codes are not discrete")


def _stages(model: Model, example: Example, k: int) -> dict[str, tuple[Tensor, tuple[int, ...]]]:
    """What passes between the parts, each with the shape that is declared for it."""
    n, x, latent, noise = ROWS, example.schema.shape, model.latent, Noise(1)
    batch = model.recipe.corruption(model.batch(example.values, noise), noise)
    h = model.network.encode(batch.seen)
    q = latent.posterior(h)
    z, _ = model.gradient.draw(q, k, noise, Clock.at_end())
    p = model.decode(z)
    terms = model.terms(batch, k, noise)
    cost = model.objective.cost(terms, Clock.at_end())
    return {
        "x": (batch.x.nan_to_num(), (n, *x)),
        "seen": (batch.seen, (n, *model.transform.seen_shape)),
        "h": (h, (n, latent.n_params)),
        "z in training": (z.flatten(2), (k, n, latent.size)),
        "z in use": (sample(q, k, noise).flatten(2), (k, n, latent.size)),
        "code": (latent.code(q), (n, latent.size)),
        "log p(z)": (model.prior(n).log_prob(z), (k, n)),
        "params": (model.network.decode(z.flatten(0, 1).flatten(1)), (k * n, math.prod(model.param_shape))),
        "mean of p(x | z)": (p.mean, (k, n, *x)),
        "draw of p(x | z)": (sample(p, 1, noise), (1, k, n, *x)),
        "log p(x | z)": (terms.log_px, (k, n)),
        "log q(z | x)": (terms.log_q, (k, n)),
        "kl": (terms.kl.expand(k, n), (k, n)),
        "cost": (cost, (k, n)),
        "combined": (model.objective.combine(cost), (n,)),
        "surrogate": (model.gradient.surrogate(cost, terms, model.objective, Clock.at_end()), ()),
    }


def check_gradients(kind: type[Part]) -> None:
    """One step sends a finite gradient, not all of it zero, to every parameter of the model."""
    for model, example in models(kind):
        with torch.no_grad():  # some layers begin at zero, and so hide the ones before them in the first step
            for parameter in model.parameters():
                parameter.add_(Noise(2).normal(parameter.shape, rows=0), alpha=0.1)
        _step(model, example)
        for name, parameter in model.named_parameters():
            moved = parameter.grad is not None and bool(parameter.grad.any())
            _require(moved, f"{_named(kind)} on {example.name}: {name} gets no gradient")


def check_rows_alone(kind: type[Part]) -> None:
    """A row's code, reconstruction and bound do not depend on the rows beside it, and are the same in every call."""
    for (model, example), figure in itertools.product(models(kind), (codes, reconstructed, bounds)):
        together, alone = figure(model, example.values)[3:4], figure(model, example.values[3:4])
        same = torch.allclose(together, alone, rtol=1e-5, atol=1e-5)
        _require(same, f"{_named(kind)} on {example.name}: {figure.__name__} of a row depends on its neighbours")


def check_combination(*choice: type[Part]) -> None:
    """On every kind of data these kinds, completed by some others, train one step, or refuse in a sentence."""
    given = {kind.axis: variants(kind) for kind in choice}
    # What three kinds make of each other hardly hangs on the data: bits, an image and a table do.
    for example in examples() if len(choice) < 3 else examples()[::4]:
        refusing: list[tuple[int, Recipe]] = []
        for recipe in completions(given, example.schema):
            refusals = len(list(recipe.refusals(example.schema)))
            if not refusals:
                _step(_adapted(recipe, example), example)
                break
            refusing.append((refusals, recipe))
        else:
            # The fewest refusals are those that no choice on the other axes takes away.
            _check_refusal(min(refusing, key=lambda pair: pair[0])[1], example.schema, choice)


def _check_refusal(recipe: Recipe, schema: Schema, choice: tuple[type[Part], ...]) -> None:
    sentence = next(recipe.refusals(schema))
    told = ""
    try:
        Model(recipe, schema)
    except InputError as error:
        told = str(error)
    _require(told == sentence, f"the parts refuse, {sentence!r}, but the model says {told!r}")
    _require("\n" not in sentence and len(sentence) <= LONGEST_SENTENCE, f"not one short sentence: {sentence!r}")
    _require(any(kind.kind in sentence for kind in choice), f"{sentence!r} names none of {_named(*choice)}")
    _require(bool(WAY_OUT.search(sentence)), f"{sentence!r} names no way out")


def _adapted(recipe: Recipe, example: Example) -> Model:
    model = Model(recipe, example.schema)
    model.adapt(example.values)
    model.start(lambda: example.values)
    return model


def _step(model: Model, example: Example) -> Tensor:
    """Take one step of descent; return the figures before it. Everything must be finite before and after."""
    rows = example.values
    raw = Labelled(rows, torch.arange(len(rows)) % 2) if model.latent.conditional else rows
    surrogate, scores = model.train().loss(raw, Noise(0), Clock())
    where = f"on {example.name} with {_named(*map(type, model.recipe.parts().values()))}"
    given = tuple(scores.nats.shape)
    _require(given == (ROWS,), f"a step {where} gives nats of shape {given}, not one figure a row")
    surrogate.backward()
    moved: list[Tensor] = [parameter for parameter in model.parameters() if parameter.grad is not None]
    gradients = [parameter.grad for parameter in moved if parameter.grad is not None]
    with torch.no_grad():
        torch._foreach_add_(moved, gradients, alpha=-RATE)
    before, after = table([scores]), table([model.loss(raw, Noise(0), Clock())[1]])
    finite = all(bool(tensor.isfinite().all()) for tensor in (before, after, *model.parameters(), *gradients))
    _require(finite, f"a step {where} is not finite")
    _require(any(bool(gradient.any()) for gradient in gradients), f"a step {where} has no gradient")
    return before.mean(1)


def _named(*chosen: type[Part]) -> str:
    return ", ".join(f"{kind.axis}={kind.kind}" for kind in chosen)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)
