"""Tables of text whose cells are not what their column should hold."""

from __future__ import annotations

from inputs.case import Case, file, numbered

A = {"columns": ["a", "b"]}
LEFT_OUT = {"columns": ["b"]}


def among(*odd: str, rows: int = 40) -> str:
    """A column a of numbers among which some cells are odd."""
    return numbered(rows, lambda i: odd[i] if i < len(odd) else str(i * 7 % 31))


def all_of(*texts: str, rows: int = 40) -> str:
    """A column a of nothing but such cells."""
    return numbered(rows, lambda i: texts[i % len(texts)])


def gap(text: str) -> Case:
    """A word for a missing cell."""
    return Case(
        f"{text or 'nothing'!r} among numbers",
        file(among(text)),
        treatment="a missing cell",
        result={**A, "values": "columns"},
    )


def as_text(name: str, *texts: str) -> Case:
    """Numbers as no one but a person reads them: text, and never a wrong number."""
    return Case(name, file(all_of(*texts)), treatment="text, a category each", result={**A, "values": "columns"})


CASES = (
    *(gap(text) for text in ("", "NA", "N/A", "nan", "NaN", "NULL", "null", "?", "#N/A", "None", "-", "  ")),
    Case(
        "one word among numbers",
        file(among("broken")),
        treatment="the column is text, with a note",
        told="'broken' in row 0 where nearly all cells are numbers",
    ),
    Case("a number as text among texts", file(all_of("x", "7", "y")), treatment="text", result=A),
    *(
        Case(f"{text} among numbers", file(among(text)), refused=said)
        for text, said in (
            ("inf", "inf"),
            ("-inf", "inf"),
            ("Infinity", "inf"),
            ("1e400", "inf"),
            ("1e39", "3.4e38"),
            ("-1e300", "3.4e38"),
        )
    ),
    Case("inf in a table with gaps", file(among("inf", "")), refused="takes numbers up to 3.4e38"),
    Case("nothing but inf", file(all_of("inf")), refused="inf"),
    Case("a number too small for a float", file(among("1e-400")), treatment="0", result=A),
    Case(
        "whole numbers beyond 2^63",
        file(among("9223372036854775808")),
        treatment="real numbers, rounded",
        result={**A, "stored_as": "float32"},
    ),
    Case("whole numbers of 400 digits", file(among("9" * 400)), refused="inf"),
    Case(
        "whole numbers beyond 2^24",
        file(all_of("16777217", "16777219", "16777221")),
        treatment="kept exact, in float64",
        result={**A, "stored_as": "float64"},
    ),
    Case(
        "numbers with spaces around them",
        file(all_of(" 1", "2 ", " 3 ")),
        treatment="numbers",
        result={**A, "values": "reals"},
    ),
    Case("numbers with a plus", file(all_of("+1", "+2.5", "3")), treatment="numbers", result={**A, "values": "reals"}),
    Case("numbers with a bare point", file(all_of(".5", "1.", "2")), treatment="numbers", result=A),
    Case("numbers of quoted text", file(all_of('"1"', '"2"', '"3"')), treatment="numbers", result=A),
    as_text("decimal commas in quotation marks", '"1,5"', '"2,5"', '"3,25"'),
    Case("decimal commas", file("a;b\n1,5;2\n2,5;3\n4,0;7\n"), treatment="text, a category each", result=A),
    as_text("thousands set off by commas", '"1,000"', '"2,000"', '"13,000"'),
    as_text("thousands set off by spaces", "1 000", "2 000", "13 000"),
    as_text("thousands set off by underscores", "1_000", "2_000", "13_000"),
    as_text("currency", "$5", "$7.50", "EUR 3"),
    as_text("percent", "5%", "7%", "12%"),
    Case(
        "hexadecimal numbers",
        file(all_of("0x1F", "0x2A", "0xFF")),
        treatment="numbers",
        result={**A, "example": "vectors of 2 columns, real values from 0 to 255"},
    ),
    as_text("fractions", "1/2", "3/4", "2/3"),
    as_text("units", "5 kg", "7 kg", "80 g"),
    as_text("complex numbers", "1+2j", "3+4j", "5j"),
    as_text("Arabic digits", "\u0661", "\u0662", "\u0663"),
    as_text("formulas of a spreadsheet", "=A1", "=A2", "=CMD()"),
    as_text("versions", "1.2.3", "1.2.4", "2.0.0"),
    as_text("addresses", "10.0.0.1", "10.0.0.2", "::1"),
    Case(
        "leading zeros",
        file(all_of("007", "012", "099")),
        treatment="numbers, unless --column a=category",
        result={**A, "values": "reals"},
    ),
    Case(
        "leading zeros, --column a=category",
        file(all_of("007", "7", "012")),
        options=("--column", "a=category"),
        treatment="three categories",
        result={**A, "values": "columns"},
    ),
    # --- dates
    *(
        Case(
            f"dates as {text}",
            file(all_of(text, text[:-1] + "8")),
            treatment="left out with a note",
            result=LEFT_OUT,
            told="holds dates or times",
        )
        for text in ("2024-05-01", "2024-05-01 10:20:31", "2024-05-01T10:20:31", "10:20:31")
    ),
    Case(
        "dates with a zone",
        file(all_of("2024-05-01T10:20:31Z", "2024-05-02T10:20:31+02:00")),
        treatment="left out with a note",
        result=LEFT_OUT,
        told="holds dates or times",
    ),
    as_text("dates as 01/05/2024", "01/05/2024", "02/05/2024", "03/05/2024"),
    as_text("dates as 1. Mai 2024", "1. Mai 2024", "2. Mai 2024", "3. Mai 2024"),
    Case(
        "dates of which one cannot be",
        file(all_of("2024-02-30", "2024-13-01", "2024-05-01")),
        treatment="left out with a note",
        result=LEFT_OUT,
        told="holds dates or times",
    ),
    Case(
        "dates of which some are gaps",
        file(all_of("2024-05-01", "", "2024-05-02")),
        treatment="left out with a note",
        result=LEFT_OUT,
        told="holds dates or times",
    ),
    Case(
        "seconds since 1970",
        file(numbered(40, lambda i: str(1_700_000_000 + 977 * i))),
        treatment="numbers, exact",
        result={**A, "stored_as": "float64"},
    ),
)
