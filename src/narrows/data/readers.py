"""One door for data: a named set, a file, a folder, a frame or an array -> a `Dataset`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from narrows.data.columns import Raw, is_frame, table_of
from narrows.data.dataset import Dataset, from_array, from_raw
from narrows.data.exact import exact_raw
from narrows.data.formats import COLUMN_OPTIONS, in_columns
from narrows.data.request import Request, refuse_options
from narrows.data.schema import Schema
from narrows.data.sources import located
from narrows.data.verbatim import of_table
from narrows.data.wording import short
from narrows.errors import InputError


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
    symbols: bool = False,
    tile: int | None = None,
) -> Dataset:
    """Read a data set.

    Parameters
    ----------
    source : str, path, array or frame
        Name of a data set (``fashion-sample``, ``digits``, ``fashion-mnist``, ``mnist``; ``:test`` after it takes the
        test split); a file (.npy, .npz or ``file.npz:key``, IDX, an image, a zip of images, CSV, TSV, ARFF, Parquet,
        Arrow, Feather); a folder of images, or of tables or .npy files that are its shards; a pandas, polars or Arrow
        frame; an array. A named data set comes before a file of the same name: write ``./digits`` for the latter. A
        table of anything but numbers without a gap is a mixed one, whose columns have each a kind.
    key : str, optional
        Which array of an ``.npz`` file.
    label : str, optional
        Column, or array of an ``.npz`` file, that holds the labels.
    ignore : sequence of str
        Columns to drop.
    header : bool
        Whether the first line of a CSV file holds names; without it columns are ``c0``, ``c1`` ...
    kind : None or {"binary", "levels", "counts", "reals"}
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
    symbols : bool
        Whether a table is read as symbols that stand for its cells as they are written, so that no column is left out
        and each cell can come back as it was.
    tile : int, optional
        Side of squares into which images are cut, which then may be of different sizes; each is half over the next.

    Returns
    -------
    Dataset
        Checked examples.

    Raises
    ------
    InputError
        If there is no such source, or it is damaged, holds what no model takes, or does not fit.
    """
    ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    request = Request(key, label, ignored, header, split, kinds or {}, schema, keep_constants, symbols, tile)
    return read_as(source, request, kind)


def read_as(source: str | os.PathLike[str] | object, request: Request, kind: str | None) -> Dataset:
    """Read a data set as it was asked for; see `read`."""
    schema = request.schema
    try:
        if isinstance(source, (str, os.PathLike)):
            found = located(os.fspath(source), request)
            return _checked(found.read(), kind, schema or (None if kind else found.schema), os.fspath(source))
        frame = _in_memory(source, request)
        return _checked(source if frame is None else frame, kind, schema, "array")
    except MemoryError as error:
        raise InputError(f"{short(source)} does not fit into memory; give a part of it, or free memory") from error


def _checked(found: object, kind: str | None, schema: Schema | None, source: str) -> Dataset:
    if not isinstance(found, Raw):
        return from_array(found, kind=kind, schema=schema, source=source)
    return from_raw(found, kind=kind, schema=schema, source=source)


def _in_memory(source: object, request: Request) -> Raw | None:
    """Examples of a frame; None for arrays, which `from_array` takes as they are."""
    if is_frame(source):
        refuse_options(request, COLUMN_OPTIONS, "a frame")
        table = table_of(source)
        if request.exact:
            return exact_raw(of_table(table), request.schema, request.left_out, "the frame")
        return in_columns(table, request, "the frame")
    refuse_options(request, frozenset(), "an array in memory")
    return None
