"""Take noise out of images."""

from __future__ import annotations

import dataclasses
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


def denoise(model: Path, data: str, output: Path, reading: Reading = Reading()) -> Denoised:  # noqa: B008  frozen
    """Take the noise out of images, whatever their size; they keep their bits, 8 or 16, and their orientation.

    Parameters
    ----------
    model : Path
        A model file that learnt from noise, such as preset denoiser.
    data : str
        A folder or zip file of images, one image, an array, or a named data set.
    output : Path
        A folder (no suffix), .zip or .png for images that come as such; .npy for an array.
    reading : Reading
        How to read the data.
    """
    check_target(output, inputs=[model, data])

    from narrows.data.images import Pictures
    from narrows.data.sources import located
    from narrows.data.stored import Stored
    from narrows.persist import load

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
        total, notes = _pictures(fitted.model, source, output)
    else:
        total, notes = _array(fitted.model, source or Stored.of(found.read().values), short(data), output), []
    return Denoised(str(output), total, f"{corruption.kind} ({settings})", notes)


def _pictures(model: Model, pictures: Pictures, output: Path) -> tuple[int, list[str]]:
    """Restore images one by one into files of the same names."""
    from narrows.data.sinks import encoded, picture_sink

    total = len(pictures)
    with picture_sink(output, pictures.kind) as target:
        for name, image in counted("denoising", pictures, total, lambda _: 1):
            target.put(encoded(_one(model, name, image)), name)
    return total, target.notes


def _one(model: Model, name: str, image: np.ndarray) -> np.ndarray:
    """An image (height, width) or (height, width, channels), restored; what is transparent stays so."""
    planes = np.moveaxis(np.atleast_3d(image), 2, 0)
    colours = 3 if len(planes) == 4 else len(planes)
    try:
        planes = np.concatenate([_restored(model, planes[None, :colours])[0], planes[colours:]])
    except InputError as error:
        raise InputError(f"the image {short(name)}: {error}") from error
    return np.moveaxis(planes, 0, 2).reshape(image.shape)


def _array(model: Model, stored: Stored, what: str, output: Path) -> int:
    """Restore the images of an array, some at once, into one of the same shape and type; of bits, into numbers."""
    from narrows.atomic import writing
    from narrows.data.matrices import finite, numeric
    from narrows.data.schema import shape_and_layout
    from narrows.data.writers import check_suffix

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
            given = finite(numeric(rows, what), None, f"{what}, from image {first} on,")
            target[first : first + len(rows)] = schema.to_user(_restored(model, schema.from_user(given)))
            first += len(rows)
        target.flush()
    return first


def _restored(model: Model, images: np.ndarray) -> np.ndarray:
    """Images (n, c, height, width) restored, in their own type, which may have 16 bits where the model has 8."""
    from narrows.restore import restored
    from narrows.tensors import tensor_of

    high = model.schema.high
    if images.dtype.kind not in "iu":
        return restored(model, tensor_of(images)).numpy()
    most = np.iinfo(images.dtype).max
    factor = most / high if {most, high} == {0xFF, 0xFFFF} else 1.0
    made = restored(model, tensor_of(images).double() / factor).numpy() * factor
    return np.rint(made).clip(model.schema.low * factor, min(high * factor, most)).astype(images.dtype)
