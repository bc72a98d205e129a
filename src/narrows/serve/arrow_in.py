"""Arrow IPC streams of strangers: nothing in one may take more room than the stream itself does."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import types

from narrows.data.wording import brief, short
from narrows.errors import InputError

# Places of fields in the tables of Arrow's Message.fbs.
_HEADER, _DATA, _COMPRESSION = 2, 1, 3
_LEAVES = (
    types.is_integer,
    types.is_floating,
    types.is_decimal,
    types.is_boolean,
    types.is_null,
    types.is_string,
    types.is_large_string,
    types.is_date,
    types.is_time,
    types.is_timestamp,
)


def read_stream(body: bytes, most_rows: int) -> pa.Table:
    """Read an Arrow IPC stream of numbers, text and dates, of dictionaries of them, or of lists of numbers.

    Compressed buffers and views could unpack to far more than they are, and are refused.

    Raises
    ------
    InputError
        If it is damaged, compressed, too long, or of other types.
    """
    try:
        _refuse_compression(body)
        with pa.ipc.open_stream(body) as reader:
            for field in reader.schema:
                _refuse_type(field)
            batches, rows = [], 0
            for batch in reader:
                rows += batch.num_rows
                if rows > most_rows:
                    raise InputError(
                        f"the data hold over {most_rows} rows, the most that are taken; send fewer at once"
                    )
                batch.validate(full=True)
                batches.append(batch)
            return pa.Table.from_batches(batches, reader.schema).replace_schema_metadata(None)
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, struct.error, OverflowError) as error:
        raise InputError(f"the data cannot be read as an Arrow stream ({brief(error)}); write it again") from error


def examples_of(table: pa.Table, shape: tuple[int, ...]) -> np.ndarray:
    """Return the cells (n, *shape) of a table of one column of lists of numbers.

    Raises
    ------
    InputError
        If it is none, or the lists are of another length.
    """
    column = table.column(0) if table.num_columns == 1 else None
    if column is None or not _is_list(column.type):
        raise InputError(
            "images come as one column of lists of numbers, the cells of one image each; send such a table"
        )
    size = int(np.prod(shape))
    whole = column.combine_chunks()
    cells = whole.flatten()
    if whole.null_count or cells.null_count or len(cells) != size * len(whole) or not _is_number(cells.type):
        raise InputError(f"each list must hold {size} numbers, the cells of an image of shape {shape}; send such lists")
    lengths = np.unique(whole.value_lengths().to_numpy(zero_copy_only=False)) if len(whole) else np.array([size])
    if lengths.tolist() != [size]:
        raise InputError(f"each list must hold {size} numbers, the cells of an image of shape {shape}; send such lists")
    return np.asarray(cells.to_numpy(zero_copy_only=False)).reshape(-1, *shape)


def _refuse_type(field: pa.Field) -> None:
    kind = field.type
    inner = kind.value_type if types.is_dictionary(kind) or _is_list(kind) else kind
    if not any(is_kind(inner) for is_kind in _LEAVES):
        raise InputError(
            f"the column {short(field.name)} is of the Arrow type {short(str(kind))}; send numbers, text (string), "
            f"dates, or lists of numbers"
        )


def _is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _refuse_compression(body: bytes) -> None:
    """Refuse a stream with a compressed buffer, which only the metadata of its messages tell of."""
    for message in pa.ipc.MessageReader.open_stream(body):
        if message.type not in ("record batch", "dictionary"):
            continue
        metadata = message.metadata.to_pybytes()
        table = _field(metadata, _pointed(metadata, 0), _HEADER)
        if message.type == "dictionary" and table is not None:
            table = _field(metadata, _pointed(metadata, table), _DATA)
        if table is not None and _field(metadata, _pointed(metadata, table), _COMPRESSION) is not None:
            raise InputError(
                "the Arrow stream is compressed, and could unpack to anything; send it without compression"
            )


def _pointed(data: bytes, place: int) -> int:
    """Where the offset at a place leads."""
    return place + int(struct.unpack_from("<I", data, place)[0])


def _field(data: bytes, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer's table stands; None if it is not there."""
    layout = table - int(struct.unpack_from("<i", data, table)[0])
    size = struct.unpack_from("<H", data, layout)[0]
    entry = 4 + 2 * number
    offset: Any = struct.unpack_from("<H", data, layout + entry)[0] if entry < size else 0
    return table + int(offset) if offset else None
