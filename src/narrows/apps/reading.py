"""How a verb reads its data: the options that all verbs share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.errors import InputError

if TYPE_CHECKING:
    from narrows.data.dataset import Dataset
    from narrows.data.filed import Filed
    from narrows.data.frames import Frames
    from narrows.data.request import Request
    from narrows.data.schema import Schema
    from narrows.data.unpacking import Unpacked


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
    column : tuple of str, optional
        What a column of a table holds, NAME=KIND, where it is not what its cells suggest: numeric, count, binary,
        category or ignore; give the option once for each. A column that would be left out comes back so.
    tile : int, optional
        Cut images into squares of this side, each half over the next; they may then be of different sizes.
    skip_bad_shards : bool
        Of a folder of tables or arrays, leave out files that cannot be read, and say which; else one stops the work.
    """

    key: str | None = None
    label: str | None = None
    ignore: tuple[str, ...] = ()
    no_header: bool = False
    column: tuple[str, ...] | None = None
    tile: int | None = None
    skip_bad_shards: bool = False

    def words(self) -> tuple[str, ...]:
        """The options of a command line that say this."""
        said: list[str] = []
        for field in dataclasses.fields(self):
            value, flag = getattr(self, field.name), "--" + field.name.replace("_", "-")
            if value is True:
                said.append(flag)
            elif value != field.default:
                for one in value if isinstance(value, tuple) else (value,):
                    said += [flag, str(one)]
        return tuple(said)

    def check(self, data: str) -> None:
        """Raise `InputError` if there is no such file or data set, before anything large is imported."""
        from narrows.data.sources import located

        located(data, self.request())

    def read(
        self,
        data: str,
        schema: Schema | None = None,
        kind: str | None = None,
        *,
        keep_constants: bool = False,
        symbols: bool = False,
    ) -> Dataset:
        """Read ``data`` as the values suggest, as ``kind`` says, or as a trained model's ``schema`` has them."""
        from narrows.data.readers import read_as

        request = dataclasses.replace(self.request(schema), keep_constants=keep_constants, symbols=symbols)
        return read_as(data, request, kind)

    def filed(self, data: str, kind: str | None) -> Filed | None:
        """Find rows that are to stay in their file while a model is trained; None for data to be read whole."""
        from narrows.data.arrays import filed_npy, filed_shards

        path = Path(data)
        if path.is_dir():
            found = filed_shards(path, skip=self.skip_bad_shards)
        else:
            found = filed_npy(path) if path.suffix.lower() == ".npy" and path.is_file() else None
        return found if found is not None and kind in (None, found.kind) else None

    def is_large(self, data: str) -> bool:
        """Whether ``data`` are too many to hold while a model is trained, and can be read part by part."""
        from narrows.data.sizes import is_large

        return is_large(data, self.request())

    def unpacked(self, data: str, kind: str | None, labelled: Callable[[Schema], bool]) -> Unpacked:
        """Write the rows of ``data`` into a temporary file, with labels where what they turn out to be wants them."""
        from narrows.data.unpacking import unpack

        return unpack(data, self.request(), kind, labelled)

    def request(self, schema: Schema | None = None) -> Request:
        """What is asked of a reader of examples that a trained model's ``schema`` has."""
        from narrows.data.request import Request

        kinds = _kinds(self.column or ())
        return Request(
            self.key,
            self.label,
            self.ignore,
            not self.no_header,
            kinds=kinds,
            schema=schema,
            tile=self.tile,
            skip=self.skip_bad_shards,
        )

    def parts(self, data: str, schema: Schema) -> Iterator[tuple[int, Dataset]]:
        """Read ``data`` part by part, as ``schema`` has them, each with the place of its first row."""
        from narrows.data.parts import parts

        return parts(data, self.request(schema))

    def frames(self, data: str, schema: Schema | None = None, cells: int | None = None) -> Frames:
        """Open ``data`` to be read in blocks of so many cells, as a trained model's ``schema`` has them."""
        from narrows.data.frames import CELLS, open_frames

        return open_frames(data, self.request(schema), cells or CELLS)


def _kinds(choices: tuple[str, ...]) -> dict[str, str]:
    """Read NAME=KIND; a name may hold a sign of equality, a kind holds none."""
    kinds: dict[str, str] = {}
    for choice in choices:
        name, sign, kind = choice.rpartition("=")
        if not (name and sign and kind):
            raise InputError(f"--column was given as {choice!r}; it takes NAME=KIND, such as age=numeric")
        if kinds.setdefault(name, kind) != kind:
            raise InputError(f"--column was given two kinds for {name!r}, {kinds[name]} and {kind}; choose one")
    return kinds
