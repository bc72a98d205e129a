"""Tables for a trained model: rows like those it was trained on, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inputs.case import Case, file
from inputs.rows import SOUND, as_csv, new, parquet_of, renamed, table, with_cells, without

TEXT = as_csv(new())
ROWS = {"rows": SOUND}
GAPS = new()["sent"].count("")


def detect(
    name: str,
    make: Callable[[Path], Path],
    *options: str,
    refused: str = "",
    treatment: str = "",
    scores: str = "",
    rows: int = SOUND,
) -> Case:
    result = {} if refused else {"rows": rows}
    return Case(f"detect: {name}", make, refused, treatment, result, verb="detect", options=options, scores=scores)


def impute(
    name: str, make: Callable[[Path], Path], *options: str, refused: str = "", treatment: str = "", gaps: int = GAPS
) -> Case:
    result = {} if refused else {"gaps": gaps}
    return Case(f"impute: {name}", make, refused, treatment, result, verb="impute", options=options)


CASES = (
    Case(
        "report: a column missing",
        table(without("hops")),
        "lacks the column 'hops' that the model was trained on",
        verb="report of rows",
    ),
    Case(
        "export: a column missing",
        table(without("hops")),
        "lacks the column 'hops' that the model was trained on",
        verb="export on rows",
    ),
    detect("a column missing", table(without("hops")), refused="lacks the column 'hops' that the model was trained on"),
    detect("a constant column missing", table(without("version")), refused="lacks the column 'version'"),
    detect(
        "a column renamed",
        table(renamed("hops", "hop")),
        refused="it has 'sent', 'service', 'version', 'hop', 'flag'; did you mean 'hop'?",
    ),
    detect("a name in capitals", table(renamed("hops", "HOPS")), refused="lacks the column 'hops'"),
    detect("a name with a space", table(renamed("hops", "hops ")), refused="did you mean 'hops '?"),
    detect("columns reordered", table(dict(reversed(new().items()))), treatment="found by their names", scores="same"),
    detect(
        "columns reordered in a Parquet file",
        parquet_of(dict(reversed(new().items()))),
        treatment="found by their names",
        scores="same",
    ),
    detect(
        "further columns", table({"id": [str(i) for i in range(SOUND)], **new()}), treatment="left out", scores="same"
    ),
    detect(
        "a column twice", file(TEXT.replace("version,hops", "hops,hops", 1)), refused="has two columns named 'hops'"
    ),
    detect("semicolons", table(new(), ";"), treatment="read", scores="same"),
    detect("CR LF", file(TEXT.replace("\n", "\r\n")), treatment="read", scores="same"),
    detect(
        "every cell in quotation marks",
        file("\n".join('"' + line.replace(",", '","') + '"' for line in TEXT.splitlines())),
        treatment="read",
        scores="same",
    ),
    detect("numbers as text", parquet_of(new()), treatment="read as numbers", scores="same"),
    detect(
        "whole numbers with a point",
        table({**new(), "hops": [f"{hops}.0" for hops in new()["hops"]]}),
        treatment="the same numbers",
        scores="same",
    ),
    detect(
        "spaces around categories",
        table({**new(), "service": [f" {one} " for one in new()["service"]]}),
        treatment="trimmed",
        scores="same",
    ),
    detect(
        "other words for gaps",
        table({**new(), "sent": [cell or "NULL" for cell in new()["sent"]]}),
        treatment="missing cells",
        scores="same",
    ),
    detect(
        "a text in a numeric column",
        table(with_cells("hops", "1", "x")),
        refused="holds 'x' in row 1 (counted from 0) of the numeric column 'hops'",
    ),
    detect("a decimal comma in a numeric column", table(with_cells("hops", "1,5")), refused="holds '1,5' in row 0"),
    detect(
        "a date in a numeric column", table(with_cells("hops", "2024-05-01")), refused="holds '2024-05-01' in row 0"
    ),
    detect(
        "dates for a whole numeric column",
        table({**new(), "hops": ["2024-05-01"] * SOUND}),
        refused="of the numeric column 'hops'",
    ),
    detect(
        "true and false for a whole numeric column",
        table({**new(), "hops": ["true", "false"] * 30}),
        refused="of the numeric column 'hops'",
    ),
    *(
        detect(f"{text} in a numeric column", table(with_cells("hops", text)), refused="takes numbers up to 3.4e38")
        for text in ("inf", "-Infinity", "1e400", "1e39")
    ),
    *(
        detect(f"{text} in a numeric column", table(with_cells("hops", text)), treatment="scored", scores="higher")
        for text in ("1e38", "-1e38", "1e6", "999")
    ),
    detect(
        "a gap where there was none in training", table(with_cells("hops", "")), treatment="scored", scores="higher"
    ),
    detect(
        "a row of gaps",
        table({name: ["", *cells[1:]] for name, cells in new().items()}),
        treatment="scored",
        scores="higher",
    ),
    detect("a column of gaps", table({**new(), "hops": [""] * SOUND}), treatment="scored", scores="higher everywhere"),
    detect(
        "nothing but gaps",
        table({name: [""] * SOUND for name in new()}),
        treatment="scored",
        scores="higher everywhere",
    ),
    detect("a value not seen in training", table(with_cells("service", "gopher")), treatment="scored", scores="higher"),
    detect(
        "a category in capitals",
        table(with_cells("service", "HTTP")),
        treatment="a value not seen in training",
        scores="higher",
    ),
    detect(
        "a category of a million letters",
        table(with_cells("service", "x" * 1_000_000)),
        treatment="a value not seen in training",
        scores="higher",
    ),
    detect(
        "numbers for categories",
        table({**new(), "service": [str(i) for i in range(SOUND)]}),
        treatment="values not seen in training",
        scores="higher everywhere",
    ),
    detect(
        "a third value of two",
        table(with_cells("flag", "maybe")),
        treatment="a value not seen in training",
        scores="higher",
    ),
    detect(
        "another value in a constant column", table(with_cells("version", "6")), treatment="scored", scores="higher"
    ),
    detect("a ragged row", file(TEXT + "1,2\n"), refused="Expected 5 columns, got 2"),
    detect(
        "Latin-1",
        file(as_csv(with_cells("service", "bodø")).encode("latin-1")),
        refused="invalid UTF8 data); write it again, as UTF-8",
    ),
    detect("UTF-16", file(TEXT.encode("utf-16")), refused="holds NUL bytes"),
    detect("an empty file", file(""), refused="is empty"),
    detect("a header and no rows", file(TEXT.partition("\n")[0] + "\n"), refused="has names and no rows"),
    detect("one row", file("".join(TEXT.splitlines(keepends=True)[:2])), treatment="scored", rows=1),
    detect(
        "no header, --no-header",
        file(as_csv(new(), header=False)),
        "--no-header",
        treatment="columns by their order",
        scores="same",
    ),
    detect(
        "no header, and a column too few",
        file(as_csv(without("flag"), header=False)),
        "--no-header",
        refused="lacks the column 'sent'",
    ),
    detect("no header, and not said", file(as_csv(new(), header=False)), refused="where names belong"),
    detect("images", lambda folder: Path("digits"), refused="digits"),
    detect(
        "a kind for a column of a trained model",
        table(new()),
        "--column",
        "hops=count",
        refused="trained model's schema, which states them",
    ),
    detect("a label that there is not", table(new()), "--label", "y", refused="has no column 'y'"),
    detect("--ignore of a column of the model", table(new()), "--ignore", "hops", refused="lacks the column 'hops'"),
    # --- gaps
    impute("no gap", table({**new(), "sent": ["1"] * SOUND}), treatment="copied", gaps=0),
    impute("columns reordered", table(dict(reversed(new().items()))), treatment="found by their names"),
    impute("further columns", table({"id": [str(i) for i in range(SOUND)], **new()}), treatment="copied"),
    impute(
        "a further column with a cell of a million letters",
        table({"note": ["x" * 1_000_000] + ["y"] * (SOUND - 1), **new()}),
        treatment="copied",
    ),
    impute("a column missing", table(without("hops")), refused="lacks the column 'hops'"),
    impute("a column renamed", table(renamed("hops", "hop")), refused="did you mean 'hop'?"),
    impute(
        "a column twice", file(TEXT.replace("version,hops", "hops,hops", 1)), refused="has two columns named 'hops'"
    ),
    impute("a text in a numeric column", table(with_cells("hops", "x")), refused="holds 'x' in row 0"),
    impute("an infinity", table(with_cells("hops", "inf")), refused="takes numbers up to 3.4e38"),
    impute(
        "a row of gaps",
        table({name: ["", *cells[1:]] for name, cells in new().items() if name != "version"}),
        treatment="filled with what is usual",
        gaps=GAPS + 4 - (new()["sent"][0] == ""),
    ),
    impute(
        "nothing but gaps",
        table({name: [""] * SOUND for name in new() if name != "version"}),
        treatment="filled with what is usual",
        gaps=4 * SOUND,
    ),
    impute("a value not seen in training", table(with_cells("service", "gopher")), treatment="copied"),
    impute(
        "a column named as that of spreads would be",
        table({**new(), "sent_spread": ["1"] * SOUND}),
        "--draws",
        "5",
        refused="a column 'sent_spread', which the table has already",
    ),
    impute(
        "a column named as that of spreads would be, in a Parquet file",
        parquet_of({**new(), "sent_spread": ["1"] * SOUND}),
        "--draws",
        "5",
        refused="a column 'sent_spread', which the table has already",
    ),
    impute("semicolons", table(new(), ";"), treatment="read, and written with semicolons"),
    impute("bars", table(new(), "|"), treatment="read, and written with bars"),
    impute("CR LF", file(TEXT.replace("\n", "\r\n")), treatment="read"),
    impute("a byte order mark", file("\ufeff" + TEXT), treatment="left out"),
    impute("ends of lines within cells", table({**new(), "note": ["x\ny"] * SOUND}), treatment="copied"),
    impute("empty lines", file(TEXT.replace("\n", "\n\n")), treatment="left out"),
    impute("empty lines before the names", file("\n\n" + TEXT), treatment="left out"),
    impute(
        "a quotation mark that is not closed", file(TEXT + '"1,http,4,1,yes\n'), refused="Expected 5 columns, got 1"
    ),
    impute("Latin-1", file(as_csv(with_cells("service", "bodø")).encode("latin-1")), refused="as UTF-8"),
    impute(
        "Latin-1 in a further column",
        file(as_csv({**new(), "note": ["bodø"] * SOUND}).encode("latin-1")),
        refused="is not in UTF-8",
    ),
    impute("a header and no rows", file(TEXT.partition("\n")[0] + "\n"), refused="has names and no rows"),
    impute("an empty file", file(""), refused="is empty"),
    impute("a ragged row", file(TEXT + "1,2\n"), refused="Expected 5 columns, got 2"),
    impute("a spread of -1 draws", table(new()), "--draws", "-1", refused="draws was given as -1"),
)
