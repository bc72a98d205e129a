"""Names of the columns of a table: which of them a model learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from narrows.data.kinds import checked_kinds
from narrows.data.schema import ColumnKind, Schema
from narrows.data.wording import listed, nearest, short
from narrows.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


def learnt_names(
    found: pa.Schema,
    what: str,
    label: str | None,
    ignore: Sequence[str],
    kinds: Mapping[str, str],
    schema: Schema | None = None,
) -> tuple[tuple[str, ...], dict[str, ColumnKind]]:
    """Names of the columns that are not kept from the model, in their order, and the kinds that were said of some.

    Raises
    ------
    InputError
        As `raw_columns`, for what names alone tell.
    """
    present = list(found.names)
    refuse_repeated(present, what)
    said, dropped = checked_kinds(kinds, what)
    taken = {*ignore, *dropped, *((label,) if label is not None else ())}
    _refuse_unknown((*ignore, *((label,) if label is not None else ()), *kinds), present, what)
    for name in taken & said.keys():
        raise InputError(f"the column {short(name)} of {what} was given a kind and is kept from the model; choose one")
    taken |= _index_columns(found) - said.keys() - set((schema and schema.names) or ())
    return tuple(name for name in present if name not in taken), said


def no_column_left(present: Sequence[str], what: str) -> InputError:
    """Make the error for a table of nothing but labels and ignored columns."""
    return InputError(f"{what} has no column left to learn from; its columns are {listed(present)}: ignore fewer")


def _refuse_unknown(names: Sequence[str], present: list[str], what: str) -> None:
    for name in names:
        if name not in present:
            raise InputError(
                f"{what} has no column {short(name)}; its columns are {listed(present)}{nearest(name, present)}"
            )


def refuse_repeated(names: Sequence[str], what: str) -> None:
    """Raise `InputError` if two columns have one name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(
                f"{what} has two columns named {short(name)}; rename one, or, if the first line holds data, "
                f"say that there is no header (header=False, --no-header)"
            )
        seen.add(name)


def _index_columns(found: pa.Schema) -> set[str]:
    """A pandas index travels as a column, yet it names the rows and is no measurement."""
    record = found.pandas_metadata or {}
    return {name for name in record.get("index_columns", ()) if isinstance(name, str)}


def matched(names: tuple[str, ...], wanted: tuple[str, ...], what: str, positional: bool) -> tuple[str, ...]:
    """The wanted names if all are there; else, where names are made up, as many in the order they have.

    Raises
    ------
    InputError
        If a wanted column is missing.
    """
    missing = [name for name in wanted if name not in names]
    if not missing:
        return wanted
    if positional and len(names) == len(wanted):
        return names
    raise InputError(
        f"{what} lacks the column {short(missing[0])} that the model was trained on; it has {listed(names)}"
        f"{nearest(missing[0], names)}"
    )
