"""Lines of CSV or JSON -> raw rows of a trained model's schema, the same as from a file; what is no row says why."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from narrows.data.arrow import MISSING
from narrows.data.cells import MISSING_AMONG_NUMBERS
from narrows.data.json_rows import are_categories, errors_of_rows, names_of, raw_rows, table_of_json
from narrows.data.names import matched, refuse_repeated
from narrows.data.schema import Schema
from narrows.data.tables import separator_in
from narrows.data.wording import brief
from narrows.errors import InputError, unknown

if TYPE_CHECKING:
    import pyarrow as pa

BLANK = (b"", b"\r")
MARK = b"\xef\xbb\xbf"
_BLOCK = 16 * 2**20
# What messages about a table say of places in it, where the table is one line.
_PLACES = re.compile(r"(, the first)? in row 0( \(counted from 0\))?|(?<=the line)'|'(?=the line)| \(counted from 0\)")


@dataclass(frozen=True)
class Rows:
    """What some lines hold.

    Parameters
    ----------
    values : array, shape (n, columns)
        Raw rows, such as a `Dataset` holds.
    places : list of int
        Which of the lines each row is.
    errors : mapping of int to str
        Why a line is no row, by its place. Blank lines are in neither.
    """

    values: np.ndarray
    places: list[int]
    errors: Mapping[int, str]


class RowParser(ABC):
    """Makes rows of lines.

    Parameters
    ----------
    schema : Schema
        Of the trained model, whose raw data are vectors or a mixed table.
    head : bytes
        First line of the stream that is not blank.
    header : bool
        Whether a first line of CSV holds names.

    Attributes
    ----------
    name : str
        Of the format.
    names : tuple of str
        Names of the columns that rows are made of, in the order of the schema.
    further : tuple of str
        Names of other columns, which are passed over.
    skips_head : bool
        Whether the first line holds no row.
    positional : bool
        Whether columns are told by their order alone.
    """

    name: ClassVar[str]
    names: tuple[str, ...]
    further: tuple[str, ...] = ()
    skips_head: bool = False
    positional: bool = False

    def __init__(self, schema: Schema, head: bytes, header: bool) -> None:
        self.schema = schema

    def parse(self, texts: Sequence[bytes | None]) -> Rows:
        """Return the rows of lines; one longer than 1 MiB is given as None."""
        errors = {place: "the line is longer than 1 MiB" for place, text in enumerate(texts) if text is None}
        full = [place for place, text in enumerate(texts) if text is not None and text not in BLANK]
        values: list[np.ndarray] = []
        places: list[int] = []
        for some, found in self._parsed(texts, full):
            if isinstance(found, str):
                errors[some[0]] = found
            else:
                values.append(found)
                places += some
        none = np.zeros((0, self.schema.size), np.float32)
        return Rows(np.concatenate(values) if values else none, places, errors)

    def _parsed(self, texts: Sequence[bytes | None], places: list[int]) -> Iterator[tuple[list[int], np.ndarray | str]]:
        """Rows of neighbouring lines at once, or, where that fails, of either half of them."""
        if not places:
            return
        some = [text for place in places if (text := texts[place]) is not None]
        try:
            found: np.ndarray | str = self._values(some)
        except errors_of_rows() as error:
            if len(places) > 1:
                half = len(places) // 2
                yield from self._parsed(texts, places[:half])
                yield from self._parsed(texts, places[half:])
                return
            found = _said(error, some[0])
        yield places, found

    def _values(self, texts: list[bytes]) -> np.ndarray:
        table = self._table(texts)
        if table.num_rows != len(texts):
            raise InputError("the line is not one row; a cell may not hold the end of a line")
        return raw_rows(table, self.schema, "the line", positional=self.positional)

    @abstractmethod
    def _table(self, texts: list[bytes]) -> pa.Table:
        """Read lines as a table of the columns ``names``; raises an error of many types if one is no row."""


class CsvParser(RowParser):
    """Comma-, semicolon- or tab-separated cells, in one line each row."""

    name = "csv"

    def __init__(self, schema: Schema, head: bytes, header: bool) -> None:
        import pyarrow as pa
        from pyarrow import csv

        super().__init__(schema, head, header)
        separator = separator_in(head.decode("utf-8", errors="replace"))
        self._parsing = csv.ParseOptions(delimiter=separator)
        self.skips_head = header and schema.names is not None
        self.positional = not self.skips_head
        present = self._present(head)
        refuse_repeated(list(present), "the first line")
        self.names = _chosen(present, schema, positional=self.positional)
        self.further = tuple(name for name in present if name not in self.names)
        self._reading = csv.ReadOptions(column_names=list(present), use_threads=False, block_size=_BLOCK)
        categories = zip(self.names, are_categories(schema), strict=True)
        texts = {name: pa.string() for name, is_category in categories if is_category}
        # Each column is of one type, so that what a cell means does not depend on the lines beside it.
        self._typed = csv.ConvertOptions(
            column_types={**dict.fromkeys(self.names, pa.float64()), **texts},
            include_columns=list(self.names),
            null_values=sorted({*csv.ConvertOptions().null_values, *MISSING, *MISSING_AMONG_NUMBERS}),
        )
        self._inferring = csv.ConvertOptions(column_types=texts, include_columns=list(self.names))

    def _present(self, head: bytes) -> tuple[str, ...]:
        """Names of all columns; c0, c1, ... where the first line holds none."""
        import pyarrow as pa
        from pyarrow import csv

        reading = csv.ReadOptions(autogenerate_column_names=not self.skips_head, use_threads=False)
        try:
            names = csv.read_csv(pa.py_buffer(head + b"\n"), reading, self._parsing).column_names
        except (pa.ArrowException, UnicodeError) as error:
            raise InputError(
                f"the first line of the stream cannot be read as CSV ({brief(error)}); send UTF-8 text"
            ) from None
        return tuple(names) if self.skips_head else tuple(f"c{place}" for place in range(len(names)))

    def _table(self, texts: list[bytes]) -> pa.Table:
        import pyarrow as pa
        from pyarrow import csv

        if any(b"\r" in text[:-1] for text in texts):
            raise InputError("the line holds a carriage return before its end")
        data = pa.py_buffer(b"\n".join(texts))
        try:
            # Unlike read_csv it reads in this thread; all lines are in its first block.
            return csv.open_csv(data, self._reading, self._parsing, self._typed).read_all()
        except pa.ArrowInvalid:
            if len(texts) > 1:
                raise
            # As a file of this one line is read: a number may be written as true, or with blanks around a gap.
            return csv.open_csv(data, self._reading, self._parsing, self._inferring).read_all()


class JsonParser(RowParser):
    """JSON objects by the names of columns, or arrays in the order of the model's columns, in one line each."""

    name = "jsonl"

    def __init__(self, schema: Schema, head: bytes, header: bool) -> None:
        super().__init__(schema, head, header)
        self.names = names_of(schema)
        try:
            first = json.loads(head)
        except (ValueError, RecursionError):
            return  # it will be told of as any other line
        if isinstance(first, dict):
            _chosen(tuple(first), schema, positional=False)
            self.further = tuple(name for name in first if name not in self.names)

    def _table(self, texts: list[bytes]) -> pa.Table:
        return table_of_json(list(map(json.loads, texts)), self.schema, "the line")


FORMATS: Mapping[str, type[RowParser]] = {kind.name: kind for kind in (CsvParser, JsonParser)}


def parser_of(schema: Schema, head: bytes, *, form: str | None = None, header: bool = True) -> RowParser:
    """Make the parser of a stream from its first line that is not blank.

    Parameters
    ----------
    schema : Schema
        Of the trained model.
    head : bytes
        That line, without the mark that some editors put before text.
    form : {"csv", "jsonl"}, optional
        Of the lines; without it the first letter tells.
    header : bool
        Whether the first line of CSV holds names. A model whose columns have none takes it for data.

    Raises
    ------
    InputError
        If the model does not take vectors, or the first line lacks one of its columns.
    """
    if schema.is_image:
        raise InputError(f"a stream holds rows of a table, and the model takes {schema.describe()}; use narrows detect")
    if form is not None and form not in FORMATS:
        raise unknown("format", form, FORMATS)
    begins_as_json = head.lstrip()[:1] in (b"{", b"[")
    return FORMATS[form or ("jsonl" if begins_as_json else "csv")](schema, head, header)


def _chosen(present: tuple[str, ...], schema: Schema, *, positional: bool) -> tuple[str, ...]:
    """Which of the columns that are there the rows are made of, in the order of the schema."""
    if schema.names is not None:
        return matched(present, schema.names, "the first line", positional)
    if len(present) != schema.size:
        raise InputError(
            f"the first line has {len(present)} cells; the model was trained on {schema.size} columns without names"
        )
    return present


def _said(error: Exception, text: bytes) -> str:
    """What is wrong with one line, without the remedies that go with a whole file."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return "the line is not UTF-8"
    return _PLACES.sub("", brief(error).partition(";")[0])
