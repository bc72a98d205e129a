"""Classes that labels tell of, by name."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import torch
from torch import Tensor

from narrows.errors import InputError

FEWEST_ROWS = 10
MISSING = ""  # what a table's reader makes of a text that is missing


def classes_of(labels: np.ndarray | None, rows: int, otherwise: str) -> tuple[tuple[str, ...], Tensor]:
    """Names of the classes, and which one each row is of (rows,); without labels none, and 0.

    Parameters
    ----------
    labels : array, shape (rows,), or None
        Numbers or text.
    rows : int
        How many there are.
    otherwise : str
        What a user may do instead of giving labels that serve, for messages.

    Raises
    ------
    InputError
        If labels are not as many as rows, a row has no label, or a class has few rows.
    """
    if labels is None:
        return (), torch.zeros(rows, dtype=torch.long)
    if labels.shape != (rows,):
        raise InputError(f"labels of shape {labels.shape} were given for {rows} rows; give one label a row")
    names = [class_name(label) for label in labels.tolist()]
    counts = Counter(names)
    if counts[MISSING]:
        raise InputError(
            f"{counts[MISSING]} of {rows} rows have no label, so that they are of no class; leave these rows out, or "
            f"{otherwise}"
        )
    rare = min(counts, key=lambda name: counts[name])
    if counts[rare] < FEWEST_ROWS:
        raise InputError(
            f"class {rare!r} has {counts[rare]} of {rows} rows, and a class needs at least {FEWEST_ROWS}; leave out "
            f"its rows, or {otherwise}"
        )
    classes = sorted(counts, key=lambda name: (len(name), name))  # numbers in their order
    places = {name: place for place, name in enumerate(classes)}
    return tuple(classes), torch.tensor([places[name] for name in names])


def class_name(label: object) -> str:
    """Return a label as a person writes it: 7 and not 7.0."""
    if isinstance(label, float):
        return MISSING if math.isnan(label) else f"{label:g}"
    return MISSING if label is None else str(label)
