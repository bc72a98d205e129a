"""The same images in other formats: what a file of ours has to beat."""

from __future__ import annotations

import importlib
import io
import lzma
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from narrows.errors import InputError

MOST_IMAGES = 10_000
MOST_CELLS = 2**25  # of a sample
SHEET_CELLS = 2**23  # 10,000 images of 28 x 28 pixels are one sheet
LONGEST_SIDE = 16383  # of WebP
_CHANNELS = (1, 3, 4)
_WINDOW = 2**26  # of xz at its best; a smaller one serves less data as well in less memory


@dataclass(frozen=True)
class Encoder:
    """An image format at its best, without loss.

    Parameters
    ----------
    name : str
        For a person.
    format : str
        As Pillow calls it.
    options : mapping
        For Pillow.
    longest_side : int or None
        Most pixels a side.
    bits : bool
        Whether black and white take one bit a pixel.
    module : str or None
        What makes Pillow know the format, where that is a package of its own.
    """

    name: str
    format: str
    options: Mapping[str, Any]
    longest_side: int | None = None
    bits: bool = False
    module: str | None = None

    def trouble(self, images: list[np.ndarray]) -> str | None:
        """Why these images cannot be encoded, if they cannot."""
        if self.longest_side and max(max(image.shape[:2]) for image in images) > self.longest_side:
            return f"takes no image of more than {self.longest_side} pixels a side"
        try:
            if self.module:
                importlib.import_module(self.module)
        except ImportError:
            return "is not installed; install narrows[compare]"
        return None

    def encode(self, image: np.ndarray) -> bytes:
        """Encode an image (h, w, c), uint8, or bool for black and white."""
        from PIL import Image

        if image.dtype == bool and not self.bits:
            image = image.astype(np.uint8) * 255
        stream = io.BytesIO()
        picture = Image.fromarray(np.ascontiguousarray(image[:, :, 0] if image.shape[2] == 1 else image))
        picture.save(stream, self.format, **self.options)
        return stream.getvalue()


ENCODERS = (
    Encoder("PNG", "PNG", {"optimize": True}, bits=True),
    Encoder("WebP", "WEBP", {"lossless": True, "quality": 100, "method": 6, "exact": True}, LONGEST_SIDE),
    # Small images are often smaller at the lower effort.
    Encoder("JPEG XL, effort 7", "JXL", {"lossless": True, "effort": 7, "num_threads": 1}, module="pillow_jxl"),
    Encoder("JPEG XL, effort 9", "JXL", {"lossless": True, "effort": 9, "num_threads": 1}, module="pillow_jxl"),
)


@dataclass(frozen=True)
class Row:
    """What a format makes of the images.

    Parameters
    ----------
    format : str
        Its name.
    layout : str
        Whether it got the images one by one, as sheets of many, or as one stream of bytes.
    bytes : int or None
        Size of all files together.
    bits_per_cell : float or None
        The same, in bits for each pixel and channel.
    note : str or None
        Why there is no size.
    """

    format: str
    layout: str
    bytes: int | None
    bits_per_cell: float | None
    note: str | None = None


class Sample:
    """An evenly spread sample of images that come in blocks: all of them, up to 10,000 images or 32 million cells.

    Parameters
    ----------
    total : int
        How many images will come.

    Attributes
    ----------
    blocks : list of array, shape (n, h, w, c)
        What was taken so far.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.blocks: list[np.ndarray] = []
        self._seen = 0
        self._places = np.empty(0, int)

    def add(self, values: np.ndarray) -> None:
        """Look at further images, uint8 (n, channels, height, width)."""
        if not self._seen:
            most = min(self.total, MOST_IMAGES, max(1, MOST_CELLS // values[0].size))
            self._places = np.linspace(0, self.total - 1, most).round().astype(int)
        here = (self._seen <= self._places) & (self._places < self._seen + len(values))
        if here.any():
            self.blocks.append(np.moveaxis(values[self._places[here] - self._seen], 1, 3))
        self._seen += len(values)

    @property
    def note(self) -> str | None:
        """That it is a sample, where it is one."""
        taken = sum(map(len, self.blocks))
        return None if taken == self.total else f"compared on {taken:,} of {self.total:,} images, evenly spread"


def compared(values: np.ndarray | Sequence[np.ndarray]) -> Iterator[Row]:
    """Encode images in other formats without loss, and say how large they are; each row takes a while.

    Parameters
    ----------
    values : array, shape (n, h, w) or (n, h, w, c), or a sequence of such arrays
        uint8; arrays of a sequence may hold images of different sizes. Grey images of nothing
        but 0 and 1 are written as black and white: one bit a pixel in a PNG file.

    Yields
    ------
    Row
        One for each format and layout.

    Raises
    ------
    InputError
        If there is no image, or one has other than 1, 3 or 4 channels.
    """
    blocks = [values] if isinstance(values, np.ndarray) else values
    images = [np.atleast_3d(image) for block in blocks for image in block]
    cells = sum(image.size for image in images)
    if not cells or any(image.shape[2] not in _CHANNELS for image in images):
        raise InputError("other formats hold images of 1, 3 or 4 channels; give at least one such image")
    if all(image.shape[2] == 1 and image.max() <= 1 for image in images):
        images = [image.astype(bool) for image in images]
    for encoder in ENCODERS:
        trouble = encoder.trouble(images)
        for layout, pictures in (("one by one", images), ("sheets", _sheets(images))):
            size = None if trouble else sum(len(encoder.encode(picture)) for picture in pictures)
            yield _row(encoder.name, layout, size, cells, trouble)
    yield _row("xz", "raw stream", xz_size((np.ascontiguousarray(image).data for image in images), cells), cells)


def _row(name: str, layout: str, size: int | None, cells: int, note: str | None = None) -> Row:
    return Row(name, layout, size, None if size is None else 8 * size / cells, note)


def _sheets(images: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Images of each shape side by side, on sheets that are about square and not too large for any format."""
    alike: dict[tuple[int, ...], list[np.ndarray]] = {}
    for image in images:
        alike.setdefault(image.shape, []).append(image)
    for (height, width, channels), group in alike.items():
        most = min(len(group), max(1, SHEET_CELLS // (height * width * channels)))
        across = max(1, min(round((most * height / width) ** 0.5), LONGEST_SIDE // width))
        down = max(1, min(-(-most // across), LONGEST_SIDE // height))
        for start in range(0, len(group), across * down):
            yield _sheet(group[start : start + across * down], across)


def _sheet(images: list[np.ndarray], across: int) -> np.ndarray:
    """Images of one shape in rows; what is left of the last row is black."""
    height, width, channels = images[0].shape
    down = -(-len(images) // across)
    sheet = np.zeros((down, height, across, width, channels), images[0].dtype)
    for place, image in enumerate(images):
        sheet[place // across, :, place % across] = image
    return sheet.reshape(down * height, across * width, channels)


def xz_size(pieces: Iterable[memoryview | bytes], size: int) -> int:
    """Bytes of pieces of data, of so many bytes in all, in one xz stream at its best."""
    best = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": min(_WINDOW, max(4096, size))}
    stream = lzma.LZMACompressor(filters=[best])
    return sum(len(stream.compress(piece)) for piece in pieces) + len(stream.flush())
