"""Tables of text whose lines, letters or quotation marks are not as they should be."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from inputs.case import Case, file, numbered

TABLE = "a,b\n1,2\n3,5\n4,4\n"
AS_WRITTEN = {"columns": ["a", "b"], "rows": 3}
NORWEGIAN = "by,n\nTromsø,1\nBodø,2\nTromsø,4\n"


def long_line(cells: int) -> str:
    """A table whose second row has ``cells`` cells too many."""
    return "a,b\n1,2\n" + ",".join(["7"] * cells) + "\n3,4\n"


def wide(columns: int, rows: int) -> str:
    """A table of many columns, whose row i holds nothing but i."""
    lines = [
        ",".join(f"c{place}" for place in range(columns)),
        *(",".join([str(row)] * columns) for row in range(rows)),
    ]
    return "\n".join(lines) + "\n"


def many_categories(folder: Path) -> Path:
    """Ten million rows, each with a text of its own."""
    rows = np.arange(10_000_000)
    texts = pc.binary_join_element_wise("x", pa.array(rows).cast(pa.string()), "")
    written = csv.WriteOptions(quoting_style="none")
    csv.write_csv(pa.table({"id": texts, "n": rows % 7}), folder / "t.csv", written)
    return folder / "t.csv"


CASES = (
    # --- lines
    Case("a row with a cell too many", file("a,b\n1,2\n3,4,5\n6,7\n"), refused="Row #3: Expected 2 columns, got 3"),
    Case("a row with a cell too few", file("a,b\n1,2\n3\n6,7\n"), refused="Row #3: Expected 2 columns, got 1"),
    Case("rows longer than the header", file("a,b\n1,2,3\n4,5,6\n"), refused="Expected 2 columns, got 3"),
    Case("a separator at the end of every row", file("a,b\n1,2,\n4,5,\n"), refused="Expected 2 columns, got 3"),
    Case("a ragged row of a thousand cells", file(long_line(1000)), refused="Expected 2 columns, got 1000"),
    Case("a ragged row of 10 MB", file(lambda: long_line(5_000_000)), refused="Expected 2 columns, got 5000000"),
    Case("a line of text above the names", file("Report of May\na,b\n1,2\n"), refused="Expected 1 columns, got 2"),
    Case("a line of totals below", file("a,b\n1,2\n3,4\ntotal 10\n"), refused="Expected 2 columns, got 1"),
    Case(
        "a cell of 10 MB",
        file(lambda: "a,b\n" + "x" * 10_000_000 + ",1\ny,2\ny,3\n"),
        treatment="read",
        result={"rows": 3, "columns": ["a", "b"]},
    ),
    Case("a line of 10 MB without an end", file(lambda: "x" * 10_000_000), refused="cannot be read as a table"),
    Case("lines that end in CR LF", file(TABLE.replace("\n", "\r\n")), treatment="read", result=AS_WRITTEN),
    Case("lines that end in CR", file(TABLE.replace("\n", "\r")), treatment="read", result=AS_WRITTEN),
    Case("lines that end in CR and LF by turns", file("a,b\n1,2\r3,5\r\n4,4\n"), treatment="read", result=AS_WRITTEN),
    Case("no end of the last line", file(TABLE.rstrip()), treatment="read", result=AS_WRITTEN),
    Case("empty lines between rows", file("a,b\n\n1,2\n\n3,5\n4,4\n\n\n"), treatment="left out", result=AS_WRITTEN),
    Case("empty lines before the names", file("\n\n" + TABLE), treatment="left out", result=AS_WRITTEN),
    Case("lines of spaces", file("a,b\n1,2\n   \n3,4\n"), refused="Expected 2 columns, got 1"),
    Case("a comment line", file("# made by hand\na,b\n1,2\n"), refused="Expected 1 columns, got 2"),
    # --- nothing
    Case("an empty file", file(""), refused="is empty; give a table with one line an example"),
    Case("an empty .tsv file", file("", "t.tsv"), refused="is empty"),
    Case("nothing but ends of lines", file("\n\r\n\n"), refused="is empty"),
    Case("nothing but spaces", file("   \n  \n"), refused="is empty"),
    Case("nothing but a byte order mark", file("\ufeff"), refused="is empty"),
    Case("nothing but NUL bytes", file(b"\0" * 1000), refused="is empty"),
    Case("nothing but separators", file(",,\n,,\n,,\n"), refused="has two columns named ''"),
    Case("a header and no rows", file("a,b\n"), refused="has names and no rows"),
    Case("a header without an end of line", file("a,b"), refused="cannot be read as a table"),
    Case("one row", file("a,b\n1,2\n"), treatment="read; a detector refuses it", result={"rows": 1}),
    Case("one row, for a detector", file("a,b\n1,2\n"), verb="train", refused="a detector needs 2"),
    # --- letters
    Case("a byte order mark of UTF-8", file("\ufeff" + TABLE), treatment="left out", result=AS_WRITTEN),
    Case(
        "UTF-16",
        file(TABLE.encode("utf-16")),
        refused="holds NUL bytes, as UTF-16 and packed files do; write it again, as UTF-8",
    ),
    Case("UTF-16 without a byte order mark", file(TABLE.encode("utf-16-le")), refused="as UTF-8"),
    Case("UTF-16, big-endian", file(b"\xfe\xff" + TABLE.encode("utf-16-be")), refused="as UTF-8"),
    Case("UTF-32", file(TABLE.encode("utf-32")), refused="as UTF-8"),
    Case(
        "Latin-1",
        file(NORWEGIAN.encode("latin-1")),
        refused="is not in UTF-8: column 'by' holds b'Troms\\xf8' in row 0",
    ),
    Case("Latin-1 in the names", file("størrelse,b\n1,2\n3,4\n".encode("latin-1")), refused="as UTF-8"),
    Case("one byte that is no UTF-8", file(b"a,b\nx,1\n\xffy,2\nx,3\n"), refused="as UTF-8"),
    Case("Shift-JIS", file("名前,b\n山,1\n川,2\n".encode("shift-jis")), refused="as UTF-8"),
    Case(
        "letters of many alphabets", file("名,b\nø,1\n山,2\nø,4\n"), treatment="read", result={"columns": ["名", "b"]}
    ),
    Case("a NUL byte in a cell", file("a,b\nx\0,1\ny,2\n"), refused="holds NUL bytes"),
    Case(
        "a NUL byte beyond the first 64 KiB",
        file(numbered(20_000, lambda i: "x\0" if i == 19_999 else "xyz"[i % 3])),
        treatment="a letter like others",
        result={"rows": 20_000, "kinds": ["category", "numeric"]},
    ),
    Case("a NUL byte in a name", file("a\0,b\n1,2\n3,4\n"), refused="holds NUL bytes"),
    Case("control characters in a name", file("a\x1b[31m,b\n1,2\n3,4\n"), treatment="read", result={"rows": 2}),
    Case("random bytes", file(bytes(range(256)) * 40), refused="holds NUL bytes"),
    Case("the bytes of a PNG under .csv", file(b"\x89PNG\r\n\x1a\n" + b"\0" * 200), refused="holds NUL bytes"),
    Case(
        "HTML under .csv", file("<html>\n<body>Not found</body>\n</html>\n"), refused="begins as JSON, HTML or XML does"
    ),
    Case(
        "JSON lines under .csv",
        file('{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n'),
        refused="begins as JSON, HTML or XML does",
    ),
    # --- quotation marks
    Case("a quotation mark that is not closed", file('a,b\n"1,2\n3,4\n5,6\n'), refused="Expected 2 columns, got 1"),
    Case("a quotation mark within a cell", file('a,b\n5" pipe,1\n3" pipe,2\n5" pipe,4\n'), treatment="read as it is"),
    Case(
        "ends of lines within quotation marks",
        file('a,b\n"x\ny",1\n"z",2\n"z",4\n'),
        treatment="read",
        result={"rows": 3},
    ),
    Case("doubled quotation marks", file('a,b\n"say ""x""",1\ny,2\ny,5\n'), treatment="read", result={"rows": 3}),
    Case("single quotation marks", file("a,b\n'1,5',2\n'2,5',3\n"), refused="Expected 2 columns, got 3"),
    Case(
        "numbers in quotation marks",
        file('a,b\n"1","2"\n"3","5"\n"4","4"\n'),
        treatment="read as numbers",
        result=AS_WRITTEN,
    ),
    # --- names
    Case("two columns of one name", file("a,a\n1,2\n3,4\n"), refused="has two columns named 'a'"),
    Case(
        "one column without a name",
        file("a,\n1,2\n3,5\n4,4\n"),
        treatment="its name is empty",
        result={"columns": ["a", ""]},
    ),
    Case("two columns without names", file("a,,\n1,2,3\n4,5,6\n"), refused="has two columns named ''"),
    Case("numbers in the place of names", file("5,2\n3,4\n5,6\n"), refused="where names belong"),
    Case("names as data, with --no-header", file(TABLE), options=("--no-header",), refused="leave out header=False"),
    Case(
        "names with spaces around them",
        file(" a , b \n1,2\n3,5\n4,4\n"),
        treatment="read with the spaces",
        result={"columns": [" a ", " b "]},
    ),
    Case(
        "a name of 100,000 letters",
        file("a" * 100_000 + ",b\n1,2\n3,5\n"),
        treatment="read; messages cut it short",
        result={"rows": 2},
    ),
    Case("ten thousand columns", file(lambda: wide(10_000, 2)), treatment="read", result={"rows": 2}),
    Case("thirty thousand names and no row", file(lambda: wide(30_000, 0)), refused="has names and no rows"),
    # --- separators
    Case("semicolons", file(TABLE.replace(",", ";")), treatment="read", result=AS_WRITTEN),
    Case("tabulators", file(TABLE.replace(",", "\t")), treatment="read", result=AS_WRITTEN),
    Case("pipes", file(TABLE.replace(",", "|")), treatment="read", result=AS_WRITTEN),
    Case("spaces", file(numbered(40, str).replace(",", " ")), refused="column 'a b' tells rows apart"),
    Case("commas in a .tsv file", file(TABLE, "t.tsv"), treatment="read by the commas", result=AS_WRITTEN),
    Case("semicolons and commas by turns", file("a;b\n1;2\n3,4\n"), refused="Expected 2 columns, got 1"),
    # --- many rows
    Case(
        "ten million categories",
        many_categories,
        treatment="the column is left out as one that tells rows apart",
        result={"rows": 10_000_000, "columns": ["n"]},
        told="column 'id' tells rows apart and was left out",
        memory=3 * 2**30,
    ),
    Case(
        "fifty thousand categories of two rows each",
        file(lambda: numbered(100_000, lambda i: f"x{i // 2}")),
        treatment="the 1,000 commonest are kept, the others share one place",
        result={"rows": 100_000, "columns": ["a", "b"]},
    ),
    # --- packed
    Case(
        "a .csv that is gzipped",
        file(gzip.compress(TABLE.encode())),
        refused="holds NUL bytes, as UTF-16 and packed files do",
    ),
    Case("a .csv.gz that is not gzipped", file(TABLE, "t.csv.gz"), refused="Not a gzipped file"),
    Case(
        "a .csv.gz cut short",
        file(gzip.compress(numbered(5000, str).encode())[:-100], "t.csv.gz"),
        refused="cannot be read",
    ),
    Case(
        "a .csv.gz with a flipped bit",
        file(gzip.compress(TABLE.encode())[:-6] + b"\1" + gzip.compress(TABLE.encode())[-5:], "t.csv.gz"),
        refused="CRC check failed",
    ),
    Case("an empty .csv.gz", file(b"", "t.csv.gz"), refused="is empty"),
    Case("a .csv.gz of an empty file", file(gzip.compress(b""), "t.csv.gz"), refused="is empty"),
    Case(
        "a .csv.gz that unpacks to 500 times its size",
        file(lambda: gzip.compress(b"a,b\n" + b"1,2\n" * 5_000_000), "t.csv.gz"),
        refused="over 500 times its size",
    ),
    Case("a .csv.xz", file(b"\xfd7zXZ\0" + b"\0" * 60, "t.csv.xz"), refused="is of an unknown kind"),
    Case("a .csv.zip", file(b"PK\x05\x06" + b"\0" * 18, "t.csv.zip"), refused="holds no images"),
)
