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
        Column of a table, or array of an .npz file, that holds labels: it is kept from the model.
    ignore : tuple of str
        Column of a table to leave out; give the option once for each.
    no_header : bool
        The first line of a CSV file holds data: columns are named c0, c1, ...
    """

    key: str | None = None
    label: str | None = None
    ignore: tuple[str, ...] = ()
    no_header: bool = False

    def read(self, data: str, schema: Schema | None = None, kind: str | None = None) -> Dataset:
        """Read ``data`` as the values suggest, as ``kind`` says, or as a trained model's ``schema`` has them."""
        from narrows.data.readers import read

        return read(
            data,
            key=self.key,
            label=self.label,
            ignore=self.ignore,
            header=not self.no_header,
            kind=kind,
            schema=schema,
        )
