"""BD-rates in closed form, the best file of each image, and what is left of files without their headers."""

import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def lossy():
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("benchmark_lossy", BENCHMARKS / "lossy.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_lossy"] = module  # where its dataclasses look for their module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))
    del sys.modules["benchmark_lossy"]


def curve(decibels, bytes_):
    return np.stack([bytes_, decibels], 1)


class TestBdRate:
    def test_a_constant_share_of_the_bytes_is_that_share(self, lossy):
        decibels = np.array([22.0, 26, 29, 33, 37])
        rate = 20 * np.exp(decibels / 12)
        assert lossy.bd_rate(curve(decibels, 0.4 * rate), curve(decibels, rate)) == pytest.approx(-0.6)

    def test_exponential_curves_differ_by_the_mean_of_their_logarithms(self, lossy):
        """ln bytes = a + b dB is a line, which the interpolation keeps: the mean difference is that in the middle."""
        one, other = np.linspace(24, 36, 7), np.array([20.0, 25, 31, 40])
        rate = lossy.bd_rate(curve(one, np.exp(1 + 0.1 * one)), curve(other, np.exp(2 + 0.08 * other)))
        assert rate == pytest.approx(np.exp(-1 + 0.02 * 30) - 1)

    def test_a_curve_that_does_not_reach_over_the_band_has_none(self, lossy):
        decibels = np.array([26.0, 30, 36])
        with pytest.raises(ValueError, match=r"from 26\.00 to 36\.00 dB"):
            lossy.bd_rate(curve(decibels, decibels), curve(decibels, decibels))


def test_the_best_file_of_each_image_is_the_smallest_that_reaches_the_target(lossy, monkeypatch):
    monkeypatch.setattr(lossy, "TARGETS", np.array([20.0, 30.0, 60.0]))
    sizes = np.array([[10.0, 30], [20, 20], [90, 40]])
    errors = 255**2 / 10 ** (np.array([[21.0, 25], [31, 22], [40, 32]]) / 10)
    points, chosen = lossy.at_targets(sizes, errors)
    assert chosen.tolist() == [[0, 1], [1, 2]]
    np.testing.assert_allclose(points, [[15, 21.5], [30, 31.5]])


def test_no_other_choice_has_less_error_for_the_bytes(lossy):
    r = np.random.default_rng(0)
    sizes, errors = r.uniform(10, 100, (6, 3)), r.uniform(1, 400, (6, 3))
    points = lossy.at_optimum(sizes, errors)
    choices = np.stack(np.meshgrid(*[range(6)] * 3, indexing="ij"), -1).reshape(-1, 3)
    every = [(sizes[choice, range(3)].mean(), errors[choice, range(3)].mean()) for choice in choices]
    for size, decibels in points:
        error = 255**2 / 10 ** (decibels / 10)
        assert not any(other < size - 1e-9 and lost < error - 1e-9 for other, lost in every)


def encoded(name, image, **options):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, name, **options)
    return stream.getvalue()


def test_a_bare_jpeg_is_its_scans(lossy):
    image = np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)
    file = encoded("JPEG", image, quality=30, optimize=True)
    after = file[file.index(b"\xff\xda") + 2 :]
    assert lossy.bare_jpeg(file) == len(after) - int.from_bytes(after[:2], "big") - 2
    # Ten scans, each with a header of ten bytes.
    progressive = encoded("JPEG", image, quality=30, progressive=True)
    assert 0 < lossy.bare_jpeg(progressive) < len(progressive) - 10 * progressive.count(b"\xff\xda")


def test_a_bare_avif_is_shorter_by_its_boxes(lossy):
    flat = lossy.bare_avif(encoded("AVIF", np.full((28, 28, 3), 90, np.uint8), quality=30))
    file = encoded("AVIF", np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8), quality=30)
    assert 0 < flat < 40
    assert flat < lossy.bare_avif(file) < len(file) - 200


def test_files_begin_alike_until_they_differ(lossy):
    assert lossy.in_common([b"abcd", b"abxd", b"abc"]) == 2
    assert lossy.in_common([b"ab", b"abc"]) == 2
