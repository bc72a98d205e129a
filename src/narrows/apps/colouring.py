"""The values by which points of a map are coloured: labels, or any column of the data."""

from __future__ import annotations

import dataclasses

import numpy as np

from narrows.apps.reading import Reading
from narrows.data.dataset import Dataset
from narrows.errors import InputError


def colouring(data: str, dataset: Dataset, colour: str | None, reading: Reading) -> tuple[str, np.ndarray | None]:
    """Find the name of the values, and the values (n,), text or numbers; None where there are no labels, nor colour.

    Raises
    ------
    InputError
        If there is no column ``colour``.
    """
    if colour is None or colour == reading.label:
        return colour or "label", dataset.labels
    if colour in (dataset.schema.names or ()):
        return colour, column(dataset, colour)
    try:  # the model does not know this column: it is read as labels are
        return colour, dataclasses.replace(reading, label=colour).read(data, dataset.schema).labels
    except InputError as error:
        raise InputError(f"--colour {colour}, read as a label: {error}") from error


def column(dataset: Dataset, name: str) -> np.ndarray:
    """Return one column of a table of the model's, categories by their names."""
    place = (dataset.schema.names or ()).index(name)
    cells = dataset.values[:, place]
    categories = dataset.schema.columns[place].categories if dataset.schema.columns else ()
    if not categories:
        return cells
    # Behind them stand a value that is none of them, and a missing one.
    cells = np.nan_to_num(cells, nan=len(categories) + 1)
    return np.array([*categories, "(another)", ""])[cells.astype(int)]
