"""Hidden pixels from those around them: a first estimate, smooth, to which a network adds detail."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = 7  # up to 2^7 - 1 pixels away
SWEEPS = 8
SHARE = 0.6  # of the way to what its neighbours say, at each sweep; from 0.625 on sweeps run away
NEAR = ((1, 2, 1), (2, 4, 2), (1, 2, 1))
THIN_PLATE = ((0, 0, -1, 0, 0), (0, -2, 8, -2, 0), (-1, 8, 0, 8, -1), (0, -2, 8, -2, 0), (0, 0, -1, 0, 0))


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
    out = _pulled(images.masked_fill(hidden, 0.0), ~hidden)
    for _ in range(SWEEPS):
        told = _weighted(F.pad(out, (2, 2, 2, 2), mode="replicate"), THIN_PLATE) / 20
        out = torch.where(hidden, torch.lerp(out, told, SHARE), images)
    return out


def _pulled(images: Tensor, seen: Tensor) -> Tensor:
    """Images, 0 where not seen, and there the mean of what is seen near, at the finest scale at which something is."""
    out, sums, weights = images, images, seen.to(images.dtype)
    for scale in range(SCALES):
        apart = 2**scale
        sums, weights = (_weighted(F.pad(one, (apart,) * 4), NEAR, apart) / 16 for one in (sums, weights))
        out = torch.where(seen, out, sums / weights.where(weights > 0, 1.0))
        seen = seen | (weights > 0)
    return out


def _weighted(images: Tensor, weights: Sequence[Sequence[float]], apart: int = 1) -> Tensor:
    """Sums over pixels around each, so many apart; those at the border have none of their own."""
    kernel, channels = torch.tensor(weights, dtype=images.dtype, device=images.device), images.shape[1]
    return F.conv2d(images, kernel.expand(channels, 1, -1, -1), dilation=apart, groups=channels)
