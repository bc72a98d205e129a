"""Sheets of images, as PNG."""

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
            picture = _picture(image).resize((width * zoom, height * zoom), Image.Resampling.NEAREST)
            paper.paste(picture, (GAP + index % columns * cell_w, top + index // columns * cell_h))
        top += lines[label] * cell_h
    return paper


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture, whole or not at all."""
    with writing(path) as beside:
        picture.save(beside, format="PNG", optimize=True)


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).convert("RGB")
