"""Fill the gaps of a table with what the rest of each row says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.atomic import check_target
from narrows.errors import at_least, at_most

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from narrows.data.gaps import Filling
    from narrows.data.schema import Column, Schema
    from narrows.persist import Fitted

MADE_UP = re.compile(r"c\d+")
USUAL_DRAWS = 100
MOST_DRAWS = 10_000
TEXT = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET = (".parquet", ".pq")
ARROW = (".arrow", ".arrows", ".ipc", ".feather")


@dataclass(frozen=True)
class Filled:
    """A table whose gaps were filled.

    Parameters
    ----------
    file : str
        Its name.
    rows : int
        Rows in it.
    gaps : int
        Cells that were missing, and now are filled.
    columns : list of str
        The columns that had gaps.
    """

    file: str
    rows: int
    gaps: int
    columns: list[str]


def impute(
    model: Path,
    data: str,
    output: Path,
    draws: int = 0,
    reading: Reading = Reading(),  # noqa: B008  frozen
) -> Filled:
    """Fill the missing cells of a table: numbers by their mean given the rest of the row, categories by the likeliest.

    Parameters
    ----------
    model : Path
        A model file, trained on a table with gaps; preset imputing learns to fill them.
    data : str
        A table with gaps, such as the one the model was trained on.
    output : Path
        .csv, .parquet or .arrow; all columns of the table, the cells that are there as they are.
    draws : int
        Codes drawn for each row; the standard deviation of a filled number then stands in one more column, such as
        age_spread. 0 draws 100, and writes no such column.
    reading : Reading
        How to read the data.
    """
    check_draws(draws)
    check_target(output, inputs=[model, data])

    import numpy as np

    from narrows.data import writers
    from narrows.data.gaps import fill_text, filled_table
    from narrows.persist import load

    suffix = writers.check_suffix(output, tuple(writers.TABLE_WRITERS))
    fitted = load(model)
    given = reading.read(data, fitted.schema).values
    filled, spread = fill(fitted, given, draws)
    gaps = np.isnan(given)
    fillings = _fillings(fitted.schema, reading, filled, gaps, spread if draws else None)
    source, header = Path(data), not reading.no_header
    if suffix == ".csv" and source.name.lower().endswith(TEXT) and source.is_file():
        fill_text(source, output, fillings, header)
    elif (table := _table_in(source, header)) is not None:
        writers.TABLE_WRITERS[suffix](filled_table(table, fillings), output)
    else:
        writers.write_table(filled, fitted.schema, output, _spreads(fillings, fitted.schema, len(filled)))
    return Filled(str(output), len(given), int(gaps.sum()), [filling.column.name for filling in fillings])


def check_draws(draws: int) -> None:
    """Raise `InputError` for a number of draws that cannot be taken."""
    at_least("draws", draws, 0)
    at_most("draws", draws, MOST_DRAWS)


def fill(fitted: Fitted, given: np.ndarray, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Raw rows (n, columns) with their gaps filled, counts by whole numbers; and the standard deviations of those."""
    import numpy as np

    from narrows.data.features import RULES
    from narrows.inference import imputed
    from narrows.tensors import tensor_of

    filled, spread = (part.numpy() for part in imputed(fitted.model, tensor_of(given), draws or USUAL_DRAWS))
    whole = [RULES[column.kind].whole for column in fitted.schema.columns or ()]
    return np.where(np.isnan(given) & whole, filled.round(), filled), spread


def _fillings(
    schema: Schema, reading: Reading, filled: np.ndarray, gaps: np.ndarray, spread: np.ndarray | None
) -> list[Filling]:
    """What goes into the gaps of each column that has some."""
    from narrows.data.gaps import Filling

    fillings = []
    columns = schema.columns or ()
    for place, (column, name) in enumerate(zip(columns, _names_in_file(columns, reading), strict=True)):
        rows = gaps[:, place].nonzero()[0]
        if not len(rows):
            continue
        wanted = spread is not None and not column.categories
        fillings.append(Filling(column, name, rows, filled[rows, place], spread[rows, place] if wanted else None))  # type: ignore[index]
    return fillings


def _names_in_file(columns: Sequence[Column], reading: Reading) -> list[str]:
    """Names of the model's columns in the file: by their order where it has no header, and the model has names."""
    names = [column.name for column in columns]
    if not reading.no_header or all(MADE_UP.fullmatch(name) for name in names):
        return names
    kept_away = {*reading.ignore, reading.label}
    made_up = (f"c{place}" for place in range(len(names) + len(kept_away)))
    return [name for name in made_up if name not in kept_away][: len(names)]


def _spreads(fillings: list[Filling], schema: Schema, rows: int) -> dict[str, np.ndarray]:
    """Further columns of standard deviations, NaN where a cell was there."""
    from narrows.data.gaps import with_spread

    return {one.spread_name: one.spread_of(rows) for one in with_spread(fillings, schema.names or ())}


def _table_in(source: Path, header: bool) -> pa.Table | None:
    """The table of a file as it stands there; None of any other source."""
    from narrows.data import columnar, tables

    readers: Mapping[tuple[str, ...], Callable[[Path], pa.Table]] = {
        TEXT: lambda path: tables.read_text_table(path, header),
        PARQUET: columnar.read_parquet,
        ARROW: columnar.read_arrow,
    }
    name = source.name.lower()
    return next(
        (read(source) for suffixes, read in readers.items() if source.is_file() and name.endswith(suffixes)), None
    )
