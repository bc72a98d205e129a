"""What is asked of a reader, and the refusal of what would go unheeded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from narrows.data import named
from narrows.data.schema import Schema
from narrows.data.wording import listed, short
from narrows.errors import InputError, at_least

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Request:
    """What was asked of a reader; the parameters are those of `read`.

    Raises
    ------
    InputError
        If there is no such split, or kinds of columns were given beside a schema, which states them.
    """

    key: str | None = None
    label: str | None = None
    ignore: tuple[str, ...] = ()
    header: bool = True
    split: str = "train"
    kinds: Mapping[str, str] = field(default_factory=dict)
    schema: Schema | None = None
    keep_constants: bool = False
    symbols: bool = False
    tile: int | None = None
    skip: bool = False

    def __post_init__(self) -> None:
        """Check what stands for itself."""
        if self.exact and self.kinds:
            raise InputError("kinds of columns were given, and cells are kept as they are written; leave them out")
        if self.tile is not None:
            at_least("tile", self.tile, 2)
        if self.split not in named.SPLITS:
            raise InputError(f"unknown split {short(self.split)}; allowed are {listed(named.SPLITS)}")
        if self.kinds and self.schema is not None:
            raise InputError(
                "kinds of columns were given with a trained model's schema, which states them; leave them out"
            )

    @property
    def exact(self) -> bool:
        """Whether a table is read as symbols that stand for its cells as they are written."""
        return self.symbols or bool(self.schema and self.schema.alphabets)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that are not the model's to learn."""
        return (*self.ignore, *((self.label,) if self.label is not None else ()))

    def options(self) -> set[str]:
        """Names of the options that were given."""
        given = {
            "key": self.key,
            "label": self.label,
            "ignore": self.ignore,
            "header": not self.header,
            "column": self.kinds,
            "tile": self.tile,
            "skip_bad_shards": self.skip,
        }
        return {name for name, value in given.items() if value} | ({"split"} if self.split != "train" else set())


def refuse_options(request: Request, allowed: frozenset[str], what: str) -> None:
    """An option that would go unheeded is a misunderstanding."""
    unheeded = sorted(request.options() - allowed)
    if unheeded:
        meaning = {
            "key": "key names an array of an .npz file",
            "label": "label names a column of a table",
            "ignore": "ignore names columns of a table",
            "header": "header is for tables of text",
            "column": "column says what a column of a table holds",
            "split": "split is for named data sets",
            "tile": "tile cuts images of a folder or a zip file",
            "skip_bad_shards": "skip_bad_shards is for a folder of shards",
        }[unheeded[0]]
        raise InputError(f"{unheeded[0]} was given for {what}; {meaning}: leave it out")
