"""Images: a folder, a zip file or a single one -> arrays, one by one, or all of one size and mode in one."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from narrows.data.limits import refuse_bomb
from narrows.data.wording import brief, short
from narrows.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
# Only the decoders that these suffixes call for: a file with a wrong suffix shall not reach a rarer one.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF")
_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {"L": 1, "I;16": 1, "RGB": 3, "RGBA": 4}
_SPOKEN = {"L": "grey", "I;16": "16-bit grey", "RGB": "colour (RGB)", "RGBA": "colour with transparency (RGBA)"}
# What decoders raise at damaged data.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    ZeroDivisionError,
)
_BROKEN_IMAGE = (*_BROKEN, struct.error, zlib.error, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class _Entry:
    """An encoded image: its name, its size in bytes and how to get at them."""

    name: str
    size: int
    load: Callable[[], bytes]


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
    listing: Callable[[Path], AbstractContextManager[list[_Entry]]]

    def __len__(self) -> int:
        """How many images there are."""
        with self.listing(self.path) as entries:
            return len(entries)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray]]:
        """Decode all images, from the first."""
        with self.listing(self.path) as entries:
            for entry in entries:
                yield entry.name, _decoded(entry)

    def spread(self, count: int) -> list[np.ndarray]:
        """Some of the images, at most so many, from all over."""
        with self.listing(self.path) as entries:
            return [_decoded(entry) for entry in entries[:: -(-len(entries) // count)]]

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
def _alone(path: Path) -> Iterator[list[_Entry]]:
    yield [_Entry(str(path), path.stat().st_size, path.read_bytes)]


@contextlib.contextmanager
def _in_folder(path: Path) -> Iterator[list[_Entry]]:
    entries = []
    for folder, _, files in os.walk(path, onerror=_refuse_unread):
        for name in files:
            file = Path(folder, name)
            if is_image(file.relative_to(path).as_posix()):
                entries.append(_Entry(file.relative_to(path).as_posix(), file.stat().st_size, file.read_bytes))
    yield _some(entries, path)


def _refuse_unread(error: OSError) -> None:
    """Refuse a folder that cannot be listed, whose images would be left out in silence."""
    raise InputError(f"the folder {short(str(error.filename))} cannot be read ({brief(error)}); allow it") from error


@contextlib.contextmanager
def _in_zip(path: Path) -> Iterator[list[_Entry]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if is_image(member.filename)]
            refuse_bomb(sum(member.file_size for member in members), path.stat().st_size, str(path))
            entries = [
                _Entry(member.filename, member.file_size, functools.partial(archive.read, member)) for member in members
            ]
            yield _some(entries, path)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise InputError(f"{short(str(path))} cannot be read as a zip file ({brief(error)}); write it again") from error


def _some(entries: list[_Entry], path: Path) -> list[_Entry]:
    """The images sorted by name; refuse a source without any."""
    if not entries:
        raise InputError(
            f"{short(str(path))} holds no images; give a folder or zip file with {', '.join(SUFFIXES)} files"
        )
    return sorted(entries, key=lambda entry: entry.name)


def _stacked(entries: list[_Entry], source: str) -> np.ndarray:
    """Decode all images into one array, whose size the first one tells."""
    images = _alike(entries, source)
    first = next(images)
    stack = np.empty((len(entries), *first.shape), first.dtype)
    stack[0] = first
    for place, image in enumerate(images, start=1):
        stack[place] = image
    return stack


def _alike(entries: list[_Entry], source: str) -> Iterator[np.ndarray]:
    """Decode images one by one; refuse one of another size or mode than the first, and more than can honestly be."""
    first = _decoded(entries[0])
    refuse_bomb(first.nbytes * len(entries), sum(entry.size for entry in entries), source)
    yield first
    for entry in entries[1:]:
        image = _decoded(entry)
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


def mode_of(image: np.ndarray) -> str:
    """Pillow's name of the mode of decoded pixels."""
    if image.ndim == 2:
        return "L" if image.dtype == np.uint8 else "I;16"
    return "RGB" if image.shape[2] == 3 else "RGBA"


def described(image: np.ndarray) -> str:
    """Size and mode of decoded pixels, for a person."""
    return f"{image.shape[1]}x{image.shape[0]} {_SPOKEN[mode_of(image)]}"


def decoded_png(data: bytes, name: str, most: int) -> np.ndarray:
    """Pixels of a PNG file in memory, (height, width) or (height, width, channels), as `Pictures` gives them.

    Raises
    ------
    InputError
        If it is none, damaged, or says that it has more pixels than ``most``, which is known before any is decoded.
    """
    width, height = struct.unpack(">II", data[16:24]) if len(data) >= 24 and data.startswith(_PNG) else (0, 0)
    if width * height > most:
        raise InputError(f"the image {short(name)} has {width * height} pixels; at most {most} are taken")
    return _decoded(_Entry(name, len(data), lambda: data), formats=("PNG",))


def _decoded(entry: _Entry, formats: tuple[str, ...] = _FORMATS) -> np.ndarray:
    """Pixels of one image, (height, width) or (height, width, channels)."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # Pillow warns of a bomb before it refuses at twice the size; here a warning is a refusal.
            # Of flaws beside the pixels, such as a torn EXIF block, it warns and reads on; so do we, in silence.
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(entry.load()), formats=formats)
            _refuse_loss(image, entry.name)
            return _pixels(ImageOps.exif_transpose(image), entry.name)
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        limit = Image.MAX_IMAGE_PIXELS
        raise InputError(f"the image {short(entry.name)} has over {limit} pixels; cut it into smaller ones") from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{short(entry.name)} cannot be read as an image (it is none, or its beginning is damaged); mend it"
        ) from error
    except _BROKEN_IMAGE as error:
        raise InputError(
            f"{short(entry.name)} cannot be read as an image ({brief(error)}); mend or remove it"
        ) from error


def _refuse_loss(image: Image, name: str) -> None:
    """Refuse what Pillow would read in part only: more pages than one, colours deeper than 8 bits."""
    pages = getattr(image, "n_frames", 1)
    if pages > 1 and image.format != "MPO":
        raise InputError(f"the image {short(name)} holds {pages} pages or frames; save each as a file of its own")
    raw = str([tile[3] for tile in getattr(image, "tile", ())])
    if ";16" in raw and _CHANNELS.get(image.mode) != 1 and not image.mode.startswith("I"):
        raise InputError(
            f"the image {short(name)} has colours of 16 bits; save it with 8 bits a channel, or as an .npy array"
        )


def _pixels(image: Image, name: str) -> np.ndarray:
    """The image as 8-bit grey, 16-bit grey, RGB or RGBA, whichever holds all of it."""
    if image.mode.startswith("I") or image.mode == "F":
        cells = np.asarray(image)
        if image.mode == "F" or cells.min() < 0 or cells.max() > 0xFFFF:
            raise InputError(
                f"the image {short(name)} has pixels of 32 bits; save it with 8 or 16 bits, or as an .npy array"
            )
        return cells.astype(np.uint16)
    return np.asarray(image.convert(_plain_mode(image)))


def _plain_mode(image: Image) -> str:
    if image.mode in ("1", "L", "RGB", "RGBA"):
        return "L" if image.mode == "1" else image.mode
    if image.mode in ("P", "PA", "LA", "La", "RGBa") and (image.has_transparency_data or image.mode != "P"):
        return "RGBA"
    if image.mode == "P":
        return "L" if _grey_palette(image) else "RGB"
    return "RGB"


def _grey_palette(image: Image) -> bool:
    colours: Any = np.asarray(image.convert("RGB"))
    return bool((colours == colours[..., :1]).all())
