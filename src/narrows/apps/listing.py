"""What there is: parts, presets and data sets."""

from __future__ import annotations

from dataclasses import dataclass

from narrows.apps.reading import Reading


@dataclass(frozen=True)
class Listing:
    """A table for a person, whose rows are records for a machine.

    Parameters
    ----------
    columns : tuple of str
        Names of the columns.
    rows : list of tuple
        Cells.
    """

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def parts() -> Listing:
    """List the kinds of parts on each axis, with their parameters and defaults."""
    from narrows.model import AXIS_MODULES
    from narrows.parts import axes, kinds

    assert AXIS_MODULES
    rows = []
    for axis in axes():
        for kind, part in kinds(axis).items():
            parameters = ", ".join(f"{name}={value.default}" for name, value in part.parameters_of().items())
            rows.append((axis, kind, parameters, (part.__doc__ or "").splitlines()[0]))
    return Listing(("axis", "kind", "parameters", "what it is"), rows)


def presets() -> Listing:
    """List the presets: what each is for, its source, and what it changes from the plain autoencoder."""
    from narrows.presets import PRESETS

    rows = []
    for row in PRESETS.values():
        choices = "; ".join(f"{axis}={_text(spec)}" for axis, spec in row.choices.items())
        rows.append((row.name, row.when, row.source, choices or "the defaults"))
    return Listing(("preset", "take it for", "source", "choices"), rows)


def data(data: str | None = None, reading: Reading = Reading()) -> Listing:  # noqa: B008  frozen
    """List the named data sets, or show how a file or folder of yours is understood.

    Parameters
    ----------
    data : str, optional
        A file, a folder of images, or a named data set.
    reading : Reading
        How to read the data.
    """
    if data is None:
        from narrows.data.named import named_sets

        columns = ("name", "what", "rows", "shape", "licence", "from")
        return Listing(
            columns,
            [
                (
                    row.name,
                    row.what,
                    " + ".join(map(str, row.rows)),
                    "x".join(map(str, row.shape)),
                    row.licence,
                    row.origin,
                )
                for row in named_sets()
            ],
        )
    dataset = reading.read(data)
    schema = dataset.schema
    rows = [
        ("rows", str(len(dataset.values))),
        ("one example", schema.describe()),
        ("stored as", str(dataset.values.dtype)),
        ("labels", "none" if dataset.labels is None else f"{len(set(dataset.labels.tolist()))} different"),
    ]
    rows += [("column", name) for name in schema.names or ()]
    return Listing(("property", "value"), rows)


def _text(spec: object) -> str:
    if not isinstance(spec, dict):
        return str(spec)
    parameters = ", ".join(f"{name}={value}" for name, value in spec.items() if name != "kind")
    return f"{spec['kind']}({parameters})"
