"""From a column of an Arrow table to its cells."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.data.cells import Cells, Numbers, Texts
from narrows.data.wording import short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = ("", "NA", "N/A", "#N/A", "NULL", "null", "n/a", "nan", "NaN", "NAN", "?")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|\s*[+-]?(nan|inf|infinity)\s*|\s*", re.IGNORECASE)


def cells_of(column: pa.ChunkedArray) -> Cells | None:
    """Read the cells of an Arrow column; None where its type is one of no kind, such as lists or bytes."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type) and is_number(column.type.value_type):
        column = column.cast(column.type.value_type)
    return next((read(column) for is_type, read in _readers() if is_type(column.type)), None)


def _readers() -> tuple[tuple[Callable[[Any], bool], Callable[[Any], Cells]], ...]:
    from pyarrow import types

    return (
        (types.is_dictionary, lambda column: _texts(column, declared=True)),
        (is_number, lambda column: Numbers(numbers_of(column))),
        (_is_text, _texts),
        (types.is_boolean, _texts),
        (lambda kind: types.is_temporal(kind) and not types.is_duration(kind), _texts),
    )


def is_number(kind: pa.DataType) -> bool:
    """Whether an Arrow type is one of numbers; so is that of a column which holds nothing at all."""
    from pyarrow import types

    return any(is_kind(kind) for is_kind in (types.is_integer, types.is_floating, types.is_decimal, types.is_null))


def _plain(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return is_number(kind) or pa.types.is_boolean(kind)


def _is_text(kind: pa.DataType) -> bool:
    from pyarrow import types

    return any(is_kind(kind) for is_kind in (types.is_string, types.is_large_string, types.is_string_view))


def numbers_of(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of numbers or booleans as float64 (n,), NaN where a cell is missing."""
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _texts(column: pa.ChunkedArray, declared: bool = False) -> Texts:
    """Read what can be written as text: each different text is trimmed, and known for a missing one, but once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = _whole(column) if declared else _whole(column.cast(pa.large_string())).dictionary_encode()
    codes = whole.indices.cast(pa.int64()).fill_null(-1).to_numpy()
    written = whole.dictionary.cast(pa.large_string())
    given = pc.utf8_trim_whitespace(written)
    lowered = pc.utf8_lower(given)
    # Some write True for what others, Arrow among them, write true.
    given = pc.if_else(pc.is_in(lowered, pa.array(["true", "false"], given.type)), lowered, given)
    given = pc.if_else(pc.is_in(given, pa.array(MISSING, given.type)), None, given)
    if not declared and given.equals(written):
        return Texts(given, codes)  # nothing to merge, as among millions of different texts
    codes = np.append(np.arange(len(given)), -1)[codes]
    occurs = np.bincount(codes + 1, minlength=len(given) + 1)[1:] > 0
    merged = pc.if_else(pa.array(occurs), given, None).dictionary_encode()
    places = merged.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Texts(merged.dictionary, np.append(places, -1)[codes], declared)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """The parts of a column as one; parts of a file may each have a dictionary of their own."""
    import pyarrow as pa

    return pa.concat_arrays(column.unify_dictionaries().chunks)


def plain_numbers(column: pa.ChunkedArray, name: str, what: str) -> np.ndarray:
    """Return one column of numbers as uint8, bool, float32 or float64, with NaN where a cell is missing.

    Raises
    ------
    InputError
        If it holds something else.
    """
    import pyarrow as pa

    # One long text that many cells share would be written out for each.
    if pa.types.is_dictionary(column.type) and _plain(column.type.value_type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if column.null_count == 0 and kind in (pa.uint8(), pa.bool_(), pa.float32()):
        return np.asarray(column.to_numpy())
    if not _plain(kind):
        raise no_numbers(column, name, what)
    return numbers_of(column)


def no_numbers(column: pa.ChunkedArray, name: str, what: str) -> InputError:
    """Make the error for a column of something else than numbers."""
    row, value = _first_text(column)
    return InputError(
        f"{what} holds {_spoken(column.type)} where numbers belong: column {short(name)} has {short(value)} in "
        f"row {row} (counted from 0); ignore the column, take it as the label, or write it as numbers"
    )


def _spoken(kind: pa.DataType) -> str:
    """What a person calls an Arrow type."""
    return "text" if "string" in str(kind) else f"{kind} values"


def _first_text(column: pa.ChunkedArray) -> tuple[int, object]:
    """Row and value of the first cell that is no number."""
    first: tuple[int, object] | None = None
    for row, scalar in enumerate(column):
        cell: Any = scalar.as_py()
        if cell is None:
            continue
        first = first or (row, cell)
        if not isinstance(cell, str) or not (cell in MISSING or _NUMBER.fullmatch(cell)):
            return row, cell
    return first or (0, None)
