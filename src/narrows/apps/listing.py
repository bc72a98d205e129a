"""What there is: parts, presets and data sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from narrows.data.dataset import Dataset
    from narrows.data.schema import Column


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
    notes : list of str
        Columns that were left out, and why.
    """

    data: str
    rows: int
    example: str
    shape: list[int]
    values: str
    stored_as: str
    labels: int | None
    columns: list[str] | None
    notes: list[str]


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
    from narrows.detection.presets import DETECTORS
    from narrows.presets import PRESETS

    rows = []
    for row in PRESETS.values():
        choices = " ".join(setting for axis, spec in row.choices.items() for setting in _settings(axis, spec))
        rows.append((row.name, row.when, row.source, choices))
    for detector in DETECTORS.values():
        choices = " ".join(view["kind"] for view in detector.views)
        rows.append((detector.name, detector.when, detector.source, f"views {choices}"))
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
        return _understood(data, reading.read(data, kind=values), reading.label)
    if values is not None or any(dataclasses.astuple(reading)):
        raise InputError(
            "there are no data to read with these options; give a file, a folder of images, or a named data set"
        )
    from narrows.data.named import named_sets

    rows = [
        (row.name, "{} + {}".format(*row.rows), "x".join(map(str, row.shape)), row.what, row.licence, row.origin)
        for row in named_sets()
    ]
    return Listing(("name", "train + test", "shape", "what it is", "licence", "where it is"), rows)


def _understood(data: str, dataset: Dataset, label: str | None) -> Listing | Understood:
    schema = dataset.schema
    labels = None if dataset.labels is None else len(set(dataset.labels.tolist()))
    if schema.columns is None:
        return Understood(
            data=data,
            rows=len(dataset.values),
            example=schema.describe(),
            shape=list(schema.shape),
            values=schema.values,
            stored_as=str(dataset.values.dtype),
            labels=labels,
            columns=None if schema.names is None else list(schema.names),
            notes=list(dataset.notes),
        )
    rows = [_line(column, dataset.values[:, place]) for place, column in enumerate(schema.columns)]
    if label is not None:
        rows.append((label, "label", f"{labels} different", "", str(len(dataset))))
    rows += [("", "note", note, "", "") for note in dataset.notes]
    return Listing(("column", "kind", "values", "missing", "rows"), rows)


def _line(column: Column, cells: np.ndarray) -> tuple[str, ...]:
    """A column of a mixed table: name, kind, values, missing cells and rows."""
    import numpy as np

    present = cells[~np.isnan(cells)]
    said = _SAID[column.kind](column, present) if len(present) else "none"
    return column.name, column.kind, said, str(len(cells) - len(present)), str(len(cells))


def _range(_column: Column, present: np.ndarray) -> str:
    return f"{present.min():.6g} to {present.max():.6g}"


def _commonest(column: Column, present: np.ndarray) -> str:
    """How many values there are and which is the most frequent; of two, both."""
    import numpy as np

    from narrows.data.wording import cut

    values, most = [cut(value) for value in column.categories], int(np.bincount(present.astype(int)).argmax())
    named = ", ".join(values) if len(values) == 2 else f"{len(values)} categories"
    return f"{named}; most often {values[most]}" if most < len(values) else f"{named}; most often others"


_SAID: Mapping[str, Callable[[Column, np.ndarray], str]] = {
    "numeric": _range,
    "count": _range,
    "binary": _commonest,
    "category": _commonest,
}


def _settings(axis: str, spec: object) -> list[str]:
    """A preset's choice on an axis, as --set takes it."""
    if not isinstance(spec, dict):
        return [f"{axis}={_text(spec)}"]
    return [
        f"{axis}={spec['kind']}",
        *(f"{axis}.{name}={_text(value)}" for name, value in spec.items() if name != "kind"),
    ]


def _text(value: object) -> str:
    """A value as --set takes it; of a part in a part its kind."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(getattr(value, "kind", value))
