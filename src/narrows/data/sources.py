"""Where data come from: the named set, the file or the folder that a text names, and what reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from narrows.data import arrays, named, shards, tables, verbatim
from narrows.data.arff import read_arff
from narrows.data.columns import Raw, raw_columns
from narrows.data.exact import exact_raw
from narrows.data.idx import is_idx, open_idx, read_idx
from narrows.data.images import SUFFIXES, Pictures, folder_of_images, one_image, zip_of_images
from narrows.data.request import Request, refuse_options
from narrows.data.schema import Schema
from narrows.data.squares import squares
from narrows.data.stored import Stored
from narrows.data.verbatim import Verbatim
from narrows.data.wording import listed, nearest, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class _Format:
    """A kind of file: its suffixes, its reader, the options that mean something to it, and how to read it in parts."""

    what: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, Request], Raw]
    options: frozenset[str] = frozenset()
    open: Callable[[Path], Stored | Pictures] | None = None
    verbatim: Callable[[Path, Request], Verbatim] | None = None
    table: Callable[[Path, Request], pa.Table] | None = None

    @property
    def shard(self) -> bool:
        """Whether several such files may hold one data set."""
        return self.table is not None or self.suffixes == (".npy",)


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
    """

    read: Callable[[], Raw]
    open: Callable[[], Stored | Pictures] | None = None
    schema: Schema | None = None
    verbatim: Callable[[], Verbatim] | None = None


def _npz(path: Path, request: Request) -> Raw:
    return arrays.read_npz(path, request.key, request.label, request.split)


def _text(path: Path, request: Request) -> pa.Table:
    return tables.read_text_table(path, request.header, _categories(request))


def _categories(request: Request) -> tuple[str, ...]:
    """Columns that were said, or learnt, to hold categories: as numbers, 01 and 1 would be the same."""
    said = [name for name, kind in request.kinds.items() if kind in ("binary", "category")]
    learnt = request.schema.columns or () if request.schema is not None else ()
    return (*said, *(column.name for column in learnt if column.categories))


def _columns(table: Callable[[Path, Request], pa.Table]) -> Callable[[Path, Request], Raw]:
    return lambda path, request: in_columns(table(path, request), request, short(str(path)))


def in_columns(table: pa.Table, request: Request, what: str) -> Raw:
    """Make a matrix of the columns of a table, as was asked."""
    return raw_columns(
        table,
        what=what,
        label=request.label,
        ignore=request.ignore,
        kinds=request.kinds,
        schema=request.schema,
        positional=not request.header,
        keep_constants=request.keep_constants,
    )


def _images(pictures: Callable[[Path], Pictures]) -> Callable[[Path, Request], Raw]:
    def read(path: Path, request: Request) -> Raw:
        found = pictures(path)
        return Raw(found.stacked() if request.tile is None else squares(found, request.tile))

    return read


def _whole(read: Callable[[Path], pa.Table]) -> Callable[[Path, Request], Verbatim]:
    return lambda path, _: verbatim.of_table(read(path))


TILED = frozenset({"tile"})
COLUMN_OPTIONS = frozenset({"label", "ignore", "column"})
_IDX = _Format("an IDX file", (), lambda path, _: Raw(read_idx(path)), open=open_idx)
_FOLDER = _Format("a folder of images", (), _images(folder_of_images), TILED, open=folder_of_images)
_FORMATS = (
    _Format("a NumPy array", (".npy",), lambda path, _: Raw(arrays.read_npy(path)), open=arrays.open_npy),
    _Format("a NumPy archive", (".npz",), _npz, frozenset({"key", "label", "split"})),
    _Format("a zip file of images", (".zip",), _images(zip_of_images), TILED, open=zip_of_images),
    _Format("an image", SUFFIXES, _images(one_image), TILED, open=one_image),
    _Format(
        "a table of text",
        (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz"),
        _columns(_text),
        COLUMN_OPTIONS | {"header"},
        verbatim=lambda path, request: verbatim.of_text(path, request.header),
        table=_text,
    ),
    _Format(
        "an ARFF file",
        (".arff", ".arff.gz"),
        _columns(lambda path, _: read_arff(path)),
        COLUMN_OPTIONS,
        verbatim=_whole(read_arff),
        table=lambda path, _: read_arff(path),
    ),
    _Format(
        "a Parquet file",
        (".parquet", ".pq"),
        _columns(lambda path, _: tables.read_parquet(path)),
        COLUMN_OPTIONS,
        verbatim=lambda path, _: verbatim.of_parquet(path),
        table=lambda path, _: tables.read_parquet(path),
    ),
    _Format(
        "an Arrow file",
        (".arrow", ".arrows", ".ipc", ".feather"),
        _columns(lambda path, _: tables.read_arrow(path)),
        COLUMN_OPTIONS,
        verbatim=_whole(tables.read_arrow),
        table=lambda path, _: tables.read_arrow(path),
    ),
)


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
    form = _format_of(path)
    request = dataclasses.replace(request, key=key or request.key)
    refuse_options(request, form.options, f"{form.what} such as {short(at)}")
    if request.exact:
        if form.verbatim is None:
            raise _no_table(f"{form.what} such as {short(at)}")
        source, what = partial(form.verbatim, path, request), short(str(path))
        return Located(lambda: exact_raw(source(), request.schema, request.left_out, what), verbatim=source)
    return Located(partial(form.read, path, request), partial(form.open, path) if form.open else None)


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


def _format_of(path: Path) -> _Format:
    if path.is_dir():
        return _shards(path) or _FOLDER
    name = path.name.lower()
    for form in _FORMATS:
        if name.endswith(form.suffixes):
            return form
    if "idx" in name or is_idx(path):
        return _IDX
    if tables.is_text_table(path):  # such as kddcup.data.gz
        return next(form for form in _FORMATS if form.table is _text)
    suffixes = ", ".join(suffix for form in _FORMATS for suffix in form.suffixes)
    raise InputError(
        f"{short(str(path))} is of an unknown kind; give a folder of images, an IDX file or one of {suffixes}"
    )


def _shards(folder: Path) -> _Format | None:
    """How the shards of a folder are read; None where it holds none."""
    kinds = {form: files for form in _FORMATS if form.shard and (files := shards.files_in(folder, form.suffixes))}
    if len(kinds) > 1:
        held = listed(str(files[0].name) for files in kinds.values())
        raise InputError(f"{short(str(folder))} holds files of several kinds ({held}); give a folder of one kind")
    for form, files in kinds.items():
        options = form.options | {"skip_bad_shards"}
        return _Format("a folder of shards", (), partial(_read_shards, form, files), options)
    return None


def _read_shards(form: _Format, files: list[Path], folder: Path, request: Request) -> Raw:
    """Rows of all shards as if they stood in one file."""
    if form.table is None:
        array = shards.fitting_arrays()
        arrays_found, notes = shards.good(files, lambda path: array(arrays.read_npy(path), path), skip=request.skip)
        return Raw(np.concatenate(arrays_found), notes=notes)
    table, read = shards.fitting_tables(), form.table
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
