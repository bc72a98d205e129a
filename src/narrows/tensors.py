"""Arrays as tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def tensor_of(values: np.ndarray) -> Tensor:
    """Return a tensor of an array in its own type, without a copy where the memory order allows."""
    array = np.ascontiguousarray(values)
    return torch.from_numpy(array if array.flags.writeable else array.copy())
