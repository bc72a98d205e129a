"""ARFF, JSON, Parquet and Arrow files."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import feather, parquet

from inputs.case import Case, file

HEAD = "@relation t\n@attribute a numeric\n@attribute b {x,y}\n@data\n"
ROWS = 40
B = [float(i * i % 31) for i in range(ROWS)]
AB = {"columns": ["a", "b"], "rows": ROWS}
ONLY_B = {"columns": ["b"], "rows": ROWS}


def arff(text: str | bytes) -> Callable[[Path], Path]:
    return file(text, "t.arff")


def encoded(columns: dict[str, Any], name: str, **options: Any) -> bytes:
    """The bytes of such a file."""
    table, stream = pa.table(columns), io.BytesIO()
    if name.endswith(".parquet"):
        parquet.write_table(table, stream, **options)
    elif name.endswith(".feather"):
        feather.write_feather(table, stream, **options)
    else:
        writer = pa.ipc.new_stream if name.endswith(".arrows") else pa.ipc.new_file
        with writer(stream, table.schema) as file:
            file.write_table(table)
    return stream.getvalue()


def column(cells: Any, name: str = "t.parquet", **options: Any) -> Callable[[Path], Path]:
    """A file of a column a of these cells and a column b of numbers."""
    return file(lambda: encoded({"a": cells, "b": B[: len(cells)]}, name, **options), name)


def changed(change: Callable[[bytes], bytes], name: str = "t.parquet") -> Callable[[Path], Path]:
    """A sound file whose bytes were changed."""
    return file(lambda: change(encoded({"a": B, "b": [*"xy"] * (ROWS // 2)}, name)), name)


def flipped(content: bytes) -> bytes:
    """The byte in the middle turned over."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def twins() -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pa.table([pa.array(B), pa.array(B)], ["a", "a"]), stream)
    return stream.getvalue()


def union() -> pa.Array:
    return pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["x", "y"])])


CASES = (
    # --- ARFF
    Case("ARFF: empty", arff(""), refused="has no line @data"),
    Case("ARFF: no @data", arff(HEAD.replace("@data", "")), refused="has no line @data"),
    Case("ARFF: no attributes", arff("@relation t\n@data\n1,2\n"), refused="declares no attributes"),
    Case("ARFF: no rows", arff(HEAD), refused="has names and no rows"),
    Case("ARFF: an unknown type", arff(HEAD.replace("numeric", "colour")), refused="an attribute has a name and is"),
    Case("ARFF: a relational attribute", arff(HEAD.replace("numeric", "relational")), refused="an attribute has"),
    Case("ARFF: text in a numeric attribute", arff(HEAD + "1,x\nz,y\n"), refused="cannot be read as an ARFF file"),
    Case("ARFF: a ragged row", arff(HEAD + "1,x\n2,y,3\n"), refused="Expected 2 columns, got 3"),
    Case("ARFF: sparse rows", arff(HEAD + "{0 1, 1 x}\n"), refused="has sparse rows"),
    Case(
        "ARFF: both quotation marks", arff(HEAD + "1,'x'\n2,\"y\"\n"), refused="write all of them with one of the two"
    ),
    Case(
        "ARFF: two attributes of one name",
        arff(HEAD.replace("attribute b", "attribute a") + "1,x\n2,y\n"),
        refused="has two columns named 'a'",
    ),
    Case("ARFF: Latin-1", arff(HEAD.replace("{x", "{ø").encode("latin-1") + b"1,x\n"), refused="as UTF-8"),
    Case(
        "ARFF: a value that was not declared",
        arff(HEAD + "1,x\n2,z\n3,y\n"),
        treatment="a category like others",
        result={"rows": 3, "columns": ["a", "b"]},
    ),
    # --- JSON
    Case("a JSON file", file('[{"a": 1, "b": 2}]', "t.json"), refused="is of an unknown kind"),
    Case("a JSON lines file", file('{"a": 1, "b": 2}\n{"a": 3, "b": 5}\n', "t.jsonl"), refused="begins as JSON"),
    Case("a JSON file of one number", file("7", "t.json"), refused="is of an unknown kind"),
    Case("a file of YAML", file("a: 1\nb: 2\n", "t.yaml"), refused="is of an unknown kind"),
    Case("a pickle", file(b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00", "t.pkl"), refused="is of an unknown kind"),
    Case("an Excel file", file(b"PK\x03\x04" + b"\0" * 100, "t.xlsx"), refused="is of an unknown kind"),
    Case("a database of SQLite", file(b"SQLite format 3\0" + b"\0" * 100, "t.db"), refused="is of an unknown kind"),
    # --- Parquet
    Case("Parquet: empty file", file("", "t.parquet"), refused="cannot be read as a Parquet file"),
    Case("Parquet: not one", file("a,b\n1,2\n", "t.parquet"), refused="cannot be read as a Parquet file"),
    Case("Parquet: cut short", changed(lambda content: content[:-20]), refused="cannot be read as a Parquet file"),
    Case("Parquet: its end alone", changed(lambda content: content[-200:]), refused="cannot be read as a Parquet file"),
    Case(
        "Parquet: a length that points outside",
        changed(lambda content: content[:-8] + b"\xff\xff\xff\x7fPAR1"),
        refused="cannot be read as a Parquet file",
    ),
    Case("Parquet: no rows", column(pa.array([], pa.float64())), refused="has names and no rows"),
    Case(
        "Parquet: no columns",
        file(lambda: encoded({}, "t.parquet"), "t.parquet"),
        refused="no column left to learn from",
    ),
    Case(
        "Parquet: lists",
        column([[1, 2]] * ROWS),
        refused="list<element: int64> values where numbers belong: column 'a'",
    ),
    Case("Parquet: structures", column([{"x": 1}] * ROWS), refused="column 'a'"),
    Case(
        "Parquet: maps", column(pa.array([[("k", 1)]] * ROWS, pa.map_(pa.string(), pa.int64()))), refused="column 'a'"
    ),
    Case("Parquet: bytes", column([b"\xff\0"] * ROWS), refused="binary values where numbers belong: column 'a'"),
    Case(
        "Parquet: lists, ignored",
        column([[1, 2]] * ROWS),
        options=("--ignore", "a"),
        treatment="left out",
        result=ONLY_B,
    ),
    Case(
        "Parquet: decimals",
        column([Decimal(f"{i * 7 % 11}.25") for i in range(ROWS)]),
        treatment="numbers",
        result={**AB, "values": "reals"},
    ),
    Case(
        "Parquet: half floats",
        column(pa.array(B, pa.float32()).cast(pa.float16())),
        treatment="numbers",
        result={**AB, "values": "reals"},
    ),
    Case(
        "Parquet: a dictionary of texts",
        column(pa.array(["u", "v"] * 20).dictionary_encode()),
        treatment="categories",
        result={**AB, "kinds": ["binary", "numeric"]},
    ),
    Case(
        "Parquet: a dictionary of numbers",
        column(pa.array([1, 5, 7, 1] * 10).dictionary_encode()),
        treatment="numbers",
        result={**AB, "values": "reals"},
    ),
    Case(
        "Parquet: dates",
        column([date(2024, 1, 1) + timedelta(i) for i in range(ROWS)]),
        treatment="left out with a note",
        result=ONLY_B,
        told="holds dates or times",
    ),
    Case(
        "Parquet: moments with a zone",
        column(pa.array([10**9 * i for i in range(ROWS)], pa.timestamp("ns", "UTC"))),
        treatment="left out with a note",
        result=ONLY_B,
        told="holds dates or times",
    ),
    Case("Parquet: durations", column([timedelta(i) for i in range(ROWS)]), refused="duration"),
    Case(
        "Parquet: booleans with gaps",
        column([True, False, None, True] * 10),
        treatment="two values and gaps",
        result={**AB, "kinds": ["binary", "numeric"], "missing": [10, 0]},
    ),
    Case(
        "Parquet: nothing but nulls",
        column(pa.nulls(ROWS)),
        treatment="left out with a note",
        result=ONLY_B,
        told="is empty",
    ),
    Case(
        "Parquet: NaN and null",
        column([None, float("nan"), 1.0, 2.0] * 10),
        treatment="missing cells",
        result={**AB, "missing": [20, 0]},
    ),
    Case("Parquet: infinities", column([float("inf"), *B[1:]]), refused="infinite"),
    Case("Parquet: infinities and gaps", column([float("inf"), None, *B[2:]]), refused="takes numbers up to 3.4e38"),
    Case(
        "Parquet: unsigned numbers beyond 2^63",
        column(pa.array([2**64 - 1, *range(ROWS - 1)], pa.uint64())),
        treatment="numbers, rounded",
        result=AB,
    ),
    Case(
        "Parquet: two columns of one name",
        file(twins, "t.parquet"),
        refused="has two columns named 'a'",
    ),
    Case(
        "Parquet: three million rows in a kilobyte",
        file(lambda: encoded({"a": pa.array(np.zeros(3_000_000))}, "t.parquet"), "t.parquet"),
        refused="over 500 times its size",
    ),
    # --- Arrow
    *(
        case
        for name in ("t.arrow", "t.arrows", "t.feather")
        for case in (
            Case(f"{name[1:]}: empty file", file("", name), refused="cannot be read as an Arrow or Feather file"),
            Case(
                f"{name[1:]}: not one",
                file("a,b\n1,2\n" * 9, name),
                refused="cannot be read as an Arrow or Feather file",
            ),
            Case(
                f"{name[1:]}: cut short",
                changed(lambda content: content[: len(content) // 2], name),
                refused="cannot be read as an Arrow or Feather file",
            ),
            Case(f"{name[1:]}: no rows", column(pa.array([], pa.float64()), name), refused="has names and no rows"),
        )
    ),
    Case(
        ".arrow: random bytes after a sound beginning",
        changed(lambda content: content[:8] + bytes(range(256)) * 8, "t.arrow"),
        refused="cannot be read as an Arrow or Feather file",
    ),
    Case(
        ".arrow: unions",
        file(lambda: encoded({"a": union(), "b": [1.0, 2.0]}, "t.arrow"), "t.arrow"),
        refused="column 'a'",
    ),
    Case(
        ".arrow: texts of another type",
        column(pa.array([*"uvwx"] * 10, pa.large_string()), "t.arrow"),
        treatment="categories",
        result=AB,
    ),
    Case(
        ".arrow: views of texts",
        column(pa.array([*"uvwx"] * 10, pa.string_view()), "t.arrow"),
        treatment="categories",
        result=AB,
    ),
    Case(
        ".feather of version 1",
        file(b"FEA1" + b"\0" * 60 + b"FEA1", "t.feather"),
        refused="cannot be read as an Arrow or Feather file",
    ),
)
