"""Tables of text whose columns say nothing, or are not what they were said to be."""

from __future__ import annotations

from inputs.case import Case, file, numbered
from inputs.cells import LEFT_OUT, A, all_of, among

CASES = (
    Case(
        "a column of gaps",
        file(all_of("")),
        treatment="left out with a note",
        result=LEFT_OUT,
        told="column 'a' is empty and was left out",
    ),
    Case(
        "a column of question marks",
        file(all_of("?")),
        treatment="left out with a note",
        result=LEFT_OUT,
        told="is empty",
    ),
    Case(
        "a constant column",
        file(all_of("5")),
        treatment="left out with a note",
        result=LEFT_OUT,
        told="never changes and was left out",
    ),
    Case(
        "a constant column of text",
        file(all_of("x")),
        treatment="left out with a note",
        result=LEFT_OUT,
        told="never changes",
    ),
    Case(
        "a constant column, for a detector",
        file(all_of("5")),
        verb="train",
        treatment="kept: any other value raises the score",
        told="column 'a' never changes in training: any other value raises the score",
    ),
    Case(
        "one value and gaps",
        file(all_of("5", "")),
        treatment="left out with a note",
        result=LEFT_OUT,
        told="holds one value and gaps",
    ),
    Case(
        "nothing but constant columns",
        file("a,b\n" + "1,x\n" * 30),
        treatment="read; training says that nothing changes",
        result={"rows": 30},
    ),
    Case(
        "nothing but constant columns, for a detector",
        file("a,b\n" + "1,x\n" * 30),
        verb="train",
        treatment="kept: any other value raises the score",
        told="never change in training",
    ),
    Case("nothing but gaps", file("a,b\n" + ",\n" * 30), refused="no column left to learn from"),
    Case(
        "a row of gaps",
        file("a,b\n1,x\n,\n2,y\n3,x\n"),
        treatment="a row whose cells are all missing",
        result={"rows": 4, **A},
    ),
    Case(
        "rows numbered from 0",
        file(numbered(40, str)),
        treatment="left out with a note",
        result=LEFT_OUT,
        told="tells rows apart",
        options=("--column", "b=numeric"),
    ),
    Case(
        "an id in every row",
        file(numbered(40, lambda i: f"id-{i * 7}")),
        treatment="left out with a note",
        result=LEFT_OUT,
        told="column 'a' tells rows apart",
    ),
    Case(
        "a hash in every row",
        file(numbered(40, lambda i: f"{hash((i, 1)) & 0xFFFFFFFF:08x}z")),
        treatment="left out with a note",
        result=LEFT_OUT,
        told="tells rows apart",
    ),
    Case(
        "free text in every row",
        file(numbered(40, lambda i: f'"the {i} of, them"')),
        treatment="left out with a note",
        result=LEFT_OUT,
        told="tells rows apart",
    ),
    Case(
        "nothing but ids", file("a\n" + "".join(f"id-{i}\n" for i in range(40))), refused="no column left to learn from"
    ),
    Case("one column", file("a\n1\n2\n4\n"), treatment="read", result={"columns": ["a"], "rows": 3}),
    Case(
        "true and false in many spellings",
        file(all_of("True", "false", "TRUE")),
        treatment="two values",
        result={**A, "values": "columns"},
    ),
    Case("yes and no", file(all_of("yes", "no")), treatment="two values", result={**A, "values": "columns"}),
    Case(
        "texts that differ in spaces around them",
        file(all_of("x", " x", "y ")),
        treatment="trimmed: two values",
        result={**A, "values": "columns"},
    ),
    Case(
        "a negative number in a column of counts",
        file(among("-1")),
        options=("--column", "a=count"),
        refused="takes whole numbers from 0",
    ),
    Case(
        "a text in a column said to be numeric",
        file(among("x")),
        options=("--column", "a=numeric"),
        refused="holds 'x' in row 0",
    ),
    Case(
        "three values in a column said to be binary",
        file(all_of("1", "2", "3")),
        options=("--column", "a=binary"),
        refused="which takes two different values",
    ),
    Case(
        "a kind that there is not",
        file(all_of("1", "2")),
        options=("--column", "a=number"),
        refused="unknown kind 'number'",
    ),
    Case(
        "a kind for a column that there is not",
        file(all_of("1", "2")),
        options=("--column", "z=numeric"),
        refused="has no column 'z'",
    ),
    Case(
        "--ignore of a column that there is not",
        file(all_of("1", "2")),
        options=("--ignore", "z"),
        refused="has no column 'z'",
    ),
    Case(
        "--label of a column that there is not",
        file(all_of("1", "2")),
        options=("--label", "z"),
        refused="has no column 'z'",
    ),
    Case(
        "--ignore of every column",
        file(all_of("1", "2")),
        options=("--ignore", "a", "--ignore", "b"),
        refused="no column left to learn from",
    ),
)
