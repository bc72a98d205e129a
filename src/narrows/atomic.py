"""Files and folders that are whole or absent: write beside, then rename."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator
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
        If no file can be written there; see `check_target`.
    OSError
        If writing fails, as on a full disk; it names ``path``.
    """
    check_target(Path(path))
    target = Path(os.path.realpath(path))  # a link stays a link
    beside = _beside(target)
    try:
        with naming(path):
            beside.touch()
            mode = beside.stat().st_mode  # what this person's files get; some libraries write files only they can read
            yield beside
            beside.chmod(mode)
            with beside.open("rb") as written:
                os.fsync(written.fileno())
            beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; it takes ``path``'s name when the block ends without an error.

    Parameters
    ----------
    path : Path
        The folder to write; an empty one of that name is replaced.

    Raises
    ------
    InputError
        If there is something of that name, or no folder can be made there.
    OSError
        If writing fails, as on a full disk; it names ``path``.
    """
    empty = path.is_dir() and not any(path.iterdir())
    if path.exists() and not empty:
        raise InputError(f"{path} is there already; give the name of a new folder")
    if not empty:
        check_target(path)
    target = Path(os.path.realpath(path))  # a link stays a link
    beside = _beside(target)
    try:
        with naming(path):
            beside.mkdir()
            yield beside
            if empty:
                target.rmdir()
            beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _beside(target: Path) -> Path:
    """A new temporary name for a file or folder, by which `remove_leftovers` knows it."""
    return target.with_name(f".{target.stem[:40]}.{secrets.token_hex(4)}{target.suffix}")


def remove_leftovers(targets: Iterable[Path]) -> None:
    """Remove what writers that were killed left beside these files and folders; none may be writing them now."""
    known = {(target.parent, target.stem[:40], target.suffix) for target in targets}
    for folder in {parent for parent, _, _ in known}:
        for path in list(folder.iterdir()):
            found = re.fullmatch(r"\.(.*)\.[0-9a-f]{8}(\.[^.]*|)", path.name, re.DOTALL)
            if found is None or (folder, *found.groups()) not in known:
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def check_folder(path: Path) -> None:
    """Raise `InputError` unless files can be written into a folder ``path``, there already or yet to be made."""
    place = next(one for one in (path, *path.absolute().parents) if one.exists())
    if not place.is_dir():
        raise InputError(f"{place} is a file; give the name of a folder to write into")
    _check_takes_files(place, "choose another folder")


def _check_takes_files(folder: Path, remedy: str) -> None:
    """Raise `InputError` unless a file can be made in a folder: what its mode says does not bind every file system."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{folder} may not be written to ({error.strerror}); {remedy}") from error


@contextlib.contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Have trouble with a file within the block bear the name that a person gave: libraries tell none, or another."""
    try:
        yield
    except OSError as error:
        said = " ".join((error.strerror or str(error)).split())
        raise OSError(error.errno or errno.EIO, said, str(path)) from error


def check_target(path: Path, inputs: Iterable[Path | str] = (), *, makes: str = "a file") -> None:
    """Raise `InputError` unless a file can be written at ``path``; call it before work whose result goes there.

    Parameters
    ----------
    path : Path
        The file to write.
    inputs : iterable of Path or str
        Files that are read for it, which it must not overwrite; names of data sets may be among them.
    makes : str
        What is written, in words.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the name of {makes} to write")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is a device or a pipe; give the name of a file to write")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} to write {path.name} in; make it first")
    _check_takes_files(path.parent, f"choose another folder for {path.name}")
    # A key may follow the name of a file, as in data.npz:x.
    given = [Path(name) for source in inputs for name in (str(source), str(source).rpartition(":")[0])]
    if path.exists() and any(source.is_file() and source.samefile(path) for source in given):
        raise InputError(f"{path} would be overwritten, and it is read here; give the output another name")
