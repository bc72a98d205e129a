"""Files that are whole or absent: write beside, then rename."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from narrows.errors import InputError


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path in the same folder; it takes ``path``'s name when the block ends without an error.

    Parameters
    ----------
    path : Path or str
        The file to write. What stood there stays until the new file is complete and on the disk.

    Raises
    ------
    InputError
        If the folder does not exist, or ``path`` is a folder.
    """
    path = Path(path)
    check_target(path)
    beside = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def check_target(path: Path) -> None:
    """Raise `InputError` unless a file can be written at ``path``; call it before work whose result goes there."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file to write")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} to write {path.name} in; make it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{path.parent} may not be written to; choose another folder for {path.name}")
