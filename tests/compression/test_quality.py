"""PSNR and SSIM against their definitions, written out as loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.compression import quality
from narrows.compression.quality import psnr, squared_errors, ssim
from narrows.errors import InputError

RNG = np.random.default_rng(0)


def pair(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    given_ = RNG.integers(0, 256, shape, dtype=np.uint8)
    noise = RNG.integers(-40, 41, shape)
    return given_, np.clip(given_ + noise, 0, 255).astype(np.uint8)


def gaussian(side: int) -> list[float]:
    length = min(11, side)
    weights = [math.exp(-((place - (length - 1) / 2) ** 2) / (2 * 1.5**2)) for place in range(length)]
    return [weight / sum(weights) for weight in weights]


def ssim_of_a_channel(x: np.ndarray, y: np.ndarray, peak: float) -> float:
    """Equations 13 to 16 of Wang et al. 2004 at each place of the window, by central moments."""
    down, across = gaussian(x.shape[0]), gaussian(x.shape[1])
    weights = [[a * b for b in across] for a in down]
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    found = []
    for top in range(x.shape[0] - len(down) + 1):
        for left in range(x.shape[1] - len(across) + 1):
            cells = [
                (weights[i][j], float(x[top + i, left + j]), float(y[top + i, left + j]))
                for i in range(len(down))
                for j in range(len(across))
            ]
            mx, my = sum(w * a for w, a, _ in cells), sum(w * b for w, _, b in cells)
            vx, vy = sum(w * (a - mx) ** 2 for w, a, _ in cells), sum(w * (b - my) ** 2 for w, _, b in cells)
            cov = sum(w * (a - mx) * (b - my) for w, a, b in cells)
            found.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return sum(found) / len(found)


@pytest.mark.parametrize(("height", "width"), [(11, 11), (14, 12), (28, 3), (1, 1), (1, 13), (10, 11), (4, 5)])
@pytest.mark.parametrize(("channels", "peak"), [(1, 255.0), (3, 16.0)])
def test_ssim_is_its_definition(height, width, channels, peak):
    x, y = pair(2, channels, height, width)
    for image, found in enumerate(ssim(x, y, peak)):
        of_channels = [ssim_of_a_channel(x[image, channel], y[image, channel], peak) for channel in range(channels)]
        assert found == pytest.approx(sum(of_channels) / channels, rel=1e-9)


@settings(max_examples=30)
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20))
def test_ssim_is_1_for_equal_images_and_symmetric(channels, height, width):
    x, y = pair(3, channels, height, width)
    assert ssim(x, x) == pytest.approx(1, abs=1e-12)
    assert ssim(x, y) == pytest.approx(ssim(y, x), rel=1e-12)
    assert (ssim(x, y) < 1).all()


def test_ssim_of_flat_images():
    """Without structure only the means are compared."""
    x, y = np.full((1, 1, 16, 16), 100, np.uint8), np.full((1, 1, 16, 16), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(x, y) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), rel=1e-9)


def test_images_in_parts(monkeypatch):
    x, y = pair(7, 3, 12, 13)
    whole = ssim(x, y)
    monkeypatch.setattr(quality, "_CELLS", 1000)
    assert ssim(x, y) == pytest.approx(whole, rel=1e-12)
    assert whole.shape == (7,)
    assert ssim(x[:0], y[:0]).shape == (0,)


def test_psnr():
    x, y = pair(4, 3, 5, 6)
    errors = squared_errors(x, y)
    for image in range(4):
        mse = sum((int(a) - int(b)) ** 2 for a, b in zip(x[image].flat, y[image].flat, strict=True)) / 90
        assert errors[image] == pytest.approx(mse, rel=1e-12)
        assert psnr(errors)[image] == pytest.approx(20 * math.log10(255) - 10 * math.log10(mse), rel=1e-12)
    # 1 off everywhere: 48.13 dB; all wrong: 0 dB; none: no end to it.
    assert psnr(squared_errors(x * 0, x * 0 + 1)) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(squared_errors(x * 0, x * 0 + 16), peak=16.0) == pytest.approx(0, abs=1e-12)
    assert np.isposinf(psnr(squared_errors(x, x))).all()


@pytest.mark.parametrize("measure", [squared_errors, ssim])
def test_images_of_different_shapes(measure):
    x, y = pair(2, 1, 5, 6)
    with pytest.raises(InputError, match=r"images of shape \(2, 1, 5, 6\) were compared with images of shape \(1, 1,"):
        measure(x, y[:1])
