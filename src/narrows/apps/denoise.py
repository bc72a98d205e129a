"""Take noise out of images, and fill in their hidden pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from narrows.apps.reading import Reading
from narrows.atomic import check_target
from narrows.errors import InputError

if TYPE_CHECKING:
    from narrows.persist import Fitted


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

    from narrows.apps.restoring import hidden_in, restore_array, restore_pictures
    from narrows.data.images import Pictures
    from narrows.data.sources import located
    from narrows.data.stored import Stored
    from narrows.data.wording import short
    from narrows.persist import load
    from narrows.restore import fills

    fitted = load(model)
    corruption = fitted.model.recipe.corruption
    check_noise(fitted, model)
    if reading.tile is not None:
        raise InputError("tile was given for images to denoise, which come back whole: leave it out")
    found = located(data, reading.request(fitted.schema))
    source = found.open() if found.open else None
    settings = ", ".join(f"{name}={value}" for name, value in corruption.get_params().items())
    if isinstance(source, Pictures):
        if hidden is None and fills(fitted.model):
            raise InputError(f"{model} learnt to fill in hidden pixels; say which with --hidden MASK")
        total, notes = restore_pictures(fitted.model, source, hidden_in(hidden, len(source)), output)
    else:
        if hidden is not None:
            raise InputError("hidden was given for an array, where cells to fill in are NaN: leave it out")
        total, notes = restore_array(fitted.model, source or Stored.of(found.read().values), short(data), output), []
    return Denoised(str(output), total, f"{corruption.kind} ({settings})" if settings else corruption.kind, notes)


def check_noise(fitted: Fitted, name: object) -> None:
    """Raise `InputError` unless a model, by its name, has learnt what noise is."""
    if not fitted.model.recipe.corruption.corrupts:
        raise InputError(
            f"{name} was trained on images as they are, and knows no noise; train preset denoiser, or another with "
            f"--set corruption=gaussian"
        )
