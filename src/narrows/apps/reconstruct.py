"""Send data through a trained model and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.apps.written import LARGEST_SHEET, SHEET_COLUMNS, Written, suffixes_for, write_examples, write_sheet
from narrows.atomic import check_target

if TYPE_CHECKING:
    import numpy as np


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
    suffix = writers.check_suffix(output, suffixes_for(fitted.schema))
    given = reading.read(data, fitted.schema).values
    if suffix != ".png":
        return write_examples(reconstructed(fitted.model, tensor_of(given)).numpy(), fitted.schema, output)
    given = given[:LARGEST_SHEET]
    made = reconstructed(fitted.model, tensor_of(given)).numpy()
    groups: dict[str, np.ndarray] = {}
    for start in range(0, len(given), SHEET_COLUMNS):
        line = slice(start, start + SHEET_COLUMNS)
        groups |= {f"given, from row {start}": given[line], f"reconstructed, from row {start}": made[line]}
    return write_sheet(groups, fitted.schema, output, len(given))
