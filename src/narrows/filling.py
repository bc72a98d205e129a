"""Hidden pixels from those around them: a first estimate, smooth, to which a network adds detail."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SWEEPS = 8
SHARE = 0.6  # of the way to what its neighbours say, at each sweep; from 0.625 on sweeps run away
NEAR = ((1, 2, 1), (2, 4, 2), (1, 2, 1))
THIN_PLATE = ((0, 0, -1, 0, 0), (0, -2, 8, -2, 0), (-1, 8, 0, 8, -1), (0, -2, 8, -2, 0), (0, 0, -1, 0, 0))


def filled(images: Tensor, hidden: Tensor) -> Tensor:
    """Images whose hidden pixels are told from the others: smoothly, and by nothing that was learnt.

    They begin as weighted means of the pixels seen near them, at the finest scale at which there are some (push and
    pull, Gortler et al. 1996), and take some sweeps of a damped relaxation towards the thin plate, whose
    sum of squared Laplacians is the smallest (Damelin and Hoang 2018); where half of the pixels are hidden
    it is nearly reached.

    Parameters
    ----------
    images : Tensor, shape (n, c, height, width)
        What stands in hidden pixels does not matter. Of an image that is hidden as a whole all become 0.
    hidden : Tensor of bool, of the same shape
    """
    seen = (~hidden).to(images.dtype)
    out = torch.where(hidden, _pulled(images.masked_fill(hidden, 0.0), seen), images)
    for _ in range(SWEEPS):
        out = torch.where(hidden, torch.lerp(out, _weighted(out, THIN_PLATE) / 20, SHARE), out)
    return out


def _pulled(sums: Tensor, weights: Tensor) -> Tensor:
    """Means of what is near each pixel, of sums over what is seen and how much that is."""
    near, weight = (_weighted(one, NEAR) / 16 for one in (sums, weights))
    mean = near / weight.where(weight > 0, 1.0)
    height, width = sums.shape[2:]
    if max(height, width) == 1 or bool((weight > 0).all()):
        return mean
    coarse = _pulled(*(F.avg_pool2d(one, 2, ceil_mode=True) for one in (near, weight)))
    return torch.where(weight > 0, mean, F.interpolate(coarse, scale_factor=2)[:, :, :height, :width])


def _weighted(images: Tensor, weights: Sequence[Sequence[float]]) -> Tensor:
    """Sums over a square around each pixel; beyond the border an image goes on as it ends."""
    kernel, channels = torch.tensor(weights, dtype=images.dtype, device=images.device), images.shape[1]
    padded = F.pad(images, (len(kernel) // 2,) * 4, mode="replicate")
    return F.conv2d(padded, kernel.expand(channels, 1, -1, -1), groups=channels)
