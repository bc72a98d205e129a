"""Noise taken out of images of any size, part by part, and hidden pixels filled in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from narrows.errors import InputError
from narrows.inference import reconstructed
from narrows.model import Model
from narrows.networks.around import Around

SIDE = 256  # of a part, without what is seen around it
CELLS_AT_ONCE = 2**18


def restored(model: Model, images: Tensor, side: int = SIDE, hidden: Tensor | None = None) -> Tensor:
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
    hidden : Tensor of bool, shape (n, c, height, width), optional
        Pixels to fill in, whatever they are; the others then stay as they are.

    Returns
    -------
    Tensor, shape (n, c, height, width)
        In the model's floating-point type.

    Raises
    ------
    InputError
        If they are not such images, or the model did not learn to fill in.
    """
    _check(model, tuple(images.shape[1:]))
    if hidden is not None and not fills(model):
        raise InputError(
            f"pixels were given to fill in, and the model was trained with network {model.network.kind} and corruption "
            f"{model.recipe.corruption.kind}; train preset denoiser with --set corruption=mask corruption.rate=0.5"
        )
    planes = images.reshape(-1, model.schema.shape[0], *images.shape[2:])
    if not isinstance(model.network, Around):
        return reconstructed(model, planes).view(images.shape)
    gaps = torch.zeros(0, *planes.shape[1:]) if hidden is None else hidden.reshape(planes.shape)
    model.eval()
    out = torch.empty(planes.shape, dtype=model.transform.scale.dtype)
    at_once = max(1, CELLS_AT_ONCE // planes[0].numel())
    with torch.inference_mode():
        for first in range(0, len(planes), at_once):
            some = slice(first, first + at_once)
            # Whole images: what a part sees of a gap must not end where the part does.
            seen = shown(model, planes[some], gaps[some] if len(gaps) else None)
            for part, around, inner in _parts(planes.shape[2:], model.network, side):
                out[some][part] = mean_of_clean(model, model.network, seen[around])[inner].cpu()
    if hidden is not None:
        out = torch.where(gaps, out, planes.to(out.dtype))
    return out.view(images.shape)


def fills(model: Model) -> bool:
    """Whether a model learnt to fill in hidden pixels of images, and leaves the others as they are."""
    return model.recipe.corruption.hides and model.network.around


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


Region = tuple[slice, slice, slice, slice]


def _parts(shape: Sequence[int], network: Around, side: int) -> Iterator[tuple[Region, Region, Region]]:
    """Each part of images of a height and a width, what is seen for it, and where it lies in that."""
    grain = network.grain
    margin, step = (-(-length // grain) * grain for length in (network.reach, side))
    places = [[_stretch(start, min(start + step, end), margin) for start in range(0, end, step)] for end in shape]
    for rows, columns in itertools.product(*places):
        part, seen, inner = ((slice(None), slice(None), *pair) for pair in zip(rows, columns, strict=True))
        yield part, seen, inner


def _stretch(start: int, end: int, margin: int) -> tuple[slice, slice, slice]:
    """Of one axis: a part, what is seen for it, and where it lies in that."""
    before = max(start - margin, 0)
    return slice(start, end), slice(before, end + margin), slice(start - before, end - before)


def shown(model: Model, raw: Tensor, hidden: Tensor | None = None) -> Tensor:
    """What a network without a bottleneck sees of raw images (n, c, h, w), some pixels hidden: of the same shape."""
    batch = model.batch(raw.to(model.device))
    return (batch if hidden is None else batch.hide(hidden.to(model.device))).seen


def mean_of_clean(model: Model, network: Around, seen: Tensor) -> Tensor:
    """Mean of p(clean | seen) of what is seen of images (n, c, h, w), taken at once, in raw units."""
    params = network.map(seen)
    p = model.likelihood(params.view(1, seen.shape[0], *model.param_shape[:-2], *params.shape[2:]))
    mean: Tensor = model.transform.inverse(p.mean[0])
    return mean
