"""Take noise out of images, and fill in their hidden pixels."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from narrows.apps.reading import Reading
from narrows.apps.watching import counted
from narrows.atomic import check_target
from narrows.data.wording import short
from narrows.errors import InputError

if TYPE_CHECKING:
    from narrows.data.images import Pictures
    from narrows.data.stored import Stored
    from narrows.model import Model

CELLS = 2**22  # of an array, at once


@dataclass(frozen=True)
class Denoised:
    """Images whose noise was taken out.

    Parameters
    ----------
    file : str
        The file or folder written.
    images : int
        Images in it.
    noise : str
        The noise that the model learnt to take out.
    notes : list of str
        What is not as it was.
    """

    file: str
    images: int
    noise: str
    notes: list[str]


def denoise(
    model: Path,
    data: str,
    output: Path,
    hidden: str | None = None,
    reading: Reading = Reading(),  # noqa: B008  frozen
) -> Denoised:
    """Take the noise out of images, whatever their size; they keep their bits, 8 or 16, and their orientation.

    Parameters
    ----------
    model : Path
        A model file that learnt from noise, such as preset denoiser.
    data : str
        A folder or zip file of images, one image, an array, or a named data set.
    output : Path
        A folder (no suffix), .zip or .png for images that come as such; .npy for an array.
    hidden : str, optional
        Pixels to fill in, by a model trained with corruption=mask: an image, above 0 where one is to be filled in, or a
        folder or zip file with one for each image, in the order of their names. Other pixels stay as they are. In an
        array, cells to fill in are NaN.
    reading : Reading
        How to read the data.
    """
    check_target(output, inputs=[model, data] if hidden is None else [model, data, hidden])

    from narrows.data.images import Pictures
    from narrows.data.sources import located
    from narrows.data.stored import Stored
    from narrows.persist import load
    from narrows.restore import fills

    fitted = load(model)
    corruption = fitted.model.recipe.corruption
    if not corruption.corrupts:
        raise InputError(
            f"{model} was trained on images as they are, and knows no noise; train preset denoiser, or another with "
            f"--set corruption=gaussian"
        )
    if reading.tile is not None:
        raise InputError("tile was given for images to denoise, which come back whole: leave it out")
    found = located(data, reading.request(fitted.schema))
    source = found.open() if found.open else None
    settings = ", ".join(f"{name}={value}" for name, value in corruption.get_params().items())
    if isinstance(source, Pictures):
        if hidden is None and fills(fitted.model):
            raise InputError(f"{model} learnt to fill in hidden pixels; say which with --hidden MASK")
        total, notes = _pictures(fitted.model, source, _masks(hidden, len(source)), output)
    else:
        if hidden is not None:
            raise InputError("hidden was given for an array, where cells to fill in are NaN: leave it out")
        total, notes = _array(fitted.model, source or Stored.of(found.read().values), short(data), output), []
    return Denoised(str(output), total, f"{corruption.kind} ({settings})" if settings else corruption.kind, notes)


def _masks(hidden: str | None, images: int) -> Iterator[np.ndarray | None]:
    """For each image, in order, which pixels (height, width) are to be filled in; None where none was given."""
    from narrows.data.images import Pictures
    from narrows.data.request import Request
    from narrows.data.sources import located

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


def _pictures(
    model: Model, pictures: Pictures, masks: Iterator[np.ndarray | None], output: Path
) -> tuple[int, list[str]]:
    """Restore images one by one into files of the same names."""
    from narrows.data.sinks import encoded, picture_sink

    total = len(pictures)
    with picture_sink(output, pictures.kind) as target:
        given = zip(pictures, masks, strict=True)
        for (name, image), mask in counted("denoising", given, total, lambda _: 1):
            target.put(encoded(_one(model, name, image, mask)), name)
    return total, target.notes


def _one(model: Model, name: str, image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """An image (height, width) or (height, width, channels), restored; what is transparent stays so."""
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


def _array(model: Model, stored: Stored, what: str, output: Path) -> int:
    """Restore the images of an array, some at once, into one of the same shape and type; of bits, into numbers."""
    from narrows.atomic import writing
    from narrows.data.matrices import finite, numeric
    from narrows.data.schema import shape_and_layout
    from narrows.data.writers import check_suffix
    from narrows.restore import fills

    check_suffix(output, (".npy",))
    shape, layout = shape_and_layout(stored.shape[1:])
    if len(shape) != 3:
        raise InputError(f"noise is taken out of images, and the data are rows of {shape[0]}; take narrows reconstruct")
    schema = dataclasses.replace(model.schema, shape=shape, layout=layout)
    at_once, first = max(1, CELLS // schema.size), 0
    with writing(output) as path:
        dtype = np.dtype(np.float32) if stored.dtype == bool else stored.dtype
        target = np.lib.format.open_memmap(path, "w+", dtype, stored.shape)
        for rows in counted("denoising", stored.rows(at_once), stored.shape[0], len):
            rows = numeric(rows, what)
            gaps = np.isnan(rows) if fills(model) else None
            seen = rows if gaps is None else np.where(gaps, rows.dtype.type(0), rows)
            given = schema.from_user(finite(seen, None, f"{what}, from image {first} on,"))
            made = _restored(model, given, None if gaps is None else schema.from_user(gaps))
            target[first : first + len(rows)] = schema.to_user(made)
            first += len(rows)
        target.flush()
    return first


def _restored(model: Model, images: np.ndarray, hidden: np.ndarray | None) -> np.ndarray:
    """Images (n, c, height, width) restored, in their own type, which may have 16 bits where the model has 8."""
    from narrows.restore import restored
    from narrows.tensors import tensor_of

    gaps = None if hidden is None else tensor_of(hidden)
    high = model.schema.high
    if images.dtype.kind not in "iu":
        return restored(model, tensor_of(images), hidden=gaps).numpy()
    most = np.iinfo(images.dtype).max
    factor = most / high if {most, high} == {0xFF, 0xFFFF} else 1.0
    made = restored(model, tensor_of(images).double() / factor, hidden=gaps).numpy() * factor
    return np.rint(made).clip(model.schema.low * factor, min(high * factor, most)).astype(images.dtype)
