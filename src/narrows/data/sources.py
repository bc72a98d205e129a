"""Where data come from: the named set, the file or the folder that a text names, and what reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from narrows.data import arrays, named, shards, tables
from narrows.data.columns import Raw
from narrows.data.exact import exact_raw
from narrows.data.formats import FOLDER, FORMATS, IDX, Format, in_columns, read_text
from narrows.data.idx import is_idx
from narrows.data.images import Pictures
from narrows.data.request import Request, refuse_options
from narrows.data.schema import Schema
from narrows.data.shard_files import of_one_kind
from narrows.data.stored import Stored
from narrows.data.verbatim import Verbatim
from narrows.data.wording import listed, nearest, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Located:
    """Data that were found by name.

    Parameters
    ----------
    read : callable
        Reads all of them.
    open : callable or None
        Opens them for reading in parts, where that is possible.
    schema : Schema or None
        What the makers of a named data set say of it.
    verbatim : callable or None
        Opens them as a table whose cells are as they are written, where that was asked for.
    blocks : callable or None
        Gives tables of so many rows at most, where a table can be read in parts.
    weight : callable or None
        Gives how many bytes such a table takes in memory, about, as far as so many.
    shards : tuple of Path
        The files of a folder of shards.
    """

    read: Callable[[], Raw]
    open: Callable[[], Stored | Pictures] | None = None
    schema: Schema | None = None
    verbatim: Callable[[], Verbatim] | None = None
    blocks: Callable[[int], Iterator[pa.Table]] | None = None
    weight: Callable[[int], int] | None = None
    shards: tuple[Path, ...] = ()


def located(text: str, request: Request) -> Located:
    """Find a named data set or a file.

    Raises
    ------
    InputError
        If there is none, it is of an unknown kind, or an option was given that means nothing to it.
    """
    name, colon, split = text.partition(":")
    if name in named.names():
        if request.exact:
            raise _no_table(f"the named data set {short(name)}")
        refuse_options(request, frozenset({"split"}), f"the named data set {short(name)}")
        part = split if colon else request.split
        return Located(lambda: named.load(name, part).examples, schema=named.schema_of(name, part))
    at, key = _path_and_key(text)
    if not _exists(at):
        raise InputError(_not_found(text))
    path = Path(at)
    if not (path.is_file() or path.is_dir()):
        raise InputError(f"{short(at)} is a device or a pipe; give a file, a folder of images or a named data set")
    form, shards = _format_of(path)
    request = dataclasses.replace(request, key=key or request.key)
    refuse_options(request, form.options, f"{form.what} such as {short(at)}")
    if request.exact:
        if form.verbatim is None:
            raise _no_table(f"{form.what} such as {short(at)}")
        source, what = partial(form.verbatim, path, request), short(str(path))
        return Located(lambda: exact_raw(source(), request.schema, request.left_out, what), verbatim=source)
    return Located(
        partial(form.read, path, request),
        partial(form.open, path) if form.open else None,
        blocks=partial(form.blocks, path) if form.blocks else None,
        weight=partial(form.weight, path) if form.weight else None,
        shards=shards,
    )


def _no_table(what: str) -> InputError:
    return InputError(
        f"{what} is no table of columns, and this model keeps tables; give CSV, TSV, Parquet, Arrow or ARFF, or take "
        f"preset compressor for images, bits-back for arrays of levels"
    )


def _path_and_key(text: str) -> tuple[str, str | None]:
    """``file.npz:key`` -> file and key; a file whose name holds a colon stays whole."""
    head, colon, key = text.rpartition(":")
    if colon and key and head.lower().endswith(".npz") and not _exists(text):
        return head, key
    return text, None


def _format_of(path: Path) -> tuple[Format, tuple[Path, ...]]:
    """How a file or a folder is read, and the shards of the latter, where there are such."""
    return _of_folder(path) if path.is_dir() else (_of_file(path), ())


def _of_file(path: Path) -> Format:
    name = path.name.lower()
    for form in FORMATS:
        if name.endswith(form.suffixes):
            return form
    if "idx" in name or is_idx(path):
        return IDX
    if tables.is_text_table(path):  # such as kddcup.data.gz
        return next(form for form in FORMATS if form.table is read_text)
    suffixes = ", ".join(suffix for form in FORMATS for suffix in form.suffixes)
    raise InputError(
        f"{short(str(path))} is of an unknown kind; give a folder of images, an IDX file or one of {suffixes}"
    )


def _of_folder(folder: Path) -> tuple[Format, tuple[Path, ...]]:
    form, files = of_one_kind(folder, [form for form in FORMATS if form.shard])
    if form is None:
        return FOLDER, ()
    read = partial(_read_shards, form, files)
    return Format("a folder of shards", (), read, form.options | {"skip_bad_shards"}), tuple(files)


def _read_shards(form: Format, files: list[Path], folder: Path, request: Request) -> Raw:
    """Rows of all shards as if they stood in one file."""
    if form.table is None:
        array = shards.FittingArrays()
        arrays_found, notes = shards.good(files, lambda path: array(arrays.read_npy(path), path), skip=request.skip)
        return Raw(np.concatenate(arrays_found), notes=notes)
    table, read = shards.FittingTables(), form.table
    found, notes = shards.good(files, lambda path: table(read(path, request), path), skip=request.skip)
    raw = in_columns(shards.one_table(found), request, short(str(folder)))
    return dataclasses.replace(raw, notes=(*notes, *raw.notes))


def _exists(text: str) -> bool:
    """Whether there is such a file; text that cannot be a file's name names none."""
    try:
        # An empty path would be the current folder.
        return bool(text) and Path(text).exists()
    except (OSError, ValueError):
        return False


def _not_found(text: str) -> str:
    try:
        beside = [str(path) for path in Path(text).parent.iterdir()]
    except (OSError, ValueError):
        beside = []
    near = nearest(text, [*named.names(), *beside])
    return f"no such file or data set: {short(text)}; named data sets are {listed(named.names())}{near}"
