"""Tables without loss: cells as symbols of a model's columns, block by block, with what makes each cell again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from narrows.coding.chunks import MAX_NOTES
from narrows.data.alphabet_choice import alphabet_of
from narrows.data.alphabets import MOST_DECIMALS
from narrows.data.columns import Raw
from narrows.data.names import matched, refuse_repeated
from narrows.data.schema import Column, Schema
from narrows.data.spelling import Spelling
from narrows.data.verbatim import Verbatim, kept_type, restored, texts_of, type_named
from narrows.data.wording import listed, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_BYTES = 1 << 26  # of a block
_FIRST_ROWS = 1 << 16


@dataclass(frozen=True)
class Written:
    """How one column of a file is written.

    Parameters
    ----------
    place : int
        Which column of the model it is.
    type : str
        As Arrow calls it; that of a text file is string.
    least : int
        Digits that its numbers have after the point even where they are 0.
    """

    place: int
    type: str
    least: int


def to_json(columns: Sequence[Written]) -> dict[str, Any]:
    """Plain values, few where columns are alike and in the order of the model."""
    places, types = [column.place for column in columns], [column.type for column in columns]
    return {
        "least": [column.least for column in columns],
        "places": None if places == list(range(len(places))) else places,
        "types": types[0] if len(set(types)) == 1 else types,
    }


def from_json(record: Mapping[str, Any]) -> tuple[Written, ...]:
    """The inverse of `to_json`; raises `InputError`, KeyError, TypeError or ValueError for what is none."""
    least, places, types = record["least"], record["places"], record["types"]
    places = range(len(least)) if places is None else places
    types = [types] * len(least) if isinstance(types, str) else types
    for kind in set(types):
        type_named(kind)
    if sorted(places) != list(range(len(least))) or not all(type(n) is int and 0 <= n <= MOST_DECIMALS for n in least):
        raise ValueError(short(record))
    return tuple(Written(*own) for own in zip(places, types, least, strict=True))


@dataclass(frozen=True)
class Exact:
    """A table with the columns of a model, which can be read as often as one likes.

    Parameters
    ----------
    schema : Schema
        Of the model.
    columns : tuple of Written
        In the order of the file.
    header : bool
        Whether their names stand in the file.
    total : int
        Rows.
    tables : callable
        Gives parts of it as texts, in the order of the model.
    """

    schema: Schema
    columns: tuple[Written, ...]
    header: bool
    total: int
    tables: Callable[[], Iterator[pa.Table]]

    @classmethod
    def of(cls, source: Verbatim, schema: Schema, left_out: Iterable[str], what: str) -> Self:
        """Look through a table once.

        Raises
        ------
        InputError
            If it lacks one of the model's columns, has further ones, or one holds what no text gives back.
        """
        names, wanted = _names(source, left_out, what), schema.names or ()
        own = matched(names, wanted, what, positional=not source.header)
        if len(own) < len(names):
            more = next(name for name in names if name not in own)
            raise InputError(
                f"{what} has the column {short(more)}, which the model was not trained on and which would be lost; "
                f"leave it out (--ignore), or train a model on such tables"
            )

        def in_texts(part: pa.Table) -> pa.Table:
            return _in_texts(part, own).rename_columns(list(wanted))

        def tables() -> Iterator[pa.Table]:
            return map(in_texts, source.parts())

        first, total = None, 0
        for part in source.parts():
            first = part if first is None or not len(first) else first
            total += len(part)
        assert first is not None  # a source has one part at least
        spelling = Spelling.of(schema.alphabets, in_texts(first.slice(0, _FIRST_ROWS)))
        types = {field.name: str(kept_type(field.type)) for field in first.schema}
        places = [own.index(name) for name in names]
        columns = [Written(place, types[own[place]], spelling.least[place]) for place in places]
        return cls(schema, tuple(columns), source.header, total, tables)

    def blocks(self, rows: int) -> Iterator[tuple[np.ndarray, bytes]]:
        """Symbols (n, c) of so many rows or fewer, and what they leave open; each is joined again and compared."""
        spelling = spelling_of(self.schema, self.columns)
        for table in _in_parts(self.tables(), rows):
            yield from _blocks(spelling, table)


def spelling_of(schema: Schema, columns: Sequence[Written]) -> Spelling:
    """Return how a file with such columns spells those of a model; `InputError` if they are not the model's."""
    least = {column.place: column.least for column in columns}
    if list(range(len(schema.alphabets))) != sorted(least):
        raise InputError("the file says that it has other columns than its model; fetch it again")
    return Spelling(schema.alphabets, [least[place] for place in sorted(least)])


def table_of_block(schema: Schema, columns: Sequence[Written], symbols: np.ndarray, rest: bytes) -> pa.Table:
    """Make the cells of a block again, in the order and the types of the file.

    Raises
    ------
    InputError
        If the block is not what `Exact.blocks` gave.
    """
    import pyarrow as pa

    texts = spelling_of(schema, columns).joined(symbols, rest)
    cells = [restored(texts[column.place], type_named(column.type)) for column in columns]
    return pa.table(cells, names_of(schema, columns))


def names_of(schema: Schema, columns: Sequence[Written]) -> list[str]:
    """Names of the columns of a file, in its order."""
    names = schema.names or ()
    return [names[column.place] for column in columns]


def exact_raw(source: Verbatim, schema: Schema | None, left_out: Iterable[str], what: str) -> Raw:
    """Read a table whole, as symbols alone: of a model's columns, or of such as suit these cells.

    Raises
    ------
    InputError
        If there is no row or no column, one is missing, or one holds what no text gives back.
    """
    import pyarrow as pa

    names = _names(source, left_out, what)
    names = names if schema is None else matched(names, schema.names or (), what, positional=not source.header)
    if not names:
        raise InputError(f"{what} has no column left to learn from; its columns are {listed(source.names)}")
    table = pa.concat_tables([_in_texts(part, names) for part in source.parts()])
    if not table.num_rows:
        raise InputError(f"{what} has names and no rows; give at least one example, one row each")
    found = zip(names, table.columns, strict=True)
    columns = schema.columns if schema else tuple(Column.of_symbols(name, alphabet_of(cells)) for name, cells in found)
    alphabets = [column.alphabet for column in columns or () if column.alphabet is not None]
    spelling = Spelling.of(alphabets, table)
    symbols = [spelling.split(part)[0] for part in _in_parts(iter([table]), _FIRST_ROWS)]
    return Raw(np.concatenate(symbols).astype(np.float32), names, columns=columns)


def _names(source: Verbatim, left_out: Iterable[str], what: str) -> tuple[str, ...]:
    refuse_repeated(source.names, what)
    left = set(left_out)
    if unknown := left - set(source.names):
        raise InputError(f"{what} has no column {short(min(unknown))}; its columns are {listed(source.names)}")
    return tuple(name for name in source.names if name not in left)


def _in_texts(part: pa.Table, names: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    return pa.table({name: texts_of(part[name], name) for name in names})


def _in_parts(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of so many each, the last one aside."""
    import pyarrow as pa

    left: pa.Table | None = None
    for table in tables:
        left = table if left is None else pa.concat_tables([left, table])
        while len(left) >= rows:
            yield left.slice(0, rows)
            left = left.slice(rows)
    if left is not None and len(left):
        yield left


def _blocks(spelling: Spelling, table: pa.Table) -> Iterator[tuple[np.ndarray, bytes]]:
    """A table in one block, or in several where it leaves too much open for one."""
    # Large ones are cut before any work is done on them.
    symbols, rest = (None, b"") if table.nbytes > TABLE_BYTES and len(table) > 1 else spelling.split(table)
    if symbols is None or len(rest) > MAX_NOTES:
        if len(table) == 1:
            raise InputError(f"a row holds {len(rest)} bytes of text, and {MAX_NOTES} fit into a chunk; shorten it")
        half = len(table) // 2
        yield from _blocks(spelling, table.slice(0, half))
        yield from _blocks(spelling, table.slice(half))
        return
    again = spelling.joined(symbols, rest)
    if not all(cells.equals(column.combine_chunks()) for cells, column in zip(again, table.columns, strict=True)):
        raise RuntimeError("cells did not come back from their symbols as they were; nothing was written")
    yield symbols, rest
