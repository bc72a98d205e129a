"""Images: a folder, a zip file or a single one -> arrays, one by one, or all of one size and mode in one."""

from __future__ import annotations

import contextlib
import functools
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from narrows.data.decoding import Encoded, decoded, described, mode_of
from narrows.data.limits import refuse_bomb
from narrows.data.wording import brief, short
from narrows.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def is_image(name: str) -> bool:
    """Whether a file is an image, by its suffix; hidden files, such as macOS leaves in zip files, are none."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in Path(name).parts[-1:] + Path(name).parts[:1])
    return name.lower().endswith(SUFFIXES) and not hidden


@dataclass(frozen=True)
class Pictures:
    """Images of a folder or a zip file, or one alone, that are decoded one after the other.

    Iterating gives the name and the pixels of each, (height, width) or (height, width, channels), sorted by name; they
    may be of different sizes and modes.

    Parameters
    ----------
    kind : {"folder", "zip", "image"}
        What holds them.
    path : Path
        Where it is.
    listing : callable
        Opens it, for as long as a context lasts, and gives what is in it.
    """

    kind: str
    path: Path
    listing: Callable[[Path], AbstractContextManager[list[Encoded]]]

    def __len__(self) -> int:
        """How many images there are."""
        with self.listing(self.path) as entries:
            return len(entries)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        """Decode all images, from the first."""
        with self.listing(self.path) as entries:
            for entry in entries:
                yield entry.name, decoded(entry)

    def spread(self, count: int) -> list[np.ndarray]:
        """Some of the images, at most so many, from all over."""
        with self.listing(self.path) as entries:
            return [decoded(entry) for entry in entries[:: -(-len(entries) // count)]]

    def alike(self) -> Iterator[np.ndarray]:
        """Decode all images, from the first; raises as `stacked`, when it comes to one that is damaged or differs."""
        with self.listing(self.path) as entries:
            yield from _alike(entries, str(self.path))

    def stacked(self) -> np.ndarray:
        """All images in one array, each of one size and one mode.

        Returns
        -------
        array, shape (n, height, width) or (n, height, width, channels)
            uint8; uint16 for 16-bit grey.

        Raises
        ------
        InputError
            If one is damaged, or differs from the first in size or mode.
        """
        with self.listing(self.path) as entries:
            return _stacked(entries, str(self.path))


def one_image(path: Path) -> Pictures:
    """A single image, as one example."""
    return Pictures("image", path, _alone)


def folder_of_images(path: Path) -> Pictures:
    """All images in a folder and the folders in it.

    Raises
    ------
    InputError
        When they are listed: if there is none, or a folder cannot be read.
    """
    return Pictures("folder", path, _in_folder)


def zip_of_images(path: Path) -> Pictures:
    """All images in a zip file; nothing is unpacked to disk.

    Raises
    ------
    InputError
        When they are listed: if there is none, or the file is no zip file, encrypted, or a decompression bomb.
    """
    return Pictures("zip", path, _in_zip)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[list[Encoded]]:
    yield [Encoded(str(path), path.stat().st_size, path.read_bytes)]


@contextlib.contextmanager
def _in_folder(path: Path) -> Iterator[list[Encoded]]:
    entries = []
    for folder, _, files in os.walk(path, onerror=_refuse_unread):
        for name in files:
            file = Path(folder, name)
            if is_image(file.relative_to(path).as_posix()):
                entries.append(Encoded(file.relative_to(path).as_posix(), file.stat().st_size, file.read_bytes))
    yield _some(entries, path)


def _refuse_unread(error: OSError) -> None:
    """Refuse a folder that cannot be listed, whose images would be left out in silence."""
    raise InputError(f"the folder {short(str(error.filename))} cannot be read ({brief(error)}); allow it") from error


@contextlib.contextmanager
def _in_zip(path: Path) -> Iterator[list[Encoded]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if is_image(member.filename)]
            refuse_bomb(sum(member.file_size for member in members), path.stat().st_size, str(path))
            entries = [
                Encoded(member.filename, member.file_size, functools.partial(archive.read, member))
                for member in members
            ]
            yield _some(entries, path)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise InputError(f"{short(str(path))} cannot be read as a zip file ({brief(error)}); write it again") from error


def _some(entries: list[Encoded], path: Path) -> list[Encoded]:
    """The images sorted by name; refuse a source without any."""
    if not entries:
        raise InputError(
            f"{short(str(path))} holds no images; give a folder or zip file with {', '.join(SUFFIXES)} files"
        )
    return sorted(entries, key=lambda entry: entry.name)


def _stacked(entries: list[Encoded], source: str) -> np.ndarray:
    """Decode all images into one array, whose size the first one tells."""
    images = _alike(entries, source)
    first = next(images)
    stack = np.empty((len(entries), *first.shape), first.dtype)
    stack[0] = first
    for place, image in enumerate(images, start=1):
        stack[place] = image
    return stack


def _alike(entries: list[Encoded], source: str) -> Iterator[np.ndarray]:
    """Decode images one by one; refuse one of another size or mode than the first, and more than can honestly be."""
    first = decoded(entries[0])
    refuse_bomb(first.nbytes * len(entries), sum(entry.size for entry in entries), source)
    yield first
    for entry in entries[1:]:
        image = decoded(entry)
        if image.shape[:2] != first.shape[:2] or mode_of(image) != mode_of(first):
            raise InputError(
                f"the images in {short(source)} differ: {short(entry.name)} is {described(image)} and "
                f"{short(entries[0].name)} is {described(first)}; bring all to one size and mode"
            )
        yield image


def stacks(images: Iterator[np.ndarray], cells: int) -> Iterator[np.ndarray]:
    """Images of one size and mode in arrays (n, ...) of at most so many cells, or of one image."""
    for first in images:
        yield np.stack([first, *islice(images, max(1, cells // first.size) - 1)])
