"""One door for data: a named set, a file, a folder, a frame or an array -> a `Dataset`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.data import arrays, images, named, tables
from narrows.data.arff import read_arff
from narrows.data.columns import Raw, is_frame, raw_columns, table_of
from narrows.data.dataset import Dataset, from_array, from_raw
from narrows.data.idx import is_idx, read_idx
from narrows.data.schema import Schema
from narrows.data.wording import listed, nearest, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class _Request:
    """What was asked of a reader."""

    path: Path
    key: str | None
    label: str | None
    ignore: tuple[str, ...]
    header: bool
    split: str
    kinds: Mapping[str, str]
    schema: Schema | None
    keep_constants: bool

    def options(self) -> set[str]:
        """Names of the options that were given."""
        given = {
            "key": self.key,
            "label": self.label,
            "ignore": self.ignore,
            "header": not self.header,
            "column": self.kinds,
        }
        return {name for name, value in given.items() if value} | ({"split"} if self.split != "train" else set())


@dataclass(frozen=True)
class _Format:
    """A kind of file: its suffixes, its reader, and the options that mean something to it."""

    what: str
    suffixes: tuple[str, ...]
    read: Callable[[_Request], Raw]
    options: frozenset[str] = frozenset()


def _npz(request: _Request) -> Raw:
    return arrays.read_npz(request.path, request.key, request.label, request.split)


def _text(request: _Request) -> Raw:
    return _columns(tables.read_text_table(request.path, request.header, _categories(request)), request)


def _categories(request: _Request) -> tuple[str, ...]:
    """Columns that were said, or learnt, to hold categories: as numbers, 01 and 1 would be the same."""
    said = [name for name, kind in request.kinds.items() if kind in ("binary", "category")]
    learnt = request.schema.columns or () if request.schema is not None else ()
    return (*said, *(column.name for column in learnt if column.categories))


def _arff(request: _Request) -> Raw:
    return _columns(read_arff(request.path), request)


def _parquet(request: _Request) -> Raw:
    return _columns(tables.read_parquet(request.path), request)


def _arrow(request: _Request) -> Raw:
    return _columns(tables.read_arrow(request.path), request)


def _columns(table: pa.Table, request: _Request, what: str | None = None) -> Raw:
    return raw_columns(
        table,
        what=what or short(str(request.path)),
        label=request.label,
        ignore=request.ignore,
        kinds=request.kinds,
        schema=request.schema,
        positional=not request.header,
        keep_constants=request.keep_constants,
    )


_COLUMNS = frozenset({"label", "ignore", "column"})
_IDX = _Format("an IDX file", (), lambda request: Raw(read_idx(request.path)))
_FOLDER = _Format("a folder of images", (), lambda request: Raw(images.read_folder(request.path)))
_FORMATS = (
    _Format("a NumPy array", (".npy",), lambda request: Raw(arrays.read_npy(request.path))),
    _Format("a NumPy archive", (".npz",), _npz, frozenset({"key", "label", "split"})),
    _Format("a zip file of images", (".zip",), lambda request: Raw(images.read_zip(request.path))),
    _Format("an image", images.SUFFIXES, lambda request: Raw(images.read_image(request.path))),
    _Format("a table of text", (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz"), _text, _COLUMNS | {"header"}),
    _Format("an ARFF file", (".arff", ".arff.gz"), _arff, _COLUMNS),
    _Format("a Parquet file", (".parquet", ".pq"), _parquet, _COLUMNS),
    _Format("an Arrow file", (".arrow", ".arrows", ".ipc", ".feather"), _arrow, _COLUMNS),
)


def read(
    source: str | os.PathLike[str] | object,
    *,
    key: str | None = None,
    label: str | None = None,
    ignore: Sequence[str] = (),
    header: bool = True,
    kind: str | None = None,
    kinds: Mapping[str, str] | None = None,
    schema: Schema | None = None,
    split: str = "train",
    keep_constants: bool = False,
) -> Dataset:
    """Read a data set.

    Parameters
    ----------
    source : str, path, array or frame
        Name of a data set (``fashion-sample``, ``digits``, ``fashion-mnist``, ``mnist``; ``:test`` after it takes the
        test split); a file (.npy, .npz or ``file.npz:key``, IDX, an image, a zip of images, CSV, TSV, ARFF, Parquet,
        Arrow, Feather); a folder of images; a pandas, polars or Arrow frame; an array. A named data set comes
        before a file of the same name: write ``./digits`` for the latter. A table of anything but numbers without a
        gap is a mixed one, whose columns have each a kind.
    key : str, optional
        Which array of an ``.npz`` file.
    label : str, optional
        Column, or array of an ``.npz`` file, that holds the labels.
    ignore : sequence of str
        Columns to drop.
    header : bool
        Whether the first line of a CSV file holds names; without it columns are ``c0``, ``c1`` ...
    kind : {"binary", "levels", "counts", "reals"}, optional
        Overrides the kind of values that the data suggest.
    kinds : mapping of str to {"numeric", "count", "binary", "category", "ignore"}, optional
        Overrides the kind that the cells of a column suggest; a column that would be left out comes back so.
    schema : Schema, optional
        Schema of a trained model, which the data must fit; other columns than the model's are dropped.
    split : {"train", "test"}
        Which part of a named data set, or of an ``.npz`` file with ``x_train`` and ``x_test``.
    keep_constants : bool
        Whether columns of a table that never change are kept: nothing is to be learnt from them, and a detector marks
        a row that differs there.

    Returns
    -------
    Dataset
        Checked examples.

    Raises
    ------
    InputError
        If there is no such source, or it is damaged, holds what no model takes, or does not fit.
    """
    if split not in named.SPLITS:
        raise InputError(f"unknown split {short(split)}; allowed are {listed(named.SPLITS)}")
    ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    if kinds and schema is not None:
        raise InputError("kinds of columns were given with a trained model's schema, which states them; leave them out")
    request = _Request(Path(), key, label, ignored, header, split, kinds or {}, schema, keep_constants)
    try:
        if isinstance(source, (str, os.PathLike)):
            return _located(os.fspath(source), request, kind, schema)
        found = _in_memory(source, request)
        return _checked(source if found is None else found, kind, schema, "array")
    except MemoryError as error:
        raise InputError(f"{short(source)} does not fit into memory; give a part of it, or free memory") from error


def _checked(found: object, kind: str | None, schema: Schema | None, source: str) -> Dataset:
    if not isinstance(found, Raw):
        return from_array(found, kind=kind, schema=schema, source=source)
    return from_raw(found, kind=kind, schema=schema, source=source)


def _located(text: str, request: _Request, kind: str | None, schema: Schema | None) -> Dataset:
    """A named data set or a file."""
    name, colon, split = text.partition(":")
    if name in named.names():
        _refuse_options(request, frozenset({"split"}), f"the named data set {short(name)}")
        found = named.load(name, split if colon else request.split)
        return _checked(found.examples, kind, schema or (None if kind else found.schema), text)
    path, key = _path_and_key(text)
    if not _exists(path):
        raise InputError(_not_found(text))
    if not (Path(path).is_file() or Path(path).is_dir()):
        raise InputError(f"{short(path)} is a device or a pipe; give a file, a folder of images or a named data set")
    form = _format_of(Path(path))
    request = dataclasses.replace(request, path=Path(path), key=key or request.key)
    _refuse_options(request, form.options, f"{form.what} such as {short(path)}")
    return _checked(form.read(request), kind, schema, text)


def _path_and_key(text: str) -> tuple[str, str | None]:
    """``file.npz:key`` -> file and key; a file whose name holds a colon stays whole."""
    head, colon, key = text.rpartition(":")
    if colon and key and head.lower().endswith(".npz") and not _exists(text):
        return head, key
    return text, None


def _format_of(path: Path) -> _Format:
    if path.is_dir():
        return _FOLDER
    name = path.name.lower()
    for form in _FORMATS:
        if name.endswith(form.suffixes):
            return form
    if "idx" in name or is_idx(path):
        return _IDX
    if tables.is_text_table(path):  # such as kddcup.data.gz
        return next(form for form in _FORMATS if form.read is _text)
    suffixes = ", ".join(suffix for form in _FORMATS for suffix in form.suffixes)
    raise InputError(
        f"{short(str(path))} is of an unknown kind; give a folder of images, an IDX file or one of {suffixes}"
    )


def _refuse_options(request: _Request, allowed: frozenset[str], what: str) -> None:
    """An option that would go unheeded is a misunderstanding."""
    unheeded = sorted(request.options() - allowed)
    if unheeded:
        meaning = {
            "key": "key names an array of an .npz file",
            "label": "label names a column of a table",
            "ignore": "ignore names columns of a table",
            "header": "header is for tables of text",
            "column": "column says what a column of a table holds",
            "split": "split is for named data sets",
        }[unheeded[0]]
        raise InputError(f"{unheeded[0]} was given for {what}; {meaning}: leave it out")


def _in_memory(source: object, request: _Request) -> Raw | None:
    """Examples of a frame; None for arrays, which `from_array` takes as they are."""
    if is_frame(source):
        _refuse_options(request, _COLUMNS, "a frame")
        return _columns(table_of(source), request, "the frame")
    _refuse_options(request, frozenset(), "an array in memory")
    return None


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
