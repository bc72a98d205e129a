"""Names of files and folders that hold no data."""

from __future__ import annotations

import os
from pathlib import Path

from inputs.case import Case, file

TABLE = "a,b\n1,2\n3,5\n4,4\n"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "t.csv")
    return folder / "t.csv"


def loop(folder: Path) -> Path:
    (folder / "t.csv").symlink_to(folder / "u.csv")
    (folder / "u.csv").symlink_to(folder / "t.csv")
    return folder / "t.csv"


def dangling(folder: Path) -> Path:
    (folder / "t.csv").symlink_to(folder / "none.csv")
    return folder / "t.csv"


def linked(folder: Path) -> Path:
    (folder / "u.csv").symlink_to(file(TABLE)(folder))
    return folder / "u.csv"


def beside(folder: Path) -> Path:
    file(TABLE, "flows.csv")(folder)
    return folder / "flow.csv"


def folder_named(name: str):
    def make(folder: Path) -> Path:
        (folder / name).mkdir()
        return folder / name

    return make


CASES = (
    Case("a file that there is not", lambda folder: folder / "none.csv", refused="no such file or data set"),
    Case("a name with a letter missing", beside, refused="flows.csv'?"),
    Case("an empty name", lambda folder: "", refused="no such file or data set: ''"),
    Case("a name of 5,000 letters", lambda folder: folder / ("x" * 5000), refused="no such file or data set"),
    Case("a name with an end of line", lambda folder: folder / "no\nsuch.csv", refused="no such file or data set"),
    Case(
        "a name with a control character",
        lambda folder: folder / "no\x1b[31msuch.csv",
        refused="no such file or data set",
    ),
    Case("a file as a folder", lambda folder: file(TABLE)(folder) / "t.csv", refused="no such file or data set"),
    Case("a folder named .csv", folder_named("t.csv"), refused="holds no images"),
    Case("a named pipe", pipe, refused="is a device or a pipe"),
    Case("a device of endless zeros", lambda folder: Path("/dev/zero"), refused="is a device or a pipe"),
    Case("a device of nothing", lambda folder: Path("/dev/null"), refused="is a device or a pipe"),
    Case("a link to a file", linked, treatment="followed", result={"rows": 3}),
    Case("links in a circle", loop, refused="no such file or data set"),
    Case("a link to nothing", dangling, refused="no such file or data set"),
    Case(
        "a file without a suffix, of a table",
        file(TABLE, "table"),
        treatment="read as a table of text",
        result={"rows": 3},
    ),
    Case("a file without a suffix, of bytes", file(bytes(range(256)) * 9, "table"), refused="is of an unknown kind"),
    Case("an unknown split of a named set", lambda folder: "digits:half", refused="half"),
    Case(
        "an option for another kind of file",
        file(TABLE),
        options=("--key", "x"),
        refused="key names an array of an .npz file",
    ),
    Case(
        "--values for a mixed table",
        file("a,b\n1,x\n2,y\n3,x\n"),
        options=("--values", "counts"),
        refused="whose columns have kinds of their own",
    ),
    Case(
        "--values that the data do not fit",
        file("a,b\n1.5,2\n2,3\n"),
        options=("--values", "counts"),
        refused="counts are whole numbers from 0",
    ),
    Case("--column without a kind", file(TABLE), options=("--column", "a"), refused="it takes NAME=KIND"),
    Case("the output is a folder", file(TABLE), verb="train", options=("-o", "."), refused="is a folder"),
    Case(
        "the output is in a folder that there is not",
        file(TABLE),
        verb="train",
        options=("-o", "none/m.safetensors"),
        refused="there is no folder none",
    ),
    Case(
        "the output is a device",
        file(TABLE),
        verb="train",
        options=("-o", "/dev/null"),
        refused="is a device or a pipe",
    ),
)
