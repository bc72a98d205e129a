"""Images of any size cut into squares of one size, to learn from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from narrows.data.decoding import described, mode_of
from narrows.data.images import Pictures
from narrows.data.wording import short
from narrows.errors import InputError


def squares(pictures: Pictures, side: int) -> np.ndarray:
    """Squares of so many pixels a side, each half over the next and the last flush with the end, of all images.

    Returns
    -------
    array, shape (n, side, side) or (n, side, side, channels)
        uint8; uint16 for 16-bit grey.

    Raises
    ------
    InputError
        If an image is damaged, smaller than a square, or differs from the first in mode.
    """
    return np.stack(list(each_square(pictures, side)))


def each_square(pictures: Pictures, side: int) -> Iterator[np.ndarray]:
    """Squares as `squares` has them, one by one; raises as it does, when it comes to such an image."""
    mode = None
    for name, image in pictures:
        mode = mode or mode_of(image)
        if mode_of(image) != mode:
            raise InputError(
                f"the image {short(name)} is {described(image)}, and the first one is not of this mode; bring all "
                f"images to one mode"
            )
        if min(image.shape[:2]) < side:
            raise InputError(
                f"the image {short(name)} is {described(image)}, and a square of side {side} is larger; take a smaller "
                f"tile, or leave the image out"
            )
        rows, columns = (_begins(length, side) for length in image.shape[:2])
        yield from (image[row : row + side, column : column + side] for row in rows for column in columns)


def _begins(length: int, side: int) -> list[int]:
    """Where squares begin along a side: every half of one, as far as there is room, and where the last one fits."""
    return [*range(0, length - side, side // 2), length - side]
