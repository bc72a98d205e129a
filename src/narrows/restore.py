"""Noise taken out of images of any size, part by part."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from narrows.errors import InputError
from narrows.inference import reconstructed
from narrows.model import Model
from narrows.networks.around import Around

SIDE = 256  # of a part, without what is seen around it
CELLS_AT_ONCE = 2**18


def restored(model: Model, images: Tensor, side: int = SIDE) -> Tensor:
    """Return the mean of p(clean | seen) for raw noisy images, in raw units.

    Of a network without a bottleneck images may have any size: parts of so many pixels, each with as much around it as
    the network can see, are restored one after the other, and are what they are within the whole. Other networks take
    images of the size that they were trained on. Where the model has one channel, others are restored one by one.

    Parameters
    ----------
    model : Model
        Of images.
    images : Tensor, shape (n, c, height, width)
        Raw.
    side : int
        Of a part, in pixels.

    Returns
    -------
    Tensor, shape (n, c, height, width)
        In the model's floating-point type.

    Raises
    ------
    InputError
        If they are not such images.
    """
    _check(model, tuple(images.shape[1:]))
    planes = images.reshape(-1, model.schema.shape[0], *images.shape[2:])
    if not isinstance(model.network, Around):
        return reconstructed(model, planes).view(images.shape)
    model.eval()
    out = torch.empty(planes.shape, dtype=model.transform.scale.dtype)
    at_once = max(1, CELLS_AT_ONCE // planes[0].numel())
    with torch.inference_mode():
        for some, into in zip(planes.split(at_once), out.split(at_once), strict=True):
            for (rows, columns), (upper, left), part in _parts(some, model.network, side):
                made = _mean(model, model.network, part.to(model.device))
                height, width = rows.stop - rows.start, columns.stop - columns.start
                into[:, :, rows, columns] = made[:, :, upper : upper + height, left : left + width].cpu()
    return out.view(images.shape)


def _check(model: Model, shape: tuple[int, ...]) -> None:
    """Raise `InputError` unless images of a shape can be restored."""
    schema = model.schema
    if not schema.is_image:
        raise InputError(
            f"noise is taken out of images, and the model was trained on {schema.describe()}; take narrows reconstruct"
        )
    if schema.shape[0] not in (1, shape[0]):
        raise InputError(
            f"the images have {shape[0]} channels and the model was trained on images of {schema.shape[0]}; give such "
            f"images, or train a model on grey ones, which takes any"
        )
    if not model.network.around and shape[1:] != schema.shape[1:]:
        raise InputError(
            f"the images are {shape[1]} x {shape[2]}, and network {model.network.kind} takes those of the size that it "
            f"was trained on, {schema.shape[1]} x {schema.shape[2]}; train preset denoiser, which takes any"
        )


def _parts(images: Tensor, network: Around, side: int) -> Iterator[tuple[tuple[slice, slice], tuple[int, int], Tensor]]:
    """Rows and columns of each part, where these begin in what is seen for them, and that (n, c, h, w)."""
    grain = network.grain
    margin, step = (-(-length // grain) * grain for length in (network.reach, side))
    height, width = images.shape[2:]
    for top in range(0, height, step):
        for first in range(0, width, step):
            rows, columns = slice(top, min(top + step, height)), slice(first, min(first + step, width))
            above, before = max(top - margin, 0), max(first - margin, 0)
            part = images[:, :, above : rows.stop + margin, before : columns.stop + margin]
            yield (rows, columns), (top - above, first - before), part


def _mean(model: Model, network: Around, raw: Tensor) -> Tensor:
    """Mean of p(clean | seen) of raw images (n, c, h, w) of any size, in raw units."""
    transform = model.transform
    params = network.map(transform(raw).seen)
    p = model.likelihood(params.view(1, len(raw), *model.param_shape[:-2], *params.shape[2:]))
    return transform.inverse(p.mean[0])
