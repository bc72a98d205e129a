"""What there is: parts, presets and data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from narrows.apps.reading import Reading
from narrows.errors import InputError


@dataclass(frozen=True)
class Listing:
    """A table for a person, whose rows are records for a machine.

    Parameters
    ----------
    columns : tuple of str
        Names of the columns.
    rows : sequence of tuple
        Cells.
    """

    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Understood:
    """How a data set is read.

    Parameters
    ----------
    data : str
        Where it is.
    rows : int
        Examples in it.
    example : str
        Shape and values of one of them.
    shape : list of int
        Its shape: columns, or channels, height and width.
    values : str
        Kind of values: binary, levels, counts or reals.
    stored_as : str
        Type of its numbers in memory.
    labels : int or None
        Different labels, where there are labels.
    columns : list of str or None
        Names of the columns of a table.
    """

    data: str
    rows: int
    example: str
    shape: list[int]
    values: str
    stored_as: str
    labels: int | None
    columns: list[str] | None


def parts() -> Listing:
    """List the kinds of parts on each axis, with their parameters and defaults: what --set chooses from."""
    from narrows.model import AXIS_MODULES
    from narrows.parts import axes, kinds

    assert AXIS_MODULES
    rows = []
    for axis in axes():
        for kind, part in kinds(axis).items():
            parameters = ", ".join(f"{name}={_text(value.default)}" for name, value in part.parameters_of().items())
            rows.append((axis, kind, parameters, (part.__doc__ or "").splitlines()[0].replace("`", "")))
    return Listing(("axis", "kind", "parameters", "what it is"), rows)


def presets() -> Listing:
    """List the presets: what each is for, its source, and what it changes from the plain autoencoder."""
    from narrows.presets import PRESETS

    rows = []
    for row in PRESETS.values():
        choices = " ".join(setting for axis, spec in row.choices.items() for setting in _settings(axis, spec))
        rows.append((row.name, row.when, row.source, choices))
    return Listing(("preset", "take it for", "source", "choices"), rows)


def data(data: str | None = None, values: str | None = None, reading: Reading = Reading()) -> Listing | Understood:  # noqa: B008  frozen
    """List the named data sets, or show how a file or folder of yours is understood.

    Parameters
    ----------
    data : str, optional
        A file, a folder of images, or a named data set.
    values : {"binary", "levels", "counts", "reals"}, optional
        Kind of values, where it is not the one inferred.
    reading : Reading
        How to read the data.
    """
    if data is not None:
        return _understood(data, values, reading)
    if values is not None or reading != Reading():
        raise InputError(
            "there are no data to read with these options; give a file, a folder of images, or a named data set"
        )
    from narrows.data.named import named_sets

    rows = [
        (row.name, "{} + {}".format(*row.rows), "x".join(map(str, row.shape)), row.what, row.licence, row.origin)
        for row in named_sets()
    ]
    return Listing(("name", "train + test", "shape", "what it is", "licence", "where it is"), rows)


def _understood(data: str, values: str | None, reading: Reading) -> Understood:
    dataset = reading.read(data, kind=values)
    schema = dataset.schema
    return Understood(
        data=data,
        rows=len(dataset.values),
        example=schema.describe(),
        shape=list(schema.shape),
        values=schema.values,
        stored_as=str(dataset.values.dtype),
        labels=None if dataset.labels is None else len(set(dataset.labels.tolist())),
        columns=None if schema.names is None else list(schema.names),
    )


def _settings(axis: str, spec: object) -> list[str]:
    """A preset's choice on an axis, as --set takes it."""
    if not isinstance(spec, dict):
        return [f"{axis}={_text(spec)}"]
    return [
        f"{axis}={spec['kind']}",
        *(f"{axis}.{name}={_text(value)}" for name, value in spec.items() if name != "kind"),
    ]


def _text(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
