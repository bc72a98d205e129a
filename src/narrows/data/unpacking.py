"""Data that no file holds as rows one after the other, written so once: training then reads blocks of them.

Two passes are made: one that finds what the data are, and one that writes each row in its stored type. The file is a
temporary one without a name, so that nothing is left however a training ends.
"""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from narrows.data.filed import Filed, Piece
from narrows.data.first_pass import Learnt, learn
from narrows.data.parts import parts
from narrows.data.request import Request
from narrows.data.schema import Schema
from narrows.data.wording import brief, short
from narrows.errors import InputError

OPEN_FILES = "/proc/{}/fd"  # of a process, where the system shows them
DISK_FOLDER = Path("/var/tmp")  # by custom on a disk, where the usual folder may be in memory


@dataclass(frozen=True)
class Unpacked:
    """Rows in a temporary file.

    Parameters
    ----------
    file : binary file
        Which holds them, open.
    rows : int
        How many there are.
    schema : Schema
        What they are.
    dtype : dtype
        Of their cells.
    labels : binary file or None
        That of an .npy array with the label of each, where they were asked for.
    notes : tuple of str
        What was left out, and why.
    """

    file: IO[bytes]
    rows: int
    schema: Schema
    dtype: np.dtype
    labels: IO[bytes] | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values, by which another process on this machine finds the rows, as long as this one lives."""
        files = {"file": self.file, "labels": self.labels}
        paths = {name: file and f"{OPEN_FILES.format(os.getpid())}/{file.fileno()}" for name, file in files.items()}
        described = {"rows": self.rows, "dtype": self.dtype.str, "schema": self.schema.to_json(), "notes": self.notes}
        return {**paths, **described}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Open what `to_json` tells of."""
        file, labels = (record[name] and _opened(record[name]) for name in ("file", "labels"))
        schema, dtype = Schema.from_json(record["schema"]), np.dtype(record["dtype"])
        return cls(file, record["rows"], schema, dtype, labels, tuple(record["notes"]))

    def filed(self) -> Filed:
        """The rows."""
        piece = Piece(Path("the temporary file of the rows"), 0, self.rows, self.file)
        return Filed((piece,), self.schema.shape, self.dtype, self.notes, self.schema)

    def read_labels(self) -> np.ndarray | None:
        """The label of each row; None where they were not asked for."""
        if self.labels is None:
            return None
        self.labels.seek(0)
        return np.load(self.labels, allow_pickle=False)


def _opened(path: str) -> IO[bytes]:
    return Path(path).open("rb", buffering=0)  # as long as rows are read


def can_share() -> bool:
    """Whether another process on this machine can open a file that has no name."""
    return Path(OPEN_FILES.format(os.getpid())).is_dir()


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
    learnt = learn(data, request, kind)
    keeps_labels = labelled(learnt.schema) and request.label is not None
    asked = dataclasses.replace(request, schema=learnt.schema, kinds={}, skip=False)
    folder = _folder_with_room(learnt.rows * learnt.schema.size * learnt.dtype.itemsize, data)
    rows, labels = 0, list[np.ndarray]()
    file = _temporary(folder)
    for dataset in (dataset for source in learnt.files for _, dataset in parts(source, asked)):
        _write(file, _as_stored(dataset.values, learnt))
        rows += len(dataset)
        if keeps_labels and dataset.labels is not None:
            labels.append(dataset.labels)
    return Unpacked(file, rows, learnt.schema, learnt.dtype, _written_labels(labels, folder), learnt.notes)


def _as_stored(values: np.ndarray, learnt: Learnt) -> np.ndarray:
    """Rows in the type that all have, columns that need no more than float32 rounded to it."""
    rows = np.array(values, learnt.dtype, order="C")
    if learnt.single is not None:
        rows[:, learnt.single] = rows[:, learnt.single].astype(np.float32)
    return rows


def _folder_with_room(wanted: int, data: str) -> Path:
    """The folder for temporary files: that of TMPDIR, else one that is on a disk by custom."""
    said = os.environ.get("TMPDIR")
    folder = Path(said) if said else DISK_FOLDER if DISK_FOLDER.is_dir() else Path(tempfile.gettempdir())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise InputError(f"{folder}, where temporary files go, is no folder that may be written to; name one in TMPDIR")
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise InputError(
            f"the rows of {short(data)} are too many for memory and take {wanted / 2**30:.1f} GiB on a disk, and "
            f"{folder} has room for {free / 2**30:.1f}; make room, or name a folder with more of it in TMPDIR"
        )
    return folder


def _temporary(folder: Path) -> IO[bytes]:
    """A new file that goes with the process: it has no name."""
    return tempfile.TemporaryFile(dir=folder, prefix="narrows-", buffering=0)


def _write(file: IO[bytes], rows: np.ndarray) -> None:
    """Write the bytes of rows.

    Raises
    ------
    InputError
        If there is no room.
    """
    left = memoryview(rows.tobytes())
    try:
        while left:
            left = left[file.write(left) :]
    except OSError as error:
        raise InputError(f"the temporary file for the rows cannot be written ({brief(error)}); make room") from error


def _written_labels(labels: list[np.ndarray], folder: Path) -> IO[bytes] | None:
    if not labels:
        return None
    written = io.BytesIO()
    np.save(written, np.concatenate(labels), allow_pickle=False)
    file = _temporary(folder)
    _write(file, np.frombuffer(written.getbuffer(), np.uint8))
    return file
