"""Data that no file holds as rows one after the other, written so once: training then reads blocks of them.

Two passes are made: one that finds what the data are, and one that writes each row in its stored type. The file is a
temporary one, whose name is gone as soon as all who read it have opened it, so that nothing is left however a training
ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from narrows.data import filed
from narrows.data.dataset import Dataset, from_array, from_raw
from narrows.data.filed import Filed, Piece
from narrows.data.formats import in_columns
from narrows.data.images import Pictures
from narrows.data.kinds import TELLS_APART, notes_of
from narrows.data.parts import CELLS, arrays_of, no_rows, parts
from narrows.data.request import Request
from narrows.data.schema import Schema
from narrows.data.shards import fitting_arrays, fitting_tables, good
from narrows.data.sources import Located, located
from narrows.data.stored import Stored
from narrows.data.telling import TellingExamples, TellingRows
from narrows.data.wording import brief, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

OVERLAP = 4  # squares that a pixel is in
DISK_FOLDER = Path("/var/tmp")  # by custom on a disk, where the usual folder may be in memory


@dataclass(frozen=True)
class Unpacked:
    """Rows in a temporary file.

    Parameters
    ----------
    path : Path
        The file.
    rows : int
        How many there are.
    schema : Schema
        What they are.
    dtype : dtype
        Of their cells.
    labels : Path or None
        An .npy file with the label of each, where they were asked for.
    notes : tuple of str
        What was left out, and why.
    """

    path: Path
    rows: int
    schema: Schema
    dtype: np.dtype
    labels: Path | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, by which another process on this machine finds the rows."""
        labels = None if self.labels is None else str(self.labels)
        record = {"path": str(self.path), "rows": self.rows, "dtype": self.dtype.str, "labels": labels}
        return {**record, "schema": self.schema.to_json(), "notes": self.notes}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        labels = record["labels"] and Path(record["labels"])
        schema, dtype = Schema.from_json(record["schema"]), np.dtype(record["dtype"])
        return cls(Path(record["path"]), record["rows"], schema, dtype, labels, tuple(record["notes"]))

    def opened(self) -> Filed:
        """The rows, which from here on can be read whether the file has a name or not."""
        piece = Piece(self.path, 0, self.rows, self.path.open("rb"))
        return Filed((piece,), self.schema.shape, self.dtype, self.notes, self.schema)

    def read_labels(self) -> np.ndarray | None:
        """The label of each row; None where they were not asked for."""
        return None if self.labels is None else np.load(self.labels, allow_pickle=False)

    def forget(self) -> None:
        """Take the files' names away: what is still open can be read until it is closed."""
        for path in (self.path, self.labels):
            if path is not None:
                path.unlink(missing_ok=True)


def is_large(data: str, request: Request) -> bool:
    """Whether data would take half a GiB of memory or more, and can be read part by part.

    Raises
    ------
    InputError
        If there is no such source, or it is damaged and not to be skipped.
    """
    files = dict(_files(data, request))
    if data in files:
        return _weight(files[data], request) >= filed.SMALLEST_BYTES
    weights, _ = good(map(Path, files), lambda path: _weight(files[str(path)], request), skip=request.skip)
    return sum(weights) >= filed.SMALLEST_BYTES


def unpack(
    data: str, request: Request, kind: str | None = None, labelled: Callable[[Schema], bool] = lambda schema: False
) -> Unpacked:
    """Write the rows of data one after the other into a temporary file.

    Parameters
    ----------
    data : str
        A Parquet or Arrow file, an array in a .npy or an IDX file, images, or a folder of such tables or arrays.
    request : Request
        How to read them, without a schema.
    kind : str, optional
        Kind of the values, where it is not what they suggest.
    labelled : callable
        Whether labels are wanted, where the request names them; they are held in memory meanwhile.

    Raises
    ------
    InputError
        If the data are damaged or cannot be used, or there is no room for the rows.
    """
    learnt = _learnt(data, request, kind)
    schema, dtype = learnt.dataset.schema, learnt.dataset.values.dtype
    asked = dataclasses.replace(request, schema=schema, kinds={}, skip=False)
    keeps_labels = request.label is not None and labelled(schema)
    folder = _folder_with_room(learnt.rows * schema.size * dtype.itemsize, data)
    rows, labels = 0, list[np.ndarray]()
    with _temporary(folder, ".rows") as stream:
        for dataset in (dataset for file in learnt.files for _, dataset in parts(file, asked)):
            stream.write(np.ascontiguousarray(dataset.values, dtype).data)
            rows += len(dataset)
            if keeps_labels and dataset.labels is not None:
                labels.append(dataset.labels)
        named = _written_labels(labels, folder) if labels else None
    return Unpacked(Path(stream.name), rows, schema, dtype, named, learnt.dataset.notes)


@dataclass(frozen=True)
class _Learnt:
    """What a first pass found: what the rows are, told by some of them; how many there are, and in which files."""

    dataset: Dataset
    rows: int
    files: Sequence[str]


def _files(data: str, request: Request) -> list[tuple[str, Located]]:
    """The files that data are in, each as it is found."""
    found = located(data, request)
    if not found.shards:
        return [(data, found)]
    single = dataclasses.replace(request, skip=False)
    return [(str(path), located(str(path), single)) for path in found.shards]


def _weight(found: Located, request: Request) -> int:
    """Bytes that what was found takes in memory, about; 0 of what can only be read whole."""
    if found.weight is not None:
        return found.weight()
    source = found.open() if found.open is not None else None
    if isinstance(source, Stored):
        return math.prod(source.shape) * source.dtype.itemsize
    if isinstance(source, Pictures) and len(source) > 1:
        first = next(iter(source))[1].nbytes
        return len(source) * first * (1 if request.tile is None else OVERLAP)
    return 0


@dataclass(frozen=True)
class _Way:
    """How a first pass goes: what takes blocks in, how a file is cut into such, and what they tell in the end."""

    telling: Callable[[str], Any]
    fitting: Callable[[], Callable[[Any, Path], Any]]
    blocks: Callable[[Located, Request], Iterator[Any]]
    told: Callable[[Any, str, Request, str | None], Dataset]


def _learnt(data: str, request: Request, kind: str | None) -> _Learnt:
    """Make the first pass."""
    files = dict(_files(data, request))
    way = _TABLES if all(found.blocks is not None for found in files.values()) else _ARRAYS
    telling, fits = way.telling(short(data)), way.fitting()

    def look(path: Path | str) -> str:
        own = way.telling(short(str(path)))
        for block in way.blocks(files[str(path)], request):
            own.see(fits(block, Path(path)))
        telling.see_those_of(own)
        return str(path)

    several = data not in files
    kept, notes = good(map(Path, files), look, skip=request.skip) if several else ([look(data)], ())
    if not telling.rows:
        raise no_rows(short(data))
    told = way.told(telling, data, request, kind)
    return _Learnt(dataclasses.replace(told, notes=(*notes, *told.notes)), telling.rows, kept)


def _tables_of(found: Located, _: Request) -> Iterator[pa.Table]:
    """A table in blocks whose cells are as many as those of a part."""
    assert found.blocks is not None
    columns = next((table.num_columns for table in found.blocks(1)), 1)
    return found.blocks(max(1, CELLS // columns))


def _arrays_of(found: Located, request: Request) -> Iterator[np.ndarray]:
    """Examples of an array or of images in blocks whose cells are as many as those of a part."""
    assert found.open is not None
    source = found.open()
    cells = math.prod(source.shape[1:]) if isinstance(source, Stored) else 1
    return arrays_of(source, request.tile, max(1, CELLS // max(1, cells)))


def _told_by_rows(telling: TellingRows, data: str, request: Request, kind: str | None) -> Dataset:
    """Rows of a table as if they were all; only of all can be told which columns number them."""
    raw = in_columns(telling.table(), request, short(data))
    numbering = [name for name in telling.numbering() if name in (raw.names or ()) and name not in request.kinds]
    if raw.columns is None or not numbering:
        return from_raw(raw, kind=kind, source=data, schema=None)
    request = dataclasses.replace(request, ignore=(*request.ignore, *numbering))
    raw = in_columns(telling.table(), request, short(data))
    notes = (*raw.notes, *notes_of(dict.fromkeys(numbering, TELLS_APART)))
    return from_raw(dataclasses.replace(raw, notes=notes), kind=kind, source=data, schema=None)


def _told_by_examples(telling: TellingExamples, data: str, _: Request, kind: str | None) -> Dataset:
    """Examples as if they were all."""
    return from_array(telling.examples(), kind=kind, source=data)


_TABLES = _Way(lambda _: TellingRows(), fitting_tables, _tables_of, _told_by_rows)
_ARRAYS = _Way(TellingExamples, fitting_arrays, _arrays_of, _told_by_examples)


def _folder_with_room(wanted: int, data: str) -> Path:
    """The folder for temporary files: that of TMPDIR, else one that is on a disk by custom."""
    said = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    on_disk = not said and DISK_FOLDER.is_dir() and os.access(DISK_FOLDER, os.W_OK)
    folder = DISK_FOLDER if on_disk else Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise InputError(
            f"the rows of {short(data)} are too many for memory and take {wanted / 2**30:.1f} GiB on a disk, and "
            f"{folder} has room for {free / 2**30:.1f}; make room, or name a folder with more of it in TMPDIR"
        )
    return folder


@contextlib.contextmanager
def _temporary(folder: Path, suffix: str) -> Iterator[IO[bytes]]:
    """A new file that stays if the block ends without an error."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix="narrows-", suffix=suffix, delete=False) as stream:
        try:
            yield stream
            stream.flush()
        except BaseException as error:
            Path(stream.name).unlink()
            if isinstance(error, OSError):
                raise InputError(f"{stream.name} cannot be written ({brief(error)}); make room there") from error
            raise


def _written_labels(labels: list[np.ndarray], folder: Path) -> Path:
    with _temporary(folder, ".npy") as stream:
        np.save(stream, np.concatenate(labels), allow_pickle=False)
    return Path(stream.name)
