"""Sheets of images."""

import numpy as np
import pytest
from PIL import Image

from narrows import Schema
from narrows.pictures import GAP, LABEL_HEIGHT, as_pixels, save_png, sheet


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [(0.0, 1.0, 1.0), (0.0, 255.0, 1.0), (0.0, 16.0, 1.0), (-1.0, 1.0, 0.0), (0.0, 65535.0, 0.0)],
)
def test_the_range_of_the_schema_goes_from_black_to_white(low, high, step):
    schema = Schema((1, 1, 3), low, high, step, "hw")
    values = np.array([low, (low + high) / 2, high]).reshape(1, 1, 1, 3)
    assert as_pixels(values, schema).ravel().tolist() in ([0, 127, 255], [0, 128, 255])
    beyond = as_pixels(np.array([low - 9, high + 9, low]).reshape(1, 1, 1, 3), schema)
    assert beyond.ravel().tolist() == [0, 255, 0]


def test_values_without_an_end_take_their_own_range():
    schema = Schema((1, 1, 3), 0.0, float("inf"), 1.0, "hw")
    assert as_pixels(np.array([2.0, 7.0, 12.0]).reshape(1, 1, 1, 3), schema).ravel().tolist() == [0, 128, 255]
    assert as_pixels(np.full((1, 1, 1, 3), 5.0), schema).max() == 0


def test_images_stand_where_they_belong():
    images = np.zeros((3, 60, 60, 3), np.uint8)
    images[0, ..., 0], images[1, ..., 1], images[2, ..., 2] = 255, 255, 255
    paper = np.asarray(sheet({"": images}, columns=2))
    assert paper.shape == (2 * 62 + GAP, 2 * 62 + GAP, 3)
    assert paper[30, 30].tolist() == [255, 0, 0]
    assert paper[30, 92].tolist() == [0, 255, 0]
    assert paper[92, 30].tolist() == [0, 0, 255]
    assert paper[92, 92].tolist() == paper[0, 0].tolist() == [255, 255, 255]


def test_labels_take_a_line_and_small_images_are_enlarged():
    images = np.full((2, 8, 6, 1), 9, np.uint8)
    paper = np.asarray(sheet({"one": images, "two": images[:1]}, columns=2))
    assert paper.shape == (2 * (7 * 8 + GAP + LABEL_HEIGHT) + GAP, 2 * (7 * 6 + GAP) + GAP, 3)
    assert paper[: GAP + LABEL_HEIGHT].min() < 128  # the label's letters
    assert (paper[GAP + LABEL_HEIGHT + 1, GAP + 1] == 9).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_saved_and_read_again(here, channels):
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, channels), dtype=np.uint8)
    save_png(sheet({"": images}, columns=3), here / "s.png")
    with Image.open(here / "s.png") as picture:
        assert picture.format == "PNG"
        again = np.asarray(picture)
    expected = images[0, ..., :3] if channels > 1 else np.repeat(images[0], 3, axis=2)
    np.testing.assert_array_equal(again[GAP : GAP + 64, GAP : GAP + 64], expected)
    assert [file.name for file in here.iterdir()] == ["s.png"]
