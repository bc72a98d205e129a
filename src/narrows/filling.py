"""Hidden pixels from those around them: a first estimate, smooth, to which a network adds detail."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = 7  # up to 2^7 - 1 pixels away
SWEEPS = 8
SHARE = 0.6  # of the way to what its neighbours say, at each sweep; from 0.625 on sweeps run away


def filled(images: Tensor, hidden: Tensor) -> Tensor:
    """Images whose hidden pixels are told from the others: smoothly, and by nothing that was learnt.

    They begin as weighted means of the pixels seen near them, at the finest scale at which there are some (as in push
    and pull, Gortler et al. 1996), and take some sweeps of a damped relaxation towards the thin plate, whose
    sum of squared Laplacians is the smallest (Damelin and Hoang 2018); where half of the pixels are hidden
    it is nearly reached.

    Parameters
    ----------
    images : Tensor, shape (n, c, height, width)
        What stands in hidden pixels does not matter. Of an image that is hidden as a whole all become 0.
    hidden : Tensor of bool, of the same shape
    """
    out, weights = _pulled(images.masked_fill(hidden, 0.0), ~hidden), _thin_plate(images)
    for _ in range(SWEEPS):
        told = _weighted(F.pad(out, (2, 2, 2, 2), mode="replicate"), weights) / 20
        out = torch.where(hidden, torch.lerp(out, told, SHARE), images)
    return out


def _pulled(images: Tensor, seen: Tensor) -> Tensor:
    """Images, 0 where not seen, and there the mean of what is seen near, at the finest scale at which something is."""
    out, sums, weights, near = images, images, seen.to(images.dtype), _near(images)
    for scale in range(SCALES):
        apart = 2**scale
        sums, weights = (_weighted(F.pad(one, (apart,) * 4), near, apart) / 16 for one in (sums, weights))
        out = torch.where(seen, out, sums / weights.where(weights > 0, 1.0))
        seen = seen | (weights > 0)
    return out


def _weighted(images: Tensor, weights: Tensor, apart: int = 1) -> Tensor:
    """Sums over pixels around each, so many apart; those at the border have none of their own."""
    channels = images.shape[1]
    return F.conv2d(images, weights.expand(channels, 1, -1, -1), dilation=apart, groups=channels)


# Written where the images are: a table of numbers would have to be sent there.


def _near(images: Tensor) -> Tensor:
    """Weights 1 2 1, 2 4 2, 1 2 1."""
    line = images.new_ones(3)
    line[1] = 2
    return line.outer(line)


def _thin_plate(images: Tensor) -> Tensor:
    """Weights of the pixels up to two away: 8 beside a pixel, -2 across its corners, -1 behind those beside it."""
    weights = images.new_zeros(5, 5)
    weights[1:4:2, 1:4:2] = -2
    weights[2, 1:4:2] = weights[1:4:2, 2] = 8
    weights[2, ::4] = weights[::4, 2] = -1
    return weights
