"""Tables of text on disk, CSV and TSV, gzipped too -> Arrow tables."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.data.arrow import MISSING
from narrows.data.cells import MISSING_AMONG_NUMBERS
from narrows.data.limits import BoundedReader
from narrows.data.wording import brief, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

# A row must fit into a block; the default of 1 MiB is too small for tables of a hundred thousand columns.
_BLOCK = 16 * 2**20
_HEAD = 2**16
_SEPARATORS = (",", "\t", ";", "|")
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)  # that of UTF-32-LE begins as UTF-16's does
_OTHER = re.compile(r'\s*(\{"|\[\{|<!|<\?xml|<html)', re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def read_text_table(path: Path, header: bool, texts: Sequence[str] = ()) -> pa.Table:
    """Read a CSV or TSV file, gzipped or not; commas, semicolons, tabulators and bars part the cells.

    Parameters
    ----------
    path : Path
        The file.
    header : bool
        Whether the first line holds the names; without it they are ``c0``, ``c1`` ...
    texts : sequence of str
        Columns to read as text, even if all their cells are numbers.

    Raises
    ------
    InputError
        If the file is empty, ragged, not in UTF-8, or its first line holds data where names belong.
    """
    name = str(path)
    with as_said(path, header):
        table = _parsed(path, header, separator_of(path), texts)
        _refuse_bytes(table, name)  # whose names need not be in UTF-8 either
    return named(table, header, name)


def named(table: pa.Table, header: bool, name: str) -> pa.Table:
    """Name the columns ``c0``, ``c1`` ... where the file has no names; refuse a first line that is not what was said.

    Raises
    ------
    InputError
        If it holds names and was said not to, or the other way round.
    """
    if not header:
        _refuse_names_as_data(table, name)
        return table.rename_columns([f"c{place}" for place in range(table.num_columns)])
    _refuse_data_as_names(table, name)
    return table


@contextmanager
def as_said(path: Path, header: bool) -> Iterator[None]:
    """Whatever goes wrong with a file of text, say it in one line, as an `InputError`."""
    import pyarrow as pa

    name = short(str(path))
    try:
        yield
    except pa.ArrowException as error:
        advice = "write it again, as UTF-8" if "UTF8" in str(error) else "mend it"
        said = _complaint(path, header, separator_of(path), error)
        raise InputError(f"{name} cannot be read as a table ({said}); {advice}") from error
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        raise InputError(f"{name} cannot be read as a table ({brief(error)}); write it again, as UTF-8") from error


def opened(path: Path) -> BoundedReader | io.BufferedReader:
    """Open a file to read; what is gzipped yields no more than such a file may honestly hold."""
    if path.name.lower().endswith(".gz"):
        return BoundedReader(gzip.GzipFile(path), path.stat().st_size, str(path))
    return path.open("rb")


def is_text_table(path: Path) -> bool:
    """Whether a file begins as lines of text do that are parted by separators."""
    try:
        with opened(path) as stream:
            head = stream.read(_HEAD) or b""
    except (OSError, EOFError, zlib.error):
        return False
    line = head.split(b"\n", 1)[0]
    return b"\n" in head and b"\0" not in head and any(mark.encode() in line for mark in _SEPARATORS)


def _first_line(head: bytes, name: str) -> str:
    for line in head.decode("utf-8", errors="replace").splitlines():
        if line.strip("\ufeff \t\0"):
            return line
    raise InputError(f"{short(name)} is empty; give a table with one line an example")


def separator_of(path: Path) -> str:
    """Tabulator where the name says so and there are some; else the commonest separator in the first line.

    Raises
    ------
    InputError
        If the file is empty, or begins as no table of text does.
    """
    with opened(path) as stream:
        head = stream.read(_HEAD) or b""
    line = _first_line(head, str(path))
    _refuse_other_text(head, line, str(path))
    if ".tsv" in path.name.lower() and "\t" in line:
        return "\t"
    return separator_in(line)


def separator_in(line: str) -> str:
    """Return the commonest separator of a line."""
    return max(_SEPARATORS, key=line.count)


def _refuse_other_text(head: bytes, line: str, name: str) -> None:
    """Refuse what Arrow would read, as something else than it is, or as nothing."""
    if head.startswith(_WIDE) or b"\0" in head:
        raise InputError(f"{short(name)} holds NUL bytes, as UTF-16 and packed files do; write it again, as UTF-8")
    if _OTHER.match(line):
        raise InputError(f"{short(name)} begins as JSON, HTML or XML does, with {short(line[:20])}; write it as CSV")


def _refuse_bytes(table: pa.Table, name: str) -> None:
    """Refuse columns that Arrow has as bytes, for they are no UTF-8."""
    import pyarrow as pa

    for column, cells in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_binary(cells.type):
            row, cell = next((row, cell.as_py()) for row, cell in enumerate(cells) if not _is_utf8(cell.as_py() or b""))
            raise InputError(
                f"{short(name)} is not in UTF-8: column {short(column)} has {short(cell)} in row {row} (counted from "
                f"0); write it again, as UTF-8"
            )


def _is_utf8(cell: bytes) -> bool:
    try:
        cell.decode()
    except UnicodeDecodeError:
        return False
    return True


def _parsed(path: Path, header: bool, separator: str, texts: Sequence[str] = (), threads: bool = True) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    # Without a header Arrow calls the columns f0, f1, ...
    names = texts if header else [f"f{name[1:]}" for name in texts if name[:1] == "c"]
    with opened(path) as stream:
        return csv.read_csv(
            stream,
            csv.ReadOptions(autogenerate_column_names=not header, block_size=_BLOCK, use_threads=threads),
            csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )


def _complaint(path: Path, header: bool, separator: str, error: Exception) -> str:
    """Arrow names the line of a ragged row only when it parses in one thread: parse again for its sake."""
    import pyarrow as pa

    try:
        _parsed(path, header, separator, threads=False)
    except pa.ArrowException as again:
        return brief(again)
    return brief(error)


def _refuse_data_as_names(table: pa.Table, name: str) -> None:
    """Refuse a first line that is an example about to be lost.

    It is one if it is all numbers, unless it counts the columns as pandas does; or if it has numbers beside a text
    that is also among the cells below it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = table.column_names
    numbers = [column for column in names if _NUMBER.fullmatch(column.strip())]
    counted = names in ([str(place) for place in range(start, start + len(names))] for start in (0, 1))
    if not numbers or counted:
        return
    texts = [
        pc.any(pc.equal(cells, own))
        for own, cells in zip(names, table.columns, strict=True)
        if cells.type == pa.string()
    ]
    if len(numbers) == len(names) or any(found.as_py() for found in texts):
        raise InputError(
            f"the first line of {short(name)} holds numbers such as {short(numbers[0])} where names belong; "
            f"say that there is no header (header=False, --no-header), or rename the columns if these are names"
        )


def _refuse_names_as_data(table: pa.Table, name: str) -> None:
    """Refuse a first line of nothing but text, above a column of nothing but numbers: it holds the names."""
    import pyarrow as pa

    if table.num_rows < 2 or not all(kind == pa.string() for kind in table.schema.types):
        return
    first = [column[0].as_py() or "" for column in table.columns]
    if any(cell.strip() in (*MISSING, *MISSING_AMONG_NUMBERS) or _NUMBER.fullmatch(cell.strip()) for cell in first):
        return
    for column in table.columns:
        # A look at one cell spares a look at all of most columns.
        second = column[1].as_py() or ""
        if _NUMBER.fullmatch(second.strip()) and _all_match(column[1:]):
            raise InputError(
                f"the first line of {short(name)} holds {short(first[0])} and other text above a column of numbers; it "
                f"seems to hold names: leave out header=False, --no-header"
            )


def _all_match(column: pa.ChunkedArray) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(column, rf"^\s*({_NUMBER.pattern}|)\s*$")).as_py())
