"""Images of any size as tiles of one size, for models whose networks know positions."""

from __future__ import annotations

import numpy as np

from narrows.errors import InputError


def tiles_in(image: tuple[int, int, int], tile: tuple[int, int, int]) -> tuple[int, int]:
    """How many tiles, down and across, cover an image; both shapes are (channels, height, width).

    Raises
    ------
    InputError
        If they differ in the number of channels.
    """
    if image[0] != tile[0]:
        raise InputError(
            f"the images have {image[0]} channels and the model was trained on images of {tile[0]}; give such images "
            f"or train a model on these"
        )
    return -(-image[1] // tile[1]), -(-image[2] // tile[2])


def cut(images: np.ndarray, tile: tuple[int, int, int]) -> np.ndarray:
    """Cut images into tiles, row by row; those that reach beyond the image repeat its last row and column.

    Parameters
    ----------
    images : array, shape (n, c, H, W)
        Images of one size, at least 1 x 1.
    tile : tuple of int
        Shape of a tile, (c, h, w).

    Returns
    -------
    array, shape (n * tiles, c, h, w)
        All tiles of the first image, then those of the next.

    Raises
    ------
    InputError
        As `tiles_in`.
    """
    n, _, height, width = images.shape
    c, h, w = tile
    down, across = tiles_in(images.shape[1:], tile)
    padded = np.pad(images, ((0, 0), (0, 0), (0, down * h - height), (0, across * w - width)), "edge")
    return padded.reshape(n, c, down, h, across, w).transpose(0, 2, 4, 1, 3, 5).reshape(-1, c, h, w)


def joined(tiles: np.ndarray, image: tuple[int, int, int]) -> np.ndarray:
    """Put tiles (n * tiles, c, h, w) together again to images (n, c, H, W): the inverse of `cut`.

    Raises
    ------
    InputError
        As `tiles_in`, or if the tiles make up no whole number of images.
    """
    c, h, w = tiles.shape[1:]
    down, across = tiles_in(image, (c, h, w))
    if len(tiles) % (down * across):
        raise InputError(
            f"{len(tiles)} tiles make up no whole number of images of {down} x {across}; fetch the file again"
        )
    whole = tiles.reshape(-1, down, across, c, h, w).transpose(0, 3, 1, 4, 2, 5).reshape(-1, c, down * h, across * w)
    return np.ascontiguousarray(whole[:, :, : image[1], : image[2]])
