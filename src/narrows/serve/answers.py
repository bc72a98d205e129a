"""What a verb answers: a table, or pictures; each as JSON, lines of JSON, Arrow or PNG."""

from __future__ import annotations

import dataclasses
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from narrows.data.sinks import encoded
from narrows.errors import InputError

JSON = "application/json"
LINES = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
PNG = "image/png"
EXAMPLE = "example"  # column of an Arrow table, and key of a line, for an image


class Answer(ABC):
    """Something for each row, or each example made."""

    @abstractmethod
    def __len__(self) -> int:
        """How many rows there are."""

    def spelled(self) -> Answer:
        """Return the same, made ready to be cut into many."""
        return self

    @abstractmethod
    def cut(self, start: int, end: int) -> Answer:
        """Return the answer for some of the rows."""

    @abstractmethod
    def plain(self) -> list[Any]:
        """Return one JSON value a row."""

    @abstractmethod
    def table(self) -> pa.Table:
        """Return one line a row, as Arrow has it."""

    @abstractmethod
    def picture(self) -> bytes:
        """Return a PNG file; raises `InputError` where there is no single image."""

    def lines(self) -> bytes:
        """Return one line of JSON a row; an image stands under ``example``."""
        rows = ({EXAMPLE: row} if not isinstance(row, dict) else row for row in self.plain())
        return b"".join(told(row) + b"\n" for row in rows)

    def written(self, media: str, single: bool) -> bytes:
        """Return the answer in one of the formats; as JSON without brackets where one row was given by itself."""
        if media == PNG:
            return self.picture()
        if media == ARROW:
            return in_arrow(self.table())
        if media == LINES:
            return self.lines()
        rows = self.plain()
        return told(rows[0] if single else rows)


@dataclass(frozen=True)
class Columns(Answer):
    """A table with a line for each row."""

    columns: pa.Table
    objects: list[Any] | None = None  # the same, an object a row

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self.columns.num_rows)

    def spelled(self) -> Columns:
        """Return the same with its objects, which cost less for all rows at once."""
        return Columns(self.columns, self.plain())

    def cut(self, start: int, end: int) -> Columns:
        """Return the answer for some of the rows."""
        some = None if self.objects is None else self.objects[start:end]
        return Columns(self.columns.slice(start, end - start), some)

    def plain(self) -> list[Any]:
        """Return an object a row."""
        found: list[Any] = self.columns.to_pylist() if self.objects is None else self.objects
        return found

    def table(self) -> pa.Table:
        """Return the table."""
        return self.columns

    def picture(self) -> bytes:
        """Refuse."""
        raise InputError(f"the answer is a table, and no image; accept {JSON}, {LINES} or {ARROW}")


@dataclass(frozen=True)
class Pictures(Answer):
    """Images (n, height, width) or with channels, in the unit and layout of the data."""

    images: np.ndarray

    def __len__(self) -> int:
        """How many there are."""
        return len(self.images)

    def cut(self, start: int, end: int) -> Pictures:
        """Return some of them."""
        return dataclasses.replace(self, images=self.images[start:end])

    def plain(self) -> list[Any]:
        """Return nested lists."""
        return self.images.tolist()

    def table(self) -> pa.Table:
        """Return a column of lists, each with the cells of one image in their order."""
        cells = np.ascontiguousarray(self.images).reshape(-1)
        size = math.prod(self.images.shape[1:])
        return pa.table({EXAMPLE: pa.FixedSizeListArray.from_arrays(pa.array(cells), size)})

    def picture(self) -> bytes:
        """Return the only image as PNG."""
        if len(self.images) != 1:
            raise InputError(f"{len(self.images)} images are no PNG file; accept {JSON}, {LINES} or {ARROW}")
        image = self.images[0]
        if image.dtype not in (np.uint8, np.uint16):
            raise InputError(f"cells that are no bytes make no PNG file; accept {JSON}, {LINES} or {ARROW}")
        channels = image.shape[2] if image.ndim == 3 else 1
        return encoded(image if channels in (1, 3, 4) else np.moveaxis(image, 0, 2))


def joined(answers: Sequence[Answer]) -> Answer:
    """Return answers of one kind as one."""
    first = answers[0]
    if isinstance(first, Pictures):
        return Pictures(np.concatenate([one.images for one in answers if isinstance(one, Pictures)]))
    return Columns(pa.concat_tables([one.table() for one in answers]))


def told(value: Any) -> bytes:
    """Return JSON; numbers lose nothing, and what is no number is null."""
    try:
        return json.dumps(value, allow_nan=False).encode()
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return {name: _finite(one) for name, one in value.items()} if isinstance(value, dict) else value


def in_arrow(table: pa.Table) -> bytes:
    """Return an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())
