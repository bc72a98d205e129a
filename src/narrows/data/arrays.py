"""NumPy files: .npy, and .npz with the choice of the array in it. Nothing is ever unpickled."""

from __future__ import annotations

import contextlib
import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from narrows.data import filed
from narrows.data.columns import Raw
from narrows.data.filed import Filed, Piece
from narrows.data.limits import refuse_bomb
from narrows.data.schema import shape_and_layout
from narrows.data.shards import files_in, good
from narrows.data.stored import Stored
from narrows.data.wording import brief, listed, nearest, short
from narrows.errors import InputError

_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    SyntaxError,
    TypeError,
    tokenize.TokenError,
    RuntimeError,
    NotImplementedError,
)
_BROKEN_ZIP = (*_BROKEN, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
_EXAMPLES = ("x", "data", "images", "features")
_LABELS = ("y", "labels", "label", "targets", "target")


def read_npy(path: Path) -> np.ndarray:
    """Read a ``.npy`` file.

    Raises
    ------
    InputError
        If the file is no NumPy file, holds Python objects, or is shorter than it declares.
    """
    with _refusing(path), path.open("rb") as stream:
        return _array(stream, path.stat().st_size, str(path))


def open_npy(path: Path) -> Stored:
    """Open a ``.npy`` file to read it in blocks, of either order.

    Raises
    ------
    InputError
        As `read_npy`.
    """
    with _refusing(path), path.open("rb") as stream:
        shape, fortran, dtype = _declared(stream, path.stat().st_size, str(path))
        offset = stream.tell()

    def rows(at_once: int) -> Iterator[np.ndarray]:
        for start in range(0, shape[0], at_once):
            with _refusing(path):
                # Mapped anew for each block, so that no more of the file than that takes up memory. Where the first
                # axis runs fastest, a block is all over the file, whose pages are then the system's to take back.
                mapped = np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")
                block = np.array(mapped[start : start + at_once], dtype.newbyteorder("="), order="C")
            yield block

    return Stored(shape, dtype, rows)


def filed_npy(path: Path) -> Filed | None:
    """Find the rows of a large ``.npy`` file, to be read as they are needed; None where the whole of it is to be read.

    So it is where the file is small, or holds anything but rows or images of floats or bytes, one after the other.

    Raises
    ------
    InputError
        As `read_npy`.
    """
    return _filed(path) if path.stat().st_size >= filed.SMALLEST_BYTES else None


def filed_shards(folder: Path, *, skip: bool) -> Filed | None:
    """Find the rows of a folder of ``.npy`` files, large together, as `filed_npy` does those of one.

    Raises
    ------
    InputError
        As `read_npy`, unless such shards are to be skipped; `Filed.notes` then names them.
    """
    files = files_in(folder, (".npy",))
    if not files or sum(path.stat().st_size for path in files) < filed.SMALLEST_BYTES:
        return None
    found, notes = good(files, _filed, skip=skip)
    return Filed.joined(found, notes)


def _filed(path: Path) -> Filed | None:
    size = path.stat().st_size
    with _refusing(path), path.open("rb") as stream:
        shape, fortran, dtype = _declared(stream, size, str(path))
        plain = dtype.isnative and (dtype.kind == "f" or dtype == np.uint8) and dtype.itemsize <= 8
        if len(shape) < 2 or 0 in shape or fortran or not plain:
            return None
        shape_and_layout(shape[1:])
        return Filed((Piece(path, stream.tell(), shape[0]),), shape[1:], dtype)


@contextlib.contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn what NumPy raises at damaged files into one sentence."""
    try:
        yield
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(
            f"{short(str(path))} cannot be read as a NumPy file ({brief(error)}); write it with numpy.save"
        ) from error


def read_npz(path: Path, key: str | None, label: str | None, split: str) -> Raw:
    """Read one array, and its labels where they are plain to see, out of a ``.npz`` file.

    Parameters
    ----------
    path : Path
        The file.
    key : str, optional
        Name of the array. Without it the only array of two or more dimensions is taken, or the one with a
        usual name (``x``, ``X``, ``x_train``, ``data``, ``images`` ...).
    label : str, optional
        Name of the array of labels. Without it, the one whose name goes with that of the examples (``y`` with
        ``x``, ``y_test`` with ``x_test`` ...), if it is as long.
    split : {"train", "test"}
        Which of ``x_train`` and ``x_test`` to take where there are both.

    Raises
    ------
    InputError
        If the file is no ``.npz`` file, holds Python objects, or it is open which array is meant.
    """
    name = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_bomb(sum(entry.file_size for entry in archive.infolist()), path.stat().st_size, name)
            shapes = {key: _shape(archive, key) for key in _keys(archive)}
            chosen = _chosen(shapes, key, split, name)
            labelled = _labels_of(shapes, chosen, label, name)
            values = _member(archive, chosen, name)
            return Raw(values, labels=None if labelled is None else _member(archive, labelled, name))
    except InputError:
        raise
    except _BROKEN_ZIP as error:
        raise InputError(
            f"{short(name)} cannot be read as an .npz file ({brief(error)}); write it with numpy.savez"
        ) from error


def _keys(archive: zipfile.ZipFile) -> list[str]:
    return [entry.filename[:-4] for entry in archive.infolist() if entry.filename.endswith(".npy")]


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether the first axis runs fastest, and type; the stream then stands at the cells."""
    version = npy.read_magic(stream)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise InputError(
            f"{short(name)} is of NumPy format {version}, which is for structured arrays; "
            f"give an array of plain numbers"
        )
    return read(stream)


def _declared(stream: IO[bytes], size: int, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """What a NumPy file of so many bytes declares, if it holds it and that is plain numbers."""
    shape, fortran, dtype = _header(stream, name)
    if dtype.hasobject:
        raise InputError(
            f"{short(name)} holds pickled Python objects, which are never loaded; save an array of plain numbers"
        )
    declared = math.prod(shape) * dtype.itemsize
    # NumPy takes the memory first and looks at the file after.
    if min(shape, default=0) < 0 or declared > size - stream.tell():
        raise InputError(
            f"{short(name)} declares {declared} bytes of cells of shape {shape}, which it does not hold; "
            f"write or fetch it again"
        )
    return shape, fortran, dtype


def _array(stream: IO[bytes], size: int, name: str) -> np.ndarray:
    dtype = _declared(stream, size, name)[2]
    stream.seek(0)
    array: np.ndarray = npy.read_array(stream, allow_pickle=False)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _shape(archive: zipfile.ZipFile, key: str) -> tuple[int, ...]:
    """Declared shape of one array; () where it is of no use, so that it spoils none of its neighbours."""
    with archive.open(f"{key}.npy") as stream:
        try:
            shape, _, dtype = _header(stream, key)
        except InputError:
            return ()
    return () if dtype.hasobject else shape


def _member(archive: zipfile.ZipFile, key: str, name: str) -> np.ndarray:
    entry = archive.getinfo(f"{key}.npy")
    with archive.open(entry) as stream:
        return _array(stream, entry.file_size, f"{name}:{key}")


def _chosen(shapes: dict[str, tuple[int, ...]], key: str | None, split: str, name: str) -> str:
    """The key of the examples."""
    if key is not None:
        if key not in shapes:
            raise InputError(
                f"{short(name)} has no array {short(key)}; its arrays are {listed(shapes)}{nearest(key, shapes)}"
            )
        return key
    usual = {spelling for stem in _EXAMPLES for spelling in (f"{stem}_{split}", f"{split}_{stem}")}
    for names in (usual, set(_EXAMPLES) if split == "train" else set()):
        named = [key for key in shapes if key.lower() in names]
        if len(named) == 1:
            return named[0]
    if split != "train":
        raise InputError(
            f"{short(name)} has no array for the split {short(split)}; its arrays are {listed(shapes)}: give a key"
        )
    plain = [key for key, shape in shapes.items() if len(shape) >= 2]
    if len(plain) == 1:
        return plain[0]
    raise InputError(
        f"{short(name)} holds the arrays {listed(shapes)} and it is open which of them the examples are; "
        f"give its key, as in {short(f'{name}:KEY')}"
    )


def _labels_of(shapes: dict[str, tuple[int, ...]], chosen: str, label: str | None, name: str) -> str | None:
    """The key of the labels, if one is named or obvious."""
    if label is not None:
        return _chosen(shapes, label, "train", name)
    lowered = chosen.lower()
    stem = next((stem for stem in _EXAMPLES if stem in lowered.split("_")), None)
    if stem is None:
        return None
    parts = lowered.split("_")
    expected = {"_".join(name if part == stem else part for part in parts) for name in _LABELS}
    rows = shapes[chosen][:1]
    fitting = [key for key, shape in shapes.items() if key.lower() in expected and shape in (rows, (*rows, 1))]
    return fitting[0] if len(fitting) == 1 else None
