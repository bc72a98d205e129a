"""Tiles: what is cut is joined again, and what is added at the edges repeats what is there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from narrows.compression.tiles import cut, joined, tiles_in
from narrows.errors import InputError

SIDES = st.integers(1, 13)


@given(st.integers(0, 3), st.integers(1, 4), SIDES, SIDES, SIDES, SIDES)
def test_round_trip(n, c, height, width, h, w):
    images = np.random.default_rng(n + height).integers(0, 256, (n, c, height, width), dtype=np.uint8)
    tiles = cut(images, (c, h, w))
    down, across = tiles_in((c, height, width), (c, h, w))
    assert tiles.shape == (n * down * across, c, h, w)
    assert tiles.dtype == np.uint8
    back = joined(tiles, (c, height, width))
    assert back.flags.c_contiguous
    assert np.array_equal(back, images)


@given(st.integers(1, 2), SIDES, SIDES, SIDES, SIDES)
def test_every_pixel_of_a_tile_is_the_nearest_of_its_image(n, height, width, h, w):
    images = np.arange(n * 2 * height * width).reshape(n, 2, height, width)
    tiles = iter(cut(images, (2, h, w)))
    for image in images:
        for top in range(0, height, h):
            for left in range(0, width, w):
                tile = next(tiles)
                for y in range(h):
                    for x in range(w):
                        nearest = image[:, min(top + y, height - 1), min(left + x, width - 1)]
                        assert np.array_equal(tile[:, y, x], nearest)
    assert next(tiles, None) is None


def test_refusals():
    with pytest.raises(InputError, match="the images have 3 channels and the model was trained on images of 1"):
        cut(np.zeros((1, 3, 4, 4), np.uint8), (1, 2, 2))
    with pytest.raises(InputError, match="5 tiles make up no whole number of images of 2 x 2"):
        joined(np.zeros((5, 1, 2, 2), np.uint8), (1, 4, 3))
