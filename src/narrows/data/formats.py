"""The kinds of files that are read: one row a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.data import arrays, columnar, tables, verbatim
from narrows.data.arff import read_arff
from narrows.data.columns import Raw, raw_columns
from narrows.data.idx import open_idx, read_idx
from narrows.data.images import SUFFIXES, Pictures, folder_of_images, one_image, zip_of_images
from narrows.data.request import Request
from narrows.data.squares import squares
from narrows.data.stored import Stored
from narrows.data.verbatim import Verbatim
from narrows.data.wording import short

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Format:
    """A kind of file: its suffixes, its reader, the options that mean something to it, and how to read it in parts."""

    what: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, Request], Raw]
    options: frozenset[str] = frozenset()
    open: Callable[[Path], Stored | Pictures] | None = None
    verbatim: Callable[[Path, Request], Verbatim] | None = None
    table: Callable[[Path, Request], pa.Table] | None = None
    blocks: Callable[[Path, int], Iterator[pa.Table]] | None = None
    weight: Callable[[Path, int], int] | None = None  # bytes that it takes in memory, about, as far as so many

    @property
    def shard(self) -> bool:
        """Whether several such files may hold one data set."""
        return self.table is not None or self.suffixes == (".npy",)


def _npz(path: Path, request: Request) -> Raw:
    return arrays.read_npz(path, request.key, request.label, request.split)


def read_text(path: Path, request: Request) -> pa.Table:
    """Read a table of text; what is known to be categories stays text."""
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
IDX = Format("an IDX file", (), lambda path, _: Raw(read_idx(path)), open=open_idx)
FOLDER = Format("a folder of images", (), _images(folder_of_images), TILED, open=folder_of_images)
FORMATS = (
    Format("a NumPy array", (".npy",), lambda path, _: Raw(arrays.read_npy(path)), open=arrays.open_npy),
    Format("a NumPy archive", (".npz",), _npz, frozenset({"key", "label", "split"})),
    Format("a zip file of images", (".zip",), _images(zip_of_images), TILED, open=zip_of_images),
    Format("an image", SUFFIXES, _images(one_image), TILED, open=one_image),
    Format(
        "a table of text",
        (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz"),
        _columns(read_text),
        COLUMN_OPTIONS | {"header"},
        verbatim=lambda path, request: verbatim.of_text(path, request.header),
        table=read_text,
    ),
    Format(
        "an ARFF file",
        (".arff", ".arff.gz"),
        _columns(lambda path, _: read_arff(path)),
        COLUMN_OPTIONS,
        verbatim=_whole(read_arff),
        table=lambda path, _: read_arff(path),
    ),
    Format(
        "a Parquet file",
        (".parquet", ".pq"),
        _columns(lambda path, _: columnar.read_parquet(path)),
        COLUMN_OPTIONS,
        verbatim=lambda path, _: verbatim.of_parquet(path),
        table=lambda path, _: columnar.read_parquet(path),
        blocks=columnar.parquet_blocks,
        weight=columnar.parquet_weight,
    ),
    Format(
        "an Arrow file",
        (".arrow", ".arrows", ".ipc", ".feather"),
        _columns(lambda path, _: columnar.read_arrow(path)),
        COLUMN_OPTIONS,
        verbatim=_whole(columnar.read_arrow),
        table=lambda path, _: columnar.read_arrow(path),
        blocks=columnar.arrow_blocks,
        weight=columnar.arrow_weight,
    ),
)
