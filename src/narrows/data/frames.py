"""Examples as a codec wants them: indices on the grid of a model, in blocks, however many there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np

from narrows.data import exact
from narrows.data.columns import Raw
from narrows.data.dataset import from_array, from_raw, refuse_no_examples
from narrows.data.grid import Grid
from narrows.data.images import Pictures
from narrows.data.matrices import numeric
from narrows.data.request import Request
from narrows.data.schema import Layout, Schema, shape_and_layout
from narrows.data.sources import located
from narrows.data.stored import Stored
from narrows.data.verbatim import Verbatim
from narrows.data.wording import short
from narrows.errors import InputError

CELLS = 2**22  # of a block: its bytes
_LAYOUTS = ("vector", "hw", "hwc", "chw")
_BYTES = Schema((1, 1, 1), 0.0, 255.0, 1.0, "hw")


@dataclass(frozen=True)
class Block:
    """Consecutive examples of one shape.

    Parameters
    ----------
    values : array, shape (n, *shape)
        uint8: indices of the cells' values on the grid, channels first. Of a mixed table: raw rows, floats, as
        `narrows.data.schema.Column` has them.
    names : tuple of str or None
        Of images: their names in the folder or the zip file.
    rest : bytes
        Of a table in symbols: what they leave open of its cells.
    """

    values: np.ndarray
    names: tuple[str, ...] | None = None
    rest: bytes = b""


@dataclass(frozen=True)
class Form:
    """In what form the examples came: with the schema, all that is needed to give them back so.

    Parameters
    ----------
    kind : {"array", "folder", "zip", "image", "table"}
        What held them.
    dtype : str
        Type of the cells of an array, as NumPy writes it.
    shape : tuple of int or None
        Of one example in an array; None where each has its own, or it goes without saying.
    layout : {"vector", "hw", "hwc", "chw"} or None
        How an array holds one example; None where the number of channels says it: (height, width) for one.
    columns : tuple of Written or None
        Of a table in symbols: how each column was written.
    header : bool
        Whether the names of such columns stood in the file.
    """

    kind: str
    dtype: str = "|u1"
    shape: tuple[int, ...] | None = None
    layout: Layout | None = None
    columns: tuple[exact.Written, ...] | None = None
    header: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a file's header."""
        record = dataclasses.asdict(self)
        if self.columns is None:
            del record["columns"], record["header"]
            return record
        return {**record, "columns": exact.to_json(self.columns)}

    @classmethod
    def from_json(cls, record: object) -> Self:
        """The inverse of `to_json`.

        Raises
        ------
        InputError
            If it is no such record, as in a forged file.
        """
        try:
            form = cls(**record)  # type: ignore[arg-type]
            told: Any = form.columns
            columns = None if told is None else exact.from_json(told)
            form = dataclasses.replace(form, shape=None if form.shape is None else tuple(form.shape), columns=columns)
            known = form.kind in _KINDS and form.layout in (None, *_LAYOUTS)
            number = isinstance(form.dtype, str) and np.dtype(form.dtype).kind in "biuf"
            number = number and type(form.header) is bool
            sound = known and number and all(isinstance(side, int) and side > 0 for side in form.shape or ())
        except (TypeError, ValueError, KeyError) as error:
            raise InputError("the file says in no known way what form its data had; fetch it again") from error
        if not sound:
            raise InputError(
                f"the file says of its data that they were {short(form)}, which is no form; fetch it again"
            )
        return form


@dataclass(frozen=True)
class Frames:
    """Examples that are read block by block, each time that one iterates.

    Parameters
    ----------
    schema : Schema
        Their grid; their shape, unless it is the model's and the images are of another size.
    form : Form
        In what form they came.
    total : int
        How many there are.
    notes : tuple of str
        What was left out, and why.
    blocks : callable
        Gives all blocks, from the first.
    """

    schema: Schema
    form: Form
    total: int
    notes: tuple[str, ...]
    blocks: Callable[[], Iterator[Block]]

    def __len__(self) -> int:
        """How many examples there are."""
        return self.total

    def __iter__(self) -> Iterator[Block]:
        """Read all blocks, from the first; raises `InputError` at the first example that is damaged or off the grid."""
        return self.blocks()


def open_frames(data: str, request: Request = Request(), cells: int = CELLS) -> Frames:  # noqa: B008  frozen
    """Open data to read them in blocks, in memory that does not grow with their number.

    Arrays in .npy files, in either order, IDX files, folders and zip files of images are read in parts; of these,
    images may be of different sizes and modes, and each run of equal ones is cut into blocks. All else is read whole.

    Parameters
    ----------
    data : str
        As `narrows.data.read` takes it: a named set, a file, a folder of images.
    request : Request
        How to read them. Its schema is that of a trained model, on whose grid the cells must lie; images may be of
        another size and number of channels than its. Without one, bytes are the levels 0 to 255.
    cells : int
        Most cells of a block; a single example may have more.

    Raises
    ------
    InputError
        If there is no such source, it is damaged, does not fit the schema, or has more levels than 256.
    """
    try:
        found = located(data, request)
        source = next(read for read in (found.verbatim, found.open, found.read) if read)()
        if isinstance(source, Verbatim):
            return _of_table(source, request, data, cells)
        schema = request.schema or found.schema
        return _FACES[type(source)](source, schema, data, cells)
    except MemoryError as error:
        raise InputError(f"{short(data)} does not fit into memory; give a part of it, or free memory") from error


def _of_array(stored: Stored, schema: Schema | None, data: str, cells: int, notes: tuple[str, ...] = ()) -> Frames:
    what, shape = short(data), stored.shape[1:]
    if not (stored.shape[:1] == (0,) and shape and 0 not in shape):  # no examples are as good as any number here
        refuse_no_examples(stored.shape, what)
    schema = schema or _suggested(stored, data)
    seen, grid = _as_kept(schema, shape, what), Grid(schema)

    def blocks() -> Iterator[Block]:
        first = 0
        for rows in stored.rows(max(1, cells // seen.size)):
            yield Block(grid.indices(seen.from_user(numeric(rows, what)), first))
            first += len(rows)

    return Frames(schema, Form("array", stored.dtype.str, shape, seen.layout), stored.shape[0], notes, blocks)


def _suggested(stored: Stored, data: str) -> Schema:
    """The schema that an array suggests by itself: of bytes by their type, else by all of its values."""
    if stored.dtype == np.uint8:
        shape, layout = shape_and_layout(stored.shape[1:])
        return dataclasses.replace(_BYTES, shape=shape, layout=layout)
    blocks = stored.rows(max(1, stored.shape[0]))
    return from_array(next(blocks, np.empty(stored.shape)), source=data).schema


def _as_kept(schema: Schema, shape: tuple[int, ...], what: str) -> Schema:
    """A schema of the same grid for arrays of examples of this shape, the user's."""
    if shape == schema.user_shape:
        return schema
    try:
        found, layout = shape_and_layout(shape)
        if not (schema.is_image and len(found) == 3):
            schema.from_user(np.empty((0, *shape)))
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    return dataclasses.replace(schema, shape=found, layout=layout)


def _of_pictures(pictures: Pictures, schema: Schema | None, data: str, cells: int) -> Frames:
    if schema is None:
        first = next(iter(pictures))[1]
        shape, layout = shape_and_layout(first.shape)
        schema = dataclasses.replace(_BYTES, shape=shape, layout=layout)
    images = partial(_indexed, pictures, schema, Grid(schema))
    return Frames(schema, Form(pictures.kind), len(pictures), (), lambda: _grouped(images(), cells))


def _indexed(pictures: Pictures, schema: Schema, grid: Grid) -> Iterator[tuple[str, np.ndarray]]:
    """Each image with its name, as indices (channels, height, width)."""
    for name, image in pictures:
        if image.dtype != np.uint8:
            raise InputError(
                f"the image {short(name)} is 16-bit grey, and only 8 bits fit into a byte; save it with 8 bits, or "
                f"leave it out"
            )
        if not schema.is_image:
            schema.from_user(image[None])  # which refuses it
        try:
            yield name, grid.indices(np.moveaxis(np.atleast_3d(image), 2, 0)[None])[0]
        except InputError as error:
            raise InputError(f"the image {short(name)}: {error}") from error


def _grouped(images: Iterable[tuple[str, np.ndarray]], cells: int) -> Iterator[Block]:
    """Runs of images of one shape, up to so many cells."""
    names: list[str] = []
    run: list[np.ndarray] = []
    for name, image in images:
        if run and (image.shape != run[0].shape or (len(run) + 1) * image.size > cells):
            yield Block(np.stack(run), tuple(names))
            names, run = [], []
        names.append(name)
        run.append(image)
    if run:
        yield Block(np.stack(run), tuple(names))


def _of_raw(found: Raw, schema: Schema | None, data: str, cells: int) -> Frames:
    """What was read whole: an array, or rows of a table."""
    notes = found.notes if found.labels is None else (*found.notes, f"the labels of {short(data)} were left out")
    if found.names is None and found.columns is None:
        return _of_array(Stored.of(found.values), schema, data, cells, notes)
    rows = from_raw(found, kind=None, schema=schema, source=data)
    values, dtype = rows.values, rows.values.dtype.str
    if rows.schema.columns is None:
        grid = Grid(rows.schema)
        values, dtype = grid.indices(values), "<i8" if grid.whole else "<f8"
    at_once = max(1, cells // rows.schema.size)
    return Frames(
        rows.schema, Form("table", dtype), len(rows), notes, lambda: map(Block, Stored.of(values).rows(at_once))
    )


def _of_table(source: Verbatim, request: Request, data: str, cells: int) -> Frames:
    """A table in the symbols of a model's columns."""
    schema = request.schema
    assert schema is not None  # or there were no symbols
    table = exact.Exact.of(source, schema, request.left_out, short(data))
    form = Form("table", columns=table.columns, header=table.header)
    notes = tuple(f"column {short(name)} of {short(data)} was left out" for name in request.left_out)
    rows = max(1, cells // schema.size)
    return Frames(
        schema.plain,
        form,
        table.total,
        notes,
        lambda: (Block(symbols, rest=rest) for symbols, rest in table.blocks(rows)),
    )


_KINDS = ("array", "folder", "zip", "image", "table")
_FACES: Mapping[type, Callable[[Any, Schema | None, str, int], Frames]] = {
    Stored: _of_array,
    Pictures: _of_pictures,
    Raw: _of_raw,
}
