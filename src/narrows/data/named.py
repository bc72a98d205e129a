"""The data sets that have a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from narrows.data.columns import Raw
from narrows.data.published import FASHION_MNIST, MNIST
from narrows.data.schema import Schema
from narrows.data.wording import listed, nearest, short
from narrows.errors import InputError

SPLITS = ("train", "test")
_BYTES = Schema((1, 28, 28), 0.0, 255.0, 1.0, "hw")
_SIXTEENTHS = Schema((1, 8, 8), 0.0, 16.0, 1.0, "hw")
_DIGITS_TEST = 360


@dataclass(frozen=True)
class NamedSet:
    """What there is to know of a named data set.

    Parameters
    ----------
    name : str
        Its name.
    what : str
        What it shows.
    rows : tuple of int
        Examples in the training and in the test split.
    shape : tuple of int
        Shape of an example, (height, width).
    licence : str
        Its licence and whose it is.
    origin : str
        Where it is on this machine, or would come from.
    """

    name: str
    what: str
    rows: tuple[int, int]
    shape: tuple[int, ...]
    licence: str
    origin: str


@dataclass(frozen=True)
class Loaded:
    """One split of a named data set, with the schema that its makers state."""

    examples: Raw
    schema: Schema


@dataclass(frozen=True)
class _Row:
    name: str
    what: str
    rows: tuple[int, int]
    licence: str
    schema: Schema
    origin: Callable[[], str]
    load: Callable[[str], Raw]


def named_sets() -> tuple[NamedSet, ...]:
    """All named data sets; nothing is fetched."""
    return tuple(
        NamedSet(row.name, row.what, row.rows, row.schema.user_shape, row.licence, row.origin()) for row in _ROWS
    )


def names() -> tuple[str, ...]:
    """Names of all named data sets."""
    return tuple(row.name for row in _ROWS)


def load(name: str, split: str = "train") -> Loaded:
    """One split of a named data set.

    Parameters
    ----------
    name : str
        One of `names`.
    split : {"train", "test"}
        Which part.

    Raises
    ------
    InputError
        If there is no such set or split, or it is neither on disk nor to be had from the network.
    """
    row = _row(name, split)
    return Loaded(row.load(split), row.schema)


def schema_of(name: str, split: str = "train") -> Schema:
    """Return the schema of a named data set, which is not loaded; raises as `load` does for what there is not."""
    return _row(name, split).schema


def _row(name: str, split: str) -> _Row:
    if split not in SPLITS:
        raise InputError(f"the data set {short(name)} has no split {short(split)}; its splits are {listed(SPLITS)}")
    row = next((row for row in _ROWS if row.name == name), None)
    if row is None:
        raise InputError(f"no data set is named {short(name)}; there are {listed(names())}{nearest(name, names())}")
    return row


def _sample(split: str) -> Raw:
    """The embedded part of Fashion-MNIST, which benchmarks/cut_fashion_sample.py cut."""
    from importlib import resources

    file = resources.files("narrows.data").joinpath("embedded", "fashion-sample.npz")
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return Raw(arrays[f"x_{split}"], labels=arrays[f"y_{split}"])


def _digits(split: str) -> Raw:
    from sklearn.datasets import load_digits

    found = load_digits()
    # RandomState rather than a Generator: NumPy has frozen its stream, so the split outlives NumPy's versions.
    order = np.random.RandomState(0).permutation(len(found.images))
    rows = np.sort(order[:_DIGITS_TEST] if split == "test" else order[_DIGITS_TEST:])
    return Raw(found.images[rows].astype(np.uint8), labels=found.target[rows])


_ROWS = (
    _Row(
        "fashion-sample",
        "grey photographs of clothes in 10 classes, a balanced part of Fashion-MNIST",
        (8000, 1000),
        "MIT, (c) Zalando SE",
        _BYTES,
        lambda: "embedded in narrows",
        _sample,
    ),
    _Row(
        "digits",
        "handwritten digits of 17 grey levels",
        (1437, 360),
        "CC BY 4.0, E. Alpaydin and C. Kaynak",
        _SIXTEENTHS,
        lambda: "comes with scikit-learn",
        _digits,
    ),
    _Row(
        "fashion-mnist",
        "grey photographs of clothes in 10 classes",
        (60000, 10000),
        "MIT, (c) Zalando SE",
        _BYTES,
        FASHION_MNIST.origin,
        FASHION_MNIST.load,
    ),
    _Row(
        "mnist",
        "handwritten digits in grey",
        (60000, 10000),
        "CC BY-SA 3.0, Y. LeCun and C. Cortes",
        _BYTES,
        MNIST.origin,
        MNIST.load,
    ),
)
