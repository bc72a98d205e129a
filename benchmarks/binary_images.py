"""What contenders in speed and memory train on, and how large the layers are; no package is asked for."""

import numpy as np

CELLS, WIDTH, CODE = 784, 512, 16
BLOCK = 1000


def images(n: int) -> np.ndarray:
    """Binary images with the ink of digits: speed depends on shapes alone, so no data set is needed.

    In blocks, so that making them takes no more memory than holding them.
    """
    draws, made = np.random.default_rng(0), np.empty((n, 28, 28), np.uint8)
    for block in np.array_split(made, max(1, n // BLOCK)):
        block[:] = draws.integers(0, 256, block.shape, dtype=np.uint8) < 33
    return made
