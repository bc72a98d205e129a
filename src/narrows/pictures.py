"""Sheets of images as PNG, and moving pictures as GIF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from narrows.atomic import writing
from narrows.data.schema import Schema

GAP = 2
LABEL_HEIGHT = 16
SMALLEST_SIDE = 56
SMALLEST_MOVING = 168
FRAME_MILLISECONDS = 80
END_MILLISECONDS = 500
PAPER = 255


def as_pixels(values: np.ndarray, schema: Schema) -> np.ndarray:
    """Raw images (n, c, h, w) -> uint8 (n, h, w, c), the schema's range on black to white."""
    low, high = schema.low, schema.high
    if not np.isfinite(high) or high <= low:
        low, high = float(values.min()), float(max(values.max(), values.min() + 1))
    scaled = (np.clip(values.astype(np.float64), low, high) - low) / (high - low) * 255
    return np.moveaxis(scaled.round().astype(np.uint8), 1, 3)


def sheet(rows: Mapping[str, np.ndarray], columns: int) -> Image.Image:
    """Lay labelled groups of images out in a grid.

    Parameters
    ----------
    rows : mapping of str to array, shape (n, h, w, c)
        Groups of uint8 images; an empty label takes no space.
    columns : int
        Images side by side.
    """
    first = next(iter(rows.values()))
    height, width = first.shape[1:3]
    zoom = max(1, -(-SMALLEST_SIDE // max(height, width)))
    cell_h, cell_w = height * zoom + GAP, width * zoom + GAP
    lines = {label: -(-len(images) // columns) for label, images in rows.items()}
    total = sum(count * cell_h + (LABEL_HEIGHT if label else 0) for label, count in lines.items())
    paper = Image.new("RGB", (columns * cell_w + GAP, total + GAP), (PAPER,) * 3)
    top = GAP
    for label, images in rows.items():
        if label:
            ImageDraw.Draw(paper).text((GAP, top), label, fill=(0, 0, 0))
            top += LABEL_HEIGHT
        for index, image in enumerate(images):
            paper.paste(_zoomed(image, zoom), (GAP + index % columns * cell_w, top + index // columns * cell_h))
        top += lines[label] * cell_h
    return paper


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture, whole or not at all."""
    with writing(path) as beside:
        picture.save(beside, format="PNG", optimize=True)


def save_gif(frames: np.ndarray, path: Path) -> None:
    """Write uint8 images (n, h, w, c) as a picture that moves there and back without end, and rests at either end."""
    height, width = frames.shape[1:3]
    zoom = max(1, -(-SMALLEST_MOVING // max(height, width)))
    shown = [_zoomed(image, zoom) for image in frames]
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    rests = {0, len(frames) - 1}
    with writing(path) as beside:
        shown[0].save(
            beside,
            format="GIF",
            save_all=True,
            append_images=[shown[place] for place in order[1:]],
            duration=[END_MILLISECONDS if place in rests else FRAME_MILLISECONDS for place in order],
            loop=0,
        )


def _zoomed(image: np.ndarray, zoom: int) -> Image.Image:
    height, width = image.shape[:2]
    return _picture(image).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).convert("RGB")
