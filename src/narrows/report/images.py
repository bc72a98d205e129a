"""Images inside the page: PNG files as text, each with words for those who do not see it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from narrows.data.schema import Schema
from narrows.pictures import as_pixels
from narrows.report.markup import Html, tag

LARGEST_SIDE = 64  # pixels: larger images are shown smaller
STRIP_SIDE = 40  # of images in a strip
SMALLEST_SHOWN = 56  # pixels on the page: smaller images are shown larger
THUMBNAIL_SIDE = 28
ACROSS = 40  # thumbnails side by side


def shown(values: np.ndarray, schema: Schema, side: int = LARGEST_SIDE) -> np.ndarray:
    """Raw images (n, c, h, w) -> uint8 (n, h, w, c), no side longer than so many pixels."""
    pixels = as_pixels(values, schema)
    largest = max(pixels.shape[1:3])
    if largest <= side:
        return pixels
    size = tuple(max(1, round(length * side / largest)) for length in pixels.shape[2:0:-1])
    smaller = [np.asarray(_picture(image).resize(size, Image.Resampling.BOX)) for image in pixels]
    return np.stack(smaller).reshape(len(pixels), size[1], size[0], -1)


def picture(pixels: np.ndarray, alt: str) -> Html:
    """One image (h, w, c), uint8, or several of them in one, at the size at which a person sees something."""
    height, width = pixels.shape[:2]
    zoom = max(1, -(-SMALLEST_SHOWN // height))
    return tag("img", src=source(pixels), alt=alt, width=width * zoom, height=height * zoom)


def row_of(images: np.ndarray, alt: str) -> Html:
    """Images (n, h, w, c) side by side, as one picture."""
    n, height, width, channels = images.shape
    return picture(images.transpose(1, 0, 2, 3).reshape(height, n * width, channels), alt)


def labelled(pictures: Iterable[Html], label: str) -> Html:
    """Pictures one above the other, under one line of words."""
    return tag("div", *pictures, tag("span", label), class_="labelled")


def gallery(pieces: Iterable[Html]) -> Html:
    """Pictures that flow as the page is wide."""
    return tag("div", *pieces, class_="gallery")


def thumbnails(values: np.ndarray, schema: Schema) -> tuple[str, tuple[int, int], int]:
    """All images as one sheet: its source, width and height of each in it, and how many are side by side."""
    pixels, size = sheet(values, schema)
    return source(pixels), size, ACROSS


def sheet(values: np.ndarray, schema: Schema) -> tuple[np.ndarray, tuple[int, int]]:
    """All images small, `ACROSS` side by side, as one (h, w, c), uint8; and width and height of each in it."""
    images = shown(values, schema, THUMBNAIL_SIDE)
    n, height, width, channels = images.shape
    down = -(-n // ACROSS)
    paper = np.zeros((down * ACROSS, height, width, channels), np.uint8)
    paper[:n] = images
    whole = paper.reshape(down, ACROSS, height, width, channels).transpose(0, 2, 1, 3, 4)
    return whole.reshape(down * height, ACROSS * width, channels), (width, height)


def source(pixels: np.ndarray) -> str:
    """An image (h, w, c), uint8, as the address of itself."""
    return f"data:image/png;base64,{base64.b64encode(png(pixels)).decode()}"


def png(pixels: np.ndarray, optimize: bool = True) -> bytes:
    """An image (h, w, c), uint8, as a PNG file."""
    file = io.BytesIO()
    _picture(pixels).save(file, format="PNG", optimize=optimize)
    return file.getvalue()


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
