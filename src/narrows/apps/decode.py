"""Make examples of codes: the way back from `embed`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.apps.written import LARGEST_SHEET, Written, suffixes_for, write_examples
from narrows.atomic import check_target
from narrows.errors import InputError, at_most

if TYPE_CHECKING:
    import numpy as np

    from narrows.data.schema import Schema
    from narrows.model import Model


def decode(model: Path, data: str, output: Path, reading: Reading = Reading()) -> Written:  # noqa: B008  frozen
    """Make the example that each code stands for: the way back from embed.

    Parameters
    ----------
    model : Path
        A model file.
    data : str
        Codes: a table with the columns z0, z1, ..., as embed writes it, whose other columns are passed over, or an
        array.
    output : Path
        .npy for an array, .csv or .parquet for a table, .png for a sheet of at most 400 images.
    reading : Reading
        How to read the codes.
    """
    check_target(output, inputs=[model, data])

    from narrows.data.writers import check_suffix
    from narrows.inference import check_code
    from narrows.persist import load

    fitted = load(model)
    check_code(fitted.model, "decode")
    suffix = check_suffix(output, suffixes_for(fitted.schema))
    z = reading.read(data, code_schema(fitted.model)).values
    if suffix == ".png":
        at_most("the number of images, for a picture,", len(z), LARGEST_SHEET)
    return write_examples(examples_of(fitted.model, z), fitted.schema, output)


def code_schema(model: Model) -> Schema:
    """Codes as rows of a table: the columns z0, z1, ..., any numbers."""
    from narrows.data.schema import Schema

    size = model.latent.size
    return Schema((size,), float("-inf"), float("inf"), names=tuple(f"z{place}" for place in range(size)))


def examples_of(model: Model, z: np.ndarray) -> np.ndarray:
    """Decode codes (n, d) to the means of p(x | z), (n, x), in raw units.

    Raises
    ------
    InputError
        If a code lies so far out that its example is no number.
    """
    import numpy as np

    from narrows.inference import decoded
    from narrows.tensors import tensor_of

    made: np.ndarray = decoded(model, tensor_of(z)).numpy()
    good = np.isfinite(made).reshape(len(made), -1).all(1)
    if not good.all():
        row = int(np.argmin(good))
        raise InputError(f"code {row} decodes to what is no number; give codes nearer to those of the data")
    return made
