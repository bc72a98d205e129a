"""Data in several files of one kind: the shards of a folder, in the order of their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from narrows.data.images import is_image
from narrows.data.names import refuse_repeated
from narrows.data.wording import brief, listed, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
NOTES = (".txt", ".txt.gz")  # what lies beside shards


def files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files of a folder that end so, by name; none where it, or a folder in it, holds images, whose folder it then is.

    Hidden files, and those that begin with an underscore, as engines leave them beside their shards, are none.
    """
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.name.lower().endswith(suffixes)
        and not path.name.lower().endswith(NOTES)
        and not path.name.startswith((".", "_"))
        and path.is_file()
    ]
    pictures = (is_image(name) for _, _, names in os.walk(folder) for name in names)
    return found if found and not any(pictures) else []


def good(paths: Iterable[Path], read: Callable[[Path], T], *, skip: bool) -> tuple[list[T], tuple[str, ...]]:
    """Read shards one after the other.

    Parameters
    ----------
    paths : iterable of Path
        The shards.
    read : callable
        Reads one, or raises `InputError`.
    skip : bool
        Whether shards that cannot be read are left out.

    Returns
    -------
    found : list
        What the good ones hold.
    notes : tuple of str
        Which were left out, and why.

    Raises
    ------
    InputError
        If one cannot be read and was not to be skipped, or none can.
    """
    found, notes = list[T](), list[str]()
    for path in paths:
        try:
            found.append(read(path))
        except InputError as error:
            if not skip:
                raise InputError(f"{error}, or leave out shards that cannot be read (--skip-bad-shards)") from error
            notes.append(f"shard {short(str(path))} was left out: {error}")
    if not found:
        raise InputError(f"none of the shards can be read; of the first: {notes[0] if notes else 'there is none'}")
    return found, tuple(notes)


class FittingTables:
    """A check of tables one by one: the columns of the first, in any order, of types that have a common one."""

    def __init__(self) -> None:
        self._common: pa.Schema | None = None

    def __call__(self, table: pa.Table, path: Path) -> pa.Table:
        """Return the table in the first one's order, or raise `InputError`."""
        import pyarrow as pa

        refuse_repeated(table.column_names, short(str(path)))
        common = self._common or table.schema
        other = sorted(set(common.names) ^ set(table.column_names))
        if other:
            raise _unfit(path, f"other columns than the shards before it ({listed(other)})")
        table = table.select(common.names)
        try:
            self._common = pa.unify_schemas([common, table.schema], promote_options="permissive")
        except pa.ArrowException as error:
            raise _unfit(path, f"other types than the shards before it ({brief(error)})") from error
        return table


class FittingArrays:
    """The same of arrays: rows of the shape and the kind of the first's."""

    def __init__(self) -> None:
        self._first: tuple[tuple[int, ...], str] | None = None

    def __call__(self, array: np.ndarray, path: Path) -> np.ndarray:
        """Return the array, or raise `InputError`."""
        described = (array.shape[1:], array.dtype.kind)
        if array.ndim < 2 or described != (self._first or described):
            raise _unfit(path, f"the shape {array.shape} and the type {array.dtype}, unlike the shards before it")
        self._first = described
        return array


def _unfit(path: Path, what: str) -> InputError:
    return InputError(f"{short(str(path))} has {what}; mend it")


def one_table(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows of tables that fit."""
    import pyarrow as pa

    return pa.concat_tables(tables, promote_options="permissive")
