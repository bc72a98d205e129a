"""Examples written to files: arrays, tables, and sheets of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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


def suffixes_for(schema: Schema) -> tuple[str, ...]:
    """Suffixes of files that such examples can be written to."""
    from narrows.data.writers import TABLE_WRITERS

    if schema.columns is not None:
        return tuple(TABLE_WRITERS)
    return (".png", ".npy") if schema.is_image else (".npy", *TABLE_WRITERS)


def write_examples(values: np.ndarray, schema: Schema, path: Path) -> Written:
    """Write examples (n, x) in the user's layout, as an array, a table, or a sheet of images."""
    from narrows.data import writers

    if path.suffix.lower() == ".png":
        return write_sheet({"": values}, schema, path, len(values))
    values = schema.to_user(writers.in_stored_type(values, schema))
    if schema.columns is not None:
        writers.write_table(values, schema, path)
    elif schema.is_image:
        writers.write_npy(values, path)
    else:
        writers.write_columns(values, list(schema.names or [f"c{i}" for i in range(values.shape[1])]), path)
    return Written(str(path), len(values), list(schema.user_shape))


def write_sheet(groups: Mapping[str, np.ndarray], schema: Schema, path: Path, rows: int) -> Written:
    """Write labelled groups of images (n, x) as one picture, which shows so many rows."""
    from narrows.pictures import as_pixels, save_png, sheet

    shown = {label: as_pixels(images, schema) for label, images in groups.items()}
    save_png(sheet(shown, min(SHEET_COLUMNS, rows)), path)
    return Written(str(path), rows, list(schema.user_shape))
