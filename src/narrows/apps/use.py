"""Put a trained model to use: new examples, reconstructions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.atomic import check_target
from narrows.errors import at_least, at_most, check_seed

if TYPE_CHECKING:
    import numpy as np

    from narrows.data.schema import Schema

LARGEST_SHEET = 400
SHEET_COLUMNS = 16


@dataclass(frozen=True)
class Written:
    """A file that a verb wrote.

    Parameters
    ----------
    file : str
        Its name.
    rows : int
        Examples in it.
    shape : list of int
        Shape of one of them.
    """

    file: str
    rows: int
    shape: list[int]


def generate(model: Path, output: Path, n: int = 64, seed: int = 0, draw: bool = False) -> Written:
    """Make new examples: codes drawn from the prior, decoded.

    Parameters
    ----------
    model : Path
        A model file of a random latent, such as preset variational.
    output : Path
        .png for a sheet of images, .npy for an array, .csv or .parquet for a table.
    n : int
        How many examples; a sheet takes at most 400.
    seed : int
        Equal seeds give equal examples.
    draw : bool
        Draw each example from p(x | z), noise and all, instead of taking its mean.
    """
    at_least("n", n, 1)
    check_seed(seed)
    check_target(output, inputs=[model])

    from narrows.data import writers
    from narrows.inference import samples
    from narrows.persist import load

    fitted = load(model)
    if writers.check_suffix(output, _suffixes(fitted.schema)) == ".png":
        at_most("n, for a sheet of images,", n, LARGEST_SHEET)
    made = samples(fitted.model, n, seed, draw=draw).numpy()
    if output.suffix.lower() == ".png":
        return _write_sheet({"": made}, fitted.schema, output, n)
    return _write(made, fitted.schema, output)


def reconstruct(model: Path, data: str, output: Path, reading: Reading = Reading()) -> Written:  # noqa: B008  frozen
    """Send data through the code and back, in their own units.

    Parameters
    ----------
    model : Path
        A model file.
    data : str
        A file, a folder of images, or a named data set.
    output : Path
        .npy for an array, .csv or .parquet for a table, .png for a sheet of images above their reconstructions (of
        the first 400).
    reading : Reading
        How to read the data.
    """
    check_target(output, inputs=[model, data])

    from narrows.data import writers
    from narrows.inference import reconstructed
    from narrows.persist import load
    from narrows.tensors import tensor_of

    fitted = load(model)
    suffix = writers.check_suffix(output, _suffixes(fitted.schema))
    given = reading.read(data, fitted.schema).values
    if suffix != ".png":
        return _write(reconstructed(fitted.model, tensor_of(given)).numpy(), fitted.schema, output)
    given = given[:LARGEST_SHEET]
    made = reconstructed(fitted.model, tensor_of(given)).numpy()
    groups: dict[str, np.ndarray] = {}
    for start in range(0, len(given), SHEET_COLUMNS):
        line = slice(start, start + SHEET_COLUMNS)
        groups |= {f"given, from row {start}": given[line], f"reconstructed, from row {start}": made[line]}
    return _write_sheet(groups, fitted.schema, output, len(given))


def _suffixes(schema: Schema) -> tuple[str, ...]:
    from narrows.data.writers import TABLE_WRITERS

    if schema.columns is not None:
        return tuple(TABLE_WRITERS)
    return (".png", ".npy") if schema.is_image else (".npy", *TABLE_WRITERS)


def _write(values: np.ndarray, schema: Schema, path: Path) -> Written:
    """Write examples (n, x) in the user's layout, as an array or a table."""
    from narrows.data import writers

    values = schema.to_user(writers.in_stored_type(values, schema))
    if schema.columns is not None:
        writers.write_table(values, schema, path)
    elif schema.is_image:
        writers.write_npy(values, path)
    else:
        writers.write_columns(values, list(schema.names or [f"c{i}" for i in range(values.shape[1])]), path)
    return Written(str(path), len(values), list(schema.user_shape))


def _write_sheet(groups: dict[str, np.ndarray], schema: Schema, path: Path, rows: int) -> Written:
    """Write labelled groups of images (n, x) as one picture, which shows so many rows."""
    from narrows.pictures import as_pixels, save_png, sheet

    shown = {label: as_pixels(images, schema) for label, images in groups.items()}
    save_png(sheet(shown, min(SHEET_COLUMNS, rows)), path)
    return Written(str(path), rows, list(schema.user_shape))
