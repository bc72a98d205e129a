"""Make new examples: from the prior, and from the codes of examples that are given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.apps.written import LARGEST_SHEET, Written, suffixes_for, write_examples, write_sheet
from narrows.atomic import check_target
from narrows.errors import at_least, at_most, check_seed

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from narrows.data.schema import Schema
    from narrows.persist import Fitted

SPREAD_ROWS = 2000  # rows of the data that tell how far codes lie apart, from the first


def generate(
    model: Path,
    output: Path,
    n: int = 64,
    temperature: float = 1.0,
    label: str | None = None,
    seed: int = 0,
    draw: bool = False,
) -> Written:
    """Make new examples: codes drawn from the prior, decoded.

    Parameters
    ----------
    model : Path
        A model file of a random latent, such as preset variational, or one with a prior fitted to its codes.
    output : Path
        .png for a sheet of images, .npy for an array, .csv or .parquet for a table.
    n : int
        How many examples; a sheet takes at most 400.
    temperature : float
        Width of the normal draws behind the codes: below 1 examples are more alike and more usual, above 1 less so.
    label : str, optional
        Make examples of one class, where the model was trained, or its prior fitted, class by class.
    seed : int
        Equal seeds give equal examples.
    draw : bool
        Draw each example from p(x | z), noise and all, instead of taking its mean; without a code that is always done.
    """
    at_least("n", n, 1)
    at_least("temperature", temperature, 0)
    check_seed(seed)
    check_target(output, inputs=[model])

    from narrows.inference import samples
    from narrows.persist import load

    fitted = load(model)
    _check_form(output, fitted.schema, n)
    made = samples(fitted.model, n, seed, draw=draw, temperature=temperature, label=label)
    return write_examples(made.numpy(), fitted.schema, output)


def interpolate(
    model: Path,
    data: str,
    output: Path,
    first: int = 0,
    last: int = 1,
    frames: int = 16,
    path: str | None = None,
    reading: Reading = Reading(),  # noqa: B008  frozen
) -> Written:
    """Go from one row to another: codes on the way between theirs, decoded.

    Parameters
    ----------
    model : Path
        A model file.
    data : str
        Where the two are: a file, a folder of images, or a named data set.
    output : Path
        .gif for a moving picture, there and back; .png for a sheet of images, .npy, .csv or .parquet.
    first : int
        Row to go from; the first one is 0.
    last : int
        Row to go to.
    frames : int
        Codes on the way, both ends among them; a sheet or a moving picture takes at most 400.
    path : {"spherical", "linear"}, optional
        By an arc about the origin, the usual way for random codes, or straight, that for others.
    reading : Reading
        How to read the data.
    """
    at_least("frames", frames, 2)
    check_target(output, inputs=[model, data])

    from narrows.generation import between

    fitted, values = _read(model, data, reading)
    moving = (".gif",) if fitted.schema.is_image else ()
    _check_form(output, fitted.schema, frames, moving)
    usual = "spherical" if fitted.model.latent.random else "linear"
    made = between(fitted.model, _rows(values, first, last), frames, path or usual).numpy()
    if output.suffix.lower() not in moving:
        return write_examples(made, fitted.schema, output)

    from narrows.pictures import as_pixels, save_gif

    save_gif(as_pixels(made, fitted.schema), output)
    return Written(str(output), frames, list(fitted.schema.user_shape))


def vary(
    model: Path,
    data: str,
    output: Path,
    row: int = 0,
    n: int = 15,
    strength: float | None = None,
    seed: int = 0,
    reading: Reading = Reading(),  # noqa: B008  frozen
) -> Written:
    """Make variations of a row: codes near its own, decoded.

    Parameters
    ----------
    model : Path
        A model file.
    data : str
        Where the row is: a file, a folder of images, or a named data set.
    output : Path
        .png for a sheet that begins with the row itself, .npy, .csv or .parquet.
    row : int
        Which row; the first one is 0.
    n : int
        How many variations; a sheet takes at most 400.
    strength : float, optional
        How far to go from its code, in standard deviations of the codes of the data; without it codes are drawn from
        q(z | x), all of which the row might have had.
    seed : int
        Equal seeds give equal variations.
    reading : Reading
        How to read the data.
    """
    at_least("n", n, 1)
    check_seed(seed)
    check_target(output, inputs=[model, data])
    if strength is not None:
        at_least("strength", strength, 0)

    from narrows.generation import varied

    fitted, values = _read(model, data, reading)
    _check_form(output, fitted.schema, n)
    given = _rows(values, row)
    made = varied(fitted.model, given, n, seed, _spread(fitted, values, strength)).numpy()
    return _beside({"given": given.numpy(), "variations": made}, fitted.schema, output)


def combine(
    model: Path,
    data: str,
    expression: str,
    output: Path,
    reading: Reading = Reading(),  # noqa: B008  frozen
) -> Written:
    """Add and subtract codes of rows, and decode the sum: a - b + c is c with what tells a from b.

    Parameters
    ----------
    model : Path
        A model file.
    data : str
        Where the rows are: a file, a folder of images, or a named data set.
    expression : str
        Numbers of rows and signs, such as "3 - 5 + 17"; "0,1,2 - 3,4 + 17" takes means of several.
    output : Path
        .png for a sheet that begins with the rows, .npy, .csv or .parquet.
    reading : Reading
        How to read the data.
    """
    check_target(output, inputs=[model, data])

    from narrows.generation import combined
    from narrows.generation.moves import terms_of

    fitted, values = _read(model, data, reading)
    _check_form(output, fitted.schema, 1)
    made = combined(fitted.model, values, expression).numpy()
    groups = {}
    for sign, term in terms_of(expression, len(values)):
        groups[f"{'+-'[sign < 0]} {','.join(map(str, term))}"] = values[term].numpy()
    return _beside(groups | {"=": made}, fitted.schema, output)


def _read(model: Path, data: str, reading: Reading) -> tuple[Fitted, Tensor]:
    from narrows.persist import load
    from narrows.tensors import tensor_of

    fitted = load(model)
    return fitted, tensor_of(reading.read(data, fitted.schema).values)


def _rows(values: Tensor, *rows: int) -> Tensor:
    from narrows.generation.moves import check_row

    for row in rows:
        check_row(row, len(values))
    return values[list(rows)]


def _spread(fitted: Fitted, values: Tensor, strength: float | None) -> Tensor | None:
    """Standard deviation of the codes of rows, times a strength."""
    if strength is None:
        return None
    from narrows.inference import codes

    at_least("rows, for a strength in deviations of their codes,", len(values), 2)
    return strength * codes(fitted.model, values[:SPREAD_ROWS]).std(0)


def _check_form(output: Path, schema: Schema, n: int, others: tuple[str, ...] = ()) -> None:
    """Refuse a suffix that such examples do not come in, and more of them than a picture can show."""
    from narrows.data.writers import check_suffix

    if check_suffix(output, (*others, *suffixes_for(schema))) in (".png", *others):
        at_most("the number of images, for a picture,", n, LARGEST_SHEET)


def _beside(groups: dict[str, np.ndarray], schema: Schema, output: Path) -> Written:
    """Write the last group of examples; a sheet shows the others, too, each under its name."""
    made = list(groups.values())[-1]
    if output.suffix.lower() == ".png":
        write_sheet(groups, schema, output, max(map(len, groups.values())))
        return Written(str(output), len(made), list(schema.user_shape))
    return write_examples(made, schema, output)
