"""The verbs of the command line that are served, and what each makes of rows in memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from torch import nn

from narrows.apps import decode, denoise, detect, embed, generate, impute, reconstruct
from narrows.apps.restoring import restored_picture, restored_rows
from narrows.apps.signatures import Value, values_of
from narrows.data.schema import Schema
from narrows.data.writers import in_stored_type, mixed_table
from narrows.detection.files import load_detector
from narrows.errors import InputError, at_most, check_seed, unknown
from narrows.inference import check_code, check_fills_gaps, codes, reconstructed, samples
from narrows.persist import holds, load, not_a
from narrows.restore import fills
from narrows.serve.answers import Answer, Columns, Pictures
from narrows.serve.limits import Limits
from narrows.tensors import tensor_of

BLOCK = 64  # rows that share a pass
Takes = Literal["rows", "pictures", "codes", "nothing"]
TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Loaded:
    """A model or detector in memory.

    Parameters
    ----------
    name : str
        Of its file, without the folder.
    what : {"model", "detector"}
        Which of the two.
    fitted : Fitted or FittedDetector
        The thing.
    """

    name: str
    what: str
    fitted: Any

    @property
    def schema(self) -> Schema:
        """Of the raw data."""
        schema: Schema = self.fitted.schema
        return schema

    @property
    def module(self) -> nn.Module:
        """What computes."""
        module: nn.Module = self.fitted.detector if self.what == "detector" else self.fitted.model
        return module


def open_loaded(path: Path) -> Loaded:
    """Read a model or detector file.

    Raises
    ------
    InputError
        If it is neither, or one of tables in symbols.
    """
    loaded = (
        Loaded(path.name, "detector", load_detector(path))
        if holds(path, "detector")
        else Loaded(path.name, "model", load(path))
    )
    if loaded.schema.alphabets:
        raise InputError(f"{path} reads tables as symbols, which are for narrows compress; serve another preset")
    return loaded


@dataclass(frozen=True)
class Verb:
    """An application that is served.

    Parameters
    ----------
    name : str
        Of the verb, and of its route.
    application : callable
        Whose signature and docstring tell of the route.
    options : tuple of str
        Those of its parameters that mean something without files.
    what : {"model", "detector"}
        What it needs.
    takes : {"rows", "pictures", "codes", "nothing"}
        Examples of the model's schema, images of any size, its codes, or no body.
    compute : callable
        From a loaded model, values and options to an answer.
    refuses : callable
        Raises `InputError` for a model, by its name, that cannot do it, or options that do not hold.
    """

    name: str
    application: Callable[..., Any]
    options: tuple[str, ...]
    what: str
    takes: Takes
    compute: Callable[..., Answer]
    refuses: Callable[..., None] = lambda *_, **__: None

    def values(self) -> Iterable[Value]:
        """What the signature and the docstring say of the options."""
        named = inspect.signature(self.application).parameters.values()
        return (value for value in values_of(self.application, named) if value.name in self.options)

    def schema(self, loaded: Loaded) -> Schema:
        """Of the rows that it takes of a model's."""
        decodes = self.takes == "codes" and loaded.what == self.what and loaded.fitted.model.latent.size
        return decode.code_schema(loaded.fitted.model) if decodes else loaded.schema

    def read_options(self, given: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """Read options as the command line would.

        Raises
        ------
        InputError
            If one is unknown, given twice, or no such value.
        """
        known = {value.name: value for value in self.values()}
        read = {name: value.default for name, value in known.items()}
        seen: set[str] = set()
        for name, text in given:
            if name not in known:
                raise unknown("option", name, known)
            if name in seen:
                raise InputError(f"{name} was given twice; give it once")
            seen.add(name)
            read[name] = _truth(name, text) if known[name].kind is bool else known[name].read(text)
        return read

    def check(self, loaded: Loaded, options: Mapping[str, Any]) -> None:
        """Raise `InputError` if a model cannot do it."""
        if loaded.what != self.what:
            raise not_a(self.what, loaded.name)
        self.refuses(loaded, **options)

    def shared(self, options: Mapping[str, Any]) -> bool:
        """Whether what is answered for a row hangs on that row alone, so that requests may share a pass."""
        return self.takes != "nothing" and not options.get("discoveries", False)


def _truth(name: str, text: str) -> bool:
    if text not in TRUTH:
        raise InputError(f"{name} was given as {text!r}; it takes true or false")
    return TRUTH[text]


def _detect(
    loaded: Loaded, values: np.ndarray, false_alarm_rate: float, discoveries: bool, contributions: bool
) -> Answer:
    block = BLOCK if len(values) <= BLOCK else None
    found = detect.findings(loaded.fitted, tensor_of(values), false_alarm_rate, discoveries, contributions, block)
    return Columns(pa.table(found))


def _check_rate(loaded: Loaded, false_alarm_rate: float, discoveries: bool, contributions: bool) -> None:
    detect.limit_of(loaded.fitted, false_alarm_rate, discoveries)


def _embed(loaded: Loaded, values: np.ndarray) -> Answer:
    z = codes(loaded.fitted.model, tensor_of(values)).numpy()
    return Columns(pa.table({f"z{place}": np.ascontiguousarray(z[:, place]) for place in range(z.shape[1])}))


def _decode(loaded: Loaded, z: np.ndarray) -> Answer:
    return examples(loaded, decode.examples_of(loaded.fitted.model, z))


def _check_decodes(loaded: Loaded) -> None:
    check_code(loaded.fitted.model, "decode")


def _reconstruct(loaded: Loaded, values: np.ndarray) -> Answer:
    return examples(loaded, reconstructed(loaded.fitted.model, tensor_of(values)).numpy())


def examples(loaded: Loaded, values: np.ndarray) -> Answer:
    """Raw examples (n, x) in the user's layout."""
    schema = loaded.schema
    values = schema.to_user(in_stored_type(values, schema))
    if schema.is_image:
        return Pictures(values)
    if schema.columns is not None:
        return Columns(mixed_table(values, schema))
    names = schema.names or tuple(f"c{place}" for place in range(schema.size))
    return Columns(pa.table({name: np.ascontiguousarray(values[:, place]) for place, name in enumerate(names)}))


def _denoise(loaded: Loaded, values: np.ndarray) -> Answer:
    model = loaded.fitted.model
    if values.dtype.kind != "u":  # from JSON or Arrow; null is a pixel to fill in
        return Pictures(restored_rows(model, values, "the data"))
    if fills(model):
        raise InputError(f"{loaded.name} learnt to fill in hidden pixels; send JSON, with null for each of them")
    return Pictures(np.stack([restored_picture(model, "in the body", image, None) for image in values]))


def _check_noise(loaded: Loaded) -> None:
    denoise.check_noise(loaded.fitted, loaded.name)


def _impute(loaded: Loaded, values: np.ndarray, draws: int) -> Answer:
    schema = loaded.schema
    filled, spread = impute.fill(loaded.fitted, values, draws)
    numbers = [(place, column.name) for place, column in enumerate(schema.columns or ()) if not column.categories]
    gaps = np.isnan(values)
    further = {f"{name}_spread": _masked(spread[:, place], gaps[:, place]) for place, name in numbers if draws}
    taken = next((name for name in further if name in (schema.names or ())), None)
    if taken is not None:
        raise InputError(f"the spread would stand in a column {taken!r}, which the table has already; leave out draws")
    return Columns(mixed_table(filled, schema, further))


def _masked(spread: np.ndarray, gaps: np.ndarray) -> pa.Array:
    return pa.array(spread, mask=~gaps)


def _check_draws(loaded: Loaded, draws: int) -> None:
    impute.check_draws(draws)
    check_fills_gaps(loaded.fitted.model)


def _generate(
    loaded: Loaded, values: None, n: int, temperature: float, label: str | None, seed: int, draw: bool
) -> Answer:
    made = samples(loaded.fitted.model, n, seed, draw=draw, temperature=temperature, label=label)
    return examples(loaded, made.numpy())


def _check_draws_codes(loaded: Loaded, seed: int, **_: Any) -> None:
    check_seed(seed)
    loaded.fitted.model.source(1)


def _check_code(loaded: Loaded) -> None:
    check_code(loaded.fitted.model, "write")


VERBS: Mapping[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "detect",
            detect.detect,
            ("false_alarm_rate", "discoveries", "contributions"),
            "detector",
            "rows",
            _detect,
            _check_rate,
        ),
        Verb("embed", embed.embed, (), "model", "rows", _embed, _check_code),
        Verb("decode", decode.decode, (), "model", "codes", _decode, _check_decodes),
        Verb("reconstruct", reconstruct.reconstruct, (), "model", "rows", _reconstruct),
        Verb("denoise", denoise.denoise, (), "model", "pictures", _denoise, _check_noise),
        Verb("impute", impute.impute, ("draws",), "model", "rows", _impute, _check_draws),
        Verb(
            "generate",
            generate.generate,
            ("n", "temperature", "label", "seed", "draw"),
            "model",
            "nothing",
            _generate,
            _check_draws_codes,
        ),
    )
}


def check_size(loaded: Loaded, what: str, n: int, limits: Limits) -> None:
    """Raise `InputError` for more examples to be made, counted by ``what``, than limits allow."""
    at_most(what, n, limits.max_rows)
    if loaded.schema.is_image:
        pixels = loaded.schema.shape[1] * loaded.schema.shape[2]
        at_most(f"{what}, for images of that size,", n, limits.max_pixels // pixels)
