"""Examples given back, block by block, in the form that the name of the output asks for."""

from __future__ import annotations

import dataclasses
import io
import re
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TypeVar

import numpy as np
from numpy.lib import format as npy

from narrows.atomic import writing_folder
from narrows.data.frames import Form
from narrows.data.grid import Grid
from narrows.data.schema import Schema
from narrows.data.sink import Sink
from narrows.data.table_sinks import EXACT
from narrows.data.writers import TABLE_WRITERS, write_columns, write_table
from narrows.errors import InputError

_LONGEST = 240  # bytes of a name; file systems bear 255, and a number may follow
_UNFIT = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and what no encoding has
_CHANNELS = (1, 3, 4)  # grey, colour, colour with transparency


@contextmanager
def sink(output: Path, form: Form, schema: Schema) -> Iterator[Sink]:
    """Open a file or folder for examples; it is there when the block ends without an error, and not before.

    Images go into a folder of PNG files (a name without a suffix), a ``.zip`` of them, a single ``.png``, or, where
    they are of one size, an ``.npy`` array; rows into an ``.npy`` array or a table; all but tables in memory that does
    not grow with their number, names of images aside.

    Parameters
    ----------
    output : Path
        Its suffix chooses.
    form : Form
        In what form the examples came.
    schema : Schema
        Their grid, and the columns of a table.

    Raises
    ------
    InputError
        If the output cannot be written, or cannot hold such examples.
    """
    with _opened(_sink_for(output, form, schema), output, form, schema) as writer:
        yield writer


@contextmanager
def picture_sink(output: Path, kind: str) -> Iterator[PictureSink]:
    """Open a folder, a ``.zip`` or a ``.png`` file for encoded images; it is there when the block ends well.

    Parameters
    ----------
    output : Path
        Its suffix chooses.
    kind : {"folder", "zip", "image"}
        What held the images.

    Raises
    ------
    InputError
        If the suffix is another one, or the output cannot be written.
    """
    chosen = _of_suffix(output, _PICTURES)
    with _opened(chosen, output, Form(kind), Schema((1, 1, 1), 0.0, 255.0, 1.0, "hw")) as writer:
        yield writer


S = TypeVar("S", bound=Sink)


@contextmanager
def _opened(chosen: type[S], output: Path, form: Form, schema: Schema) -> Iterator[S]:
    with chosen.place(output) as path, ExitStack() as files:
        writer = chosen(path, form, schema, files)
        yield writer
        writer.finish()


class _Array(Sink):
    """An .npy file, whose header is written again at the end, with the number of examples."""

    def __init__(self, path: Path, form: Form, schema: Schema, files: ExitStack) -> None:
        super().__init__(path, form, schema, files)
        self._grid = Grid(schema)
        self._dtype = np.dtype(form.dtype)
        self._file = files.enter_context(path.open("wb"))
        self._shape: tuple[int, ...] | None = None
        self._rows = 0

    def add(self, values: np.ndarray, names: tuple[str, ...] | None = None, rest: bytes = b"") -> None:
        layout = self.form.layout or ("hw" if values.shape[1] == 1 else "hwc")
        kept = dataclasses.replace(self.schema, layout=layout).to_user(self._grid.values(values, self._dtype))
        if self._shape is None:
            self._write_header(kept.shape[1:])
        elif self._shape != kept.shape[1:]:
            raise InputError(
                f"the images are of different shapes, {self._shape} and {kept.shape[1:]}, which no array holds; give "
                f"the name of a folder (no suffix) or of a .zip file"
            )
        np.ascontiguousarray(kept).tofile(self._file)
        self._rows += len(kept)

    def finish(self) -> None:
        self._file.seek(0)
        self._write_header(self._shape or self.form.shape or self.schema.user_shape)

    def _write_header(self, shape: tuple[int, ...]) -> None:
        """NumPy leaves room in it for 21 digits of the number of rows, so that it keeps its length."""
        self._shape = shape
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._rows, *shape)}
        npy.write_array_header_1_0(self._file, header)


class PictureSink(Sink, ABC):
    """Images as PNG files."""

    def __init__(self, path: Path, form: Form, schema: Schema, files: ExitStack) -> None:
        super().__init__(path, form, schema, files)
        self._grid = Grid(schema)
        if not self._grid.of_bytes:
            raise InputError(f"{schema.describe()} are no PNG files, which hold 0 to 255; write an .npy file")

    def add(self, values: np.ndarray, names: tuple[str, ...] | None = None, rest: bytes = b"") -> None:
        """Encode images, and write them."""
        if values.shape[1] not in _CHANNELS:
            raise InputError(f"images of {values.shape[1]} channels are no PNG files, which have 1, 3 or 4; write .npy")
        pixels = np.moveaxis(self._grid.values(values, np.dtype(np.uint8)), 1, 3)
        for place, image in enumerate(pixels):
            self.put(encoded(image), None if names is None else names[place])

    @abstractmethod
    def put(self, png: bytes, name: str | None) -> None:
        """Write an encoded image, under the name that it had, if any."""


def encoded(image: np.ndarray) -> bytes:
    """A PNG file of an image (height, width, channels) or (height, width), of bytes, or grey of 16 bits."""
    from PIL import Image

    stream = io.BytesIO()
    grey = image.ndim == 3 and image.shape[2] == 1
    Image.fromarray(np.ascontiguousarray(image[:, :, 0] if grey else image)).save(stream, "PNG")
    return stream.getvalue()


class _Picture(PictureSink):
    """A single PNG file."""

    _full = False

    def put(self, png: bytes, name: str | None) -> None:
        if self._full:
            raise InputError(
                "there is more than one image, and a .png file holds one; give the name of a folder (no suffix) or of "
                "a .zip file"
            )
        self.path.write_bytes(png)
        self._full = True

    def finish(self) -> None:
        if not self._full:
            raise InputError("there is no image to write into a .png file; write an .npy file")


class _Named(PictureSink, ABC):
    """Many PNG files under the names that the images had, as far as names are fit for files and differ."""

    def __init__(self, path: Path, form: Form, schema: Schema, files: ExitStack) -> None:
        super().__init__(path, form, schema, files)
        self._count = self._converted = self._renamed = 0
        self._files: set[PurePosixPath] = set()
        self._folders: set[PurePosixPath] = set()

    def put(self, png: bytes, name: str | None) -> None:
        number = f"{self._count:06d}"
        fit = name is not None and _is_fit(name)
        given = PurePosixPath(name if name is not None and fit else f"{number}.png")
        wanted = given if given.suffix.lower() == ".png" else given.with_suffix(".png")
        chosen = wanted if self._files.isdisjoint(wanted.parents) else PurePosixPath(f"{number}.png")
        while chosen in self._files or chosen in self._folders:
            chosen = chosen.with_stem(f"{chosen.stem}-{number}")
        self._count += 1
        self._converted += wanted != given
        self._renamed += name is not None and not (fit and chosen == wanted)
        self._files.add(chosen)
        self._folders.update(chosen.parents)
        self.store(chosen, png)

    def finish(self) -> None:
        if self._converted:
            self.notes.append(
                f"{self._converted} of {self._count} images were of another format than PNG; they are PNG files now, "
                f"and their names end in .png"
            )
        if self._renamed:
            self.notes.append(
                f"{self._renamed} of {self._count} images have a number in their names now: another has the name that "
                f"they had, or it is not fit for a file"
            )

    @abstractmethod
    def store(self, name: PurePosixPath, png: bytes) -> None:
        """Write a file of a name that no other has."""


def _is_fit(name: str) -> bool:
    """Whether a name, which a forged file may bring, is one of a file in the folder on any system."""
    path, on_windows = PurePosixPath(name), PureWindowsPath(name)
    inside = not (path.root or on_windows.anchor or ".." in path.parts or ".." in on_windows.parts)
    writable = not _UNFIT.search(name) and all(len(part.encode()) <= _LONGEST for part in path.parts)
    return bool(path.name) and inside and writable


class _Folder(_Named):
    """A folder, and folders in it."""

    @staticmethod
    def place(path: Path) -> AbstractContextManager[Path]:
        return writing_folder(path)

    def store(self, name: PurePosixPath, png: bytes) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as stream:
            stream.write(png)


class _Zip(_Named):
    """A zip file, without a second compression and without the time of day: equal images make equal files."""

    def __init__(self, path: Path, form: Form, schema: Schema, files: ExitStack) -> None:
        super().__init__(path, form, schema, files)
        self._archive = files.enter_context(zipfile.ZipFile(path, "w"))

    def store(self, name: PurePosixPath, png: bytes) -> None:
        entry = zipfile.ZipInfo(str(name))
        entry.external_attr = 0o644 << 16
        self._archive.writestr(entry, png)


class _Table(Sink):
    """Rows, which are held until the end."""

    def __init__(self, path: Path, form: Form, schema: Schema, files: ExitStack) -> None:
        super().__init__(path, form, schema, files)
        self._blocks: list[np.ndarray] = []

    def add(self, values: np.ndarray, names: tuple[str, ...] | None = None, rest: bytes = b"") -> None:
        self._blocks.append(values)

    def finish(self) -> None:
        schema = self.schema
        values = np.concatenate(self._blocks) if self._blocks else np.empty((0, *schema.shape), np.uint8)
        if schema.columns is not None:
            write_table(values, schema, self.path)
        else:
            names = list(schema.names or [f"c{place}" for place in range(schema.size)])
            write_columns(Grid(schema).values(values, np.dtype(self.form.dtype)), names, self.path)


_ROWS: Mapping[str, type[Sink]] = dict.fromkeys(TABLE_WRITERS, _Table)
_PICTURES: Mapping[str, type[PictureSink]] = {".zip": _Zip, ".png": _Picture, "": _Folder}
_IMAGES: Mapping[str, type[Sink]] = {".npy": _Array, **_PICTURES}


def _sink_for(output: Path, form: Form, schema: Schema) -> type[Sink]:
    """What writes such a file of such examples."""
    rows: Mapping[str, type[Sink]] = _ROWS if schema.columns is not None else {".npy": _Array, **_ROWS}
    allowed = _IMAGES if schema.is_image else rows if form.columns is None else EXACT
    return _of_suffix(output, allowed)


def _of_suffix(output: Path, allowed: Mapping[str, type[S]]) -> type[S]:
    """What writes files of such a name."""
    suffix = output.suffix.lower()
    if suffix not in allowed:
        spoken = [suffix or "no suffix, for a folder of images" for suffix in allowed]
        raise InputError(
            f"{output.name} has the suffix {suffix or '(none)'}; this output is written as {' or '.join(spoken)}"
        )
    return allowed[suffix]
