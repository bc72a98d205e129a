"""ARFF files, Weka's tables: a head that declares the columns, and rows of text (Witten and Frank, 2005)."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.data.tables import opened
from narrows.data.wording import brief, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

_DATA = re.compile(rb"^[ \t]*@data[ \t]*\r?$\n?", re.IGNORECASE | re.MULTILINE)
_COMMENTS = re.compile(rb"^[ \t]*(%.*)?\r?(\n|\Z)", re.MULTILINE)
_SPARSE = re.compile(rb"^[ \t]*\{", re.MULTILINE)
_QUOTED = {quote: re.compile(rb"(^|,)[ \t]*" + quote.encode(), re.MULTILINE) for quote in "'\""}
_SPACED_QUOTE = re.compile(rb",[ \t]+(?=['\"])")
_ATTRIBUTE = re.compile(
    r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s'"]\S*)\s+(\{.*\}|\w+)\s*(.*)""", re.IGNORECASE
)
# Java writes dates in letters, Arrow as C does.
_LETTERS = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "'T'": "T"}


def read_arff(path: Path) -> pa.Table:
    """Read an ARFF file of dense rows, gzipped or not.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    pyarrow.Table
        Numbers as float64, nominal attributes as dictionaries, text as text, dates as timestamps; ``?`` is null.

    Raises
    ------
    InputError
        If the file is damaged, declares what ARFF does not know, or has sparse rows.
    """
    import pyarrow as pa

    name = short(str(path))
    try:
        with opened(path) as stream:
            content = stream.read() or b""
        head = _DATA.search(content)
        if head is None:
            raise InputError(f"{name} has no line @data, after which the rows of an ARFF file stand; mend it")
        declared = _declared(content[: head.start()].decode("utf-8"), name)
        return _parsed(content[head.end() :], declared, name)
    except (pa.ArrowException, OSError, EOFError, zlib.error, UnicodeError) as error:
        raise InputError(f"{name} cannot be read as an ARFF file ({brief(error)}); mend it, as UTF-8") from error


def _declared(head: str, name: str) -> list[tuple[str, pa.DataType, str]]:
    """Name, type and format of dates of each attribute."""
    declared = []
    for line in map(str.strip, head.splitlines()):
        if not line.lower().startswith("@attribute"):
            continue
        found = _ATTRIBUTE.fullmatch(line)
        kind = None if found is None else _kind_of(found[2])
        if found is None or kind is None:
            raise InputError(
                f"{name} declares {short(line)}; an attribute has a name and is numeric, string, date or {{values}}: "
                f"mend it"
            )
        declared.append((_bare(found[1]), kind, _bare(found[3])))
    if not declared:
        raise InputError(f"{name} declares no attributes; an ARFF file names each column in a line @attribute: mend it")
    return declared


def _kind_of(word: str) -> pa.DataType | None:
    import pyarrow as pa

    if word.startswith("{"):
        return pa.dictionary(pa.int32(), pa.string())
    number, text = pa.float64(), pa.string()
    kinds = {"numeric": number, "real": number, "integer": number, "string": text, "date": pa.timestamp("s")}
    return kinds.get(word.lower())


def _bare(text: str) -> str:
    """A name without its quotation marks."""
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[:1] in ("'", '"') and text[-1:] == text[:1] else text


def _parsed(rows: bytes, declared: Sequence[tuple[str, pa.DataType, str]], name: str) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    rows = _COMMENTS.sub(b"", rows)
    if _SPARSE.search(rows):
        raise InputError(f"{name} has sparse rows, which start with a brace; write it with dense rows")
    names = [attribute for attribute, _, _ in declared]
    if not rows:
        return pa.table([pa.array([], kind) for _, kind, _ in declared], names)
    quotes = [quote for quote, first in _QUOTED.items() if first.search(rows)]
    if len(quotes) > 1:
        raise InputError(f"{name} quotes some cells with ' and some with \"; write all of them with one of the two")
    # Columns are typed by made-up names, for the file's may occur twice; `raw_columns` says so then.
    places = [f"c{place}" for place in range(len(names))]
    table = csv.read_csv(
        io.BytesIO(_SPACED_QUOTE.sub(b",", rows) if quotes else rows),
        csv.ReadOptions(column_names=places),
        csv.ParseOptions(quote_char=quotes[0] if quotes else False, double_quote=False, escape_char="\\"),
        csv.ConvertOptions(
            column_types={place: kind for place, (_, kind, _) in zip(places, declared, strict=True)},
            null_values=["?"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            timestamp_parsers=[csv.ISO8601, *(_c_format(written) for _, _, written in declared if written)],
        ),
    )
    return table.rename_columns(names)


def _c_format(written: str) -> str:
    return re.sub("yyyy|yy|MM|dd|HH|mm|ss|'T'", lambda found: _LETTERS[found[0]], written)
