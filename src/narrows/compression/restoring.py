"""What coarse levels of an image are taken to be, in whole numbers, from the coarse levels on all sides."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from narrows.coding.exact import STEP, IntegerNetwork
from narrows.compression.compressor import Work
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.likelihoods.quantised import AROUND, STEP_FEATURES, in_levels

_CELLS_AT_ONCE = 1 << 18
_REACH = AROUND[-1][0]
_SIDE = 2 * _REACH + 1
_NEAR = [(row + _REACH) * _SIDE + column + _REACH for row, column in AROUND]


class Restoring:
    """``floor(level + step * rest + 1/2)``, where a network tells the rest of the pixel.

    Parameters
    ----------
    network : IntegerNetwork
        From what is seen of a pixel, its channels in order, to the rest of each channel, in steps of 2^-12.
    schema : Schema
        Of an image.

    Raises
    ------
    InputError
        If it does not fit the images.
    """

    def __init__(self, network: IntegerNetwork, schema: Schema) -> None:
        self.network, self.schema = network, schema
        channels = schema.shape[:1]
        if network.shape_after != channels:
            raise InputError(f"a codec restores {network.shape_after} numbers of {channels}; export it again")

    def restored(self, q: np.ndarray, step: int, features: NDArray[np.int64], work: Work) -> np.ndarray:
        """Levels (n, c, height, width), uint8, from coarse ones; ``features`` tell the network of the step."""
        restored = np.empty_like(q)
        images = max(1, _CELLS_AT_ONCE // self.schema.size)
        for low in range(0, len(q), images):
            own = q[low : low + images].astype(np.int64)
            value = in_levels(own, step, self.schema.levels)
            seen = self._seen(own, value, features)
            rest = self.network(seen.reshape(-1, seen.shape[-1]), work.batch * self.schema.size, work.device)
            rest = np.moveaxis(rest.reshape(*seen.shape[:-1], -1), 3, 1)
            level = ((value << STEP) + step * rest.astype(np.int64) + (1 << STEP >> 1)) >> STEP
            restored[low : low + images] = level.clip(0, self.schema.levels - 1)
        return restored

    def _seen(self, own: NDArray[Any], value: NDArray[Any], features: NDArray[np.int64]) -> NDArray[Any]:
        """Numbers (n, height, width, inputs) in steps of 2^-12, as `Quantised.restored` has them in floats."""
        padded = np.pad(own, ((0, 0), (0, 0), (_REACH, _REACH), (_REACH, _REACH)), mode="edge")
        windows = sliding_window_view(padded, (_SIDE, _SIDE), (2, 3)).reshape(*own.shape, -1)
        near = np.moveaxis(windows[..., _NEAR] - own[..., None] << STEP, 1, 3)
        share = np.moveaxis((value << STEP) // (self.schema.levels - 1), 1, 3)
        told = np.broadcast_to(features, (*share.shape[:-1], STEP_FEATURES))
        return np.concatenate([near.reshape(*share.shape[:-1], -1), share, told], -1)


def inputs_for(schema: Schema) -> tuple[int]:
    """Shape of what the network of such images sees of a pixel."""
    return (schema.shape[0] * (len(AROUND) + 1) + STEP_FEATURES,)
