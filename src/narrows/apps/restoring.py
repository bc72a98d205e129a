"""Images whose noise is taken out, one by one or some at once."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from narrows.apps.watching import counted
from narrows.atomic import writing
from narrows.data.images import Pictures
from narrows.data.matrices import finite, numeric
from narrows.data.request import Request
from narrows.data.schema import Schema, shape_and_layout
from narrows.data.sinks import encoded, picture_sink
from narrows.data.sources import located
from narrows.data.stored import Stored
from narrows.data.wording import short
from narrows.data.writers import check_suffix
from narrows.errors import InputError
from narrows.model import Model
from narrows.restore import fills, restored
from narrows.tensors import tensor_of

CELLS = 2**22  # of an array, at once


def hidden_in(hidden: str | None, images: int) -> Iterator[np.ndarray | None]:
    """For each image, in order, which pixels (height, width) are to be filled in; None where none was given."""
    if hidden is None:
        return itertools.repeat(None, images)
    found = located(hidden, Request())
    masks = found.open() if found.open else None
    if not isinstance(masks, Pictures) or (masks.kind != "image" and len(masks) != images):
        raise InputError(
            f"hidden was given as {short(hidden)}; it takes one image, or a folder or zip file with one for each of "
            f"the {images} images"
        )
    given = (np.asarray(np.atleast_3d(mask)[:, :, :3].any(2)) for _, mask in masks)
    return given if masks.kind != "image" else itertools.repeat(next(given), images)


def restore_pictures(
    model: Model, pictures: Pictures, masks: Iterator[np.ndarray | None], output: Path
) -> tuple[int, list[str]]:
    """Restore images one by one into files of the same names."""
    total = len(pictures)
    with picture_sink(output, pictures.kind) as target:
        given = zip(pictures, masks, strict=True)
        for (name, image), mask in counted("denoising", given, total, lambda _: 1):
            target.put(encoded(restored_picture(model, name, image, mask)), name)
    return total, target.notes


def restored_picture(model: Model, name: str, image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return an image (height, width) or (height, width, channels) restored; what is transparent stays so."""
    planes = np.moveaxis(np.atleast_3d(image), 2, 0)
    colours = 3 if len(planes) == 4 else len(planes)
    if mask is not None and mask.shape != image.shape[:2]:
        raise InputError(
            f"the image {short(name)} is {image.shape[0]} x {image.shape[1]} and what is hidden of it "
            f"{mask.shape[0]} x {mask.shape[1]}; give one of its size"
        )
    seen = planes[None, :colours]
    try:
        made = _restored(model, seen, None if mask is None else np.broadcast_to(mask, seen.shape))
        planes = np.concatenate([made[0], planes[colours:]])
    except InputError as error:
        raise InputError(f"the image {short(name)}: {error}") from error
    return np.moveaxis(planes, 0, 2).reshape(image.shape)


def restore_array(model: Model, stored: Stored, what: str, output: Path) -> int:
    """Restore the images of an array, some at once, into one of the same shape and type; of bits, into numbers."""
    check_suffix(output, (".npy",))
    schema = _schema_of(model, stored.shape[1:])
    at_once, first = max(1, CELLS // schema.size), 0
    with writing(output) as path:
        dtype = np.dtype(np.float32) if stored.dtype == bool else stored.dtype
        target = np.lib.format.open_memmap(path, "w+", dtype, stored.shape)
        for rows in counted("denoising", stored.rows(at_once), stored.shape[0], len):
            target[first : first + len(rows)] = restored_rows(model, rows, f"{what}, from image {first} on,")
            first += len(rows)
        target.flush()
    return first


def restored_rows(model: Model, rows: np.ndarray, what: str) -> np.ndarray:
    """Images (n, ...) of an array restored, in the layout that it has; cells to fill in are NaN."""
    schema = _schema_of(model, rows.shape[1:])
    rows = numeric(rows, what)
    gaps = np.isnan(rows) if fills(model) else None
    seen = rows if gaps is None else np.where(gaps, rows.dtype.type(0), rows)
    given = schema.from_user(finite(seen, None, what))
    return schema.to_user(_restored(model, given, None if gaps is None else schema.from_user(gaps)))


def _schema_of(model: Model, given: tuple[int, ...]) -> Schema:
    """The schema of images of such a shape in an array."""
    shape, layout = shape_and_layout(given)
    if len(shape) != 3:
        raise InputError(f"noise is taken out of images, and the data are rows of {shape[0]}; take narrows reconstruct")
    return dataclasses.replace(model.schema, shape=shape, layout=layout)


def _restored(model: Model, images: np.ndarray, hidden: np.ndarray | None) -> np.ndarray:
    """Images (n, c, height, width) restored, in their own type, which may have 16 bits where the model has 8."""
    gaps = None if hidden is None else tensor_of(hidden)
    if images.dtype.kind not in "iu":
        return restored(model, tensor_of(images), hidden=gaps).numpy()
    schema, able = model.schema, np.iinfo(images.dtype)
    if schema.step == 0 and schema.high <= 1:
        raise InputError(
            f"the model learnt from {schema.describe()}, and these pixels are whole numbers up to {able.max}; give it "
            f"an array in its own unit"
        )
    factor = able.max / schema.high if {able.max, schema.high} == {0xFF, 0xFFFF} else 1.0
    made = restored(model, tensor_of(images).double() / factor, hidden=gaps).numpy() * factor
    # A grid ends where it ends; real values end where those of the training images happened to.
    low, high = (schema.low * factor, schema.high * factor) if schema.step else (able.min, able.max)
    return np.rint(made).clip(max(low, able.min), min(high, able.max)).astype(images.dtype)
