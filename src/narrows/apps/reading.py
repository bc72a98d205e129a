"""How a verb reads its data: the options that all verbs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from narrows.data.dataset import Dataset
    from narrows.data.schema import Schema


@dataclass(frozen=True)
class Reading:
    """How to read the data.

    Parameters
    ----------
    key : str, optional
        Which array of an .npz file.
    label : str, optional
        Column that holds labels: it is kept from the model.
    ignore : tuple of str
        Columns to leave out.
    no_header : bool
        The first line of a CSV file holds data: columns are named c0, c1, ...
    values : str, optional
        Kind of values, if not as inferred: binary, levels, counts or reals.
    """

    key: str | None = None
    label: str | None = None
    ignore: tuple[str, ...] = ()
    no_header: bool = False
    values: str | None = None

    def read(self, data: str, schema: Schema | None = None) -> Dataset:
        """Read ``data``; with the schema of a trained model, as that model wants them."""
        from narrows.data.readers import read

        return read(
            data,
            key=self.key,
            label=self.label,
            ignore=self.ignore,
            header=not self.no_header,
            kind=self.values,
            schema=schema,
        )
