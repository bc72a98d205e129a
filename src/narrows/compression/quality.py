"""How near decoded images come to those that were given: mean squared error, PSNR, SSIM."""

from __future__ import annotations

import numpy as np

from narrows.errors import InputError

WINDOW = 11
_SIGMA = 1.5
_K1, _K2 = 0.01, 0.03
_CELLS = 2**18  # at once: the maps of an image take a hundred times as many bytes as it has cells


def squared_errors(given: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Mean squared error of each image.

    Parameters
    ----------
    given, decoded : array, shape (n, c, h, w)
        Images in the same unit.

    Returns
    -------
    array, shape (n,)
        In the unit's square; their mean is that over all cells, for images of one size.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    _refuse_unlike(given, decoded)
    difference = given.reshape(len(given), -1).astype(np.float64)
    difference -= decoded.reshape(len(given), -1)
    return np.square(difference, out=difference).mean(1)


def psnr(errors: np.ndarray, peak: float = 255.0) -> np.ndarray:
    """Peak signal-to-noise ratio, 10 log10(peak^2 / error), in decibels.

    Parameters
    ----------
    errors : array
        Mean squared errors, of images or of a whole set; 0 gives infinity.
    peak : float
        Distance of the highest value from the lowest.
    """
    with np.errstate(divide="ignore"):
        return 10 * np.log10(peak**2 / np.asarray(errors, np.float64))


def ssim(given: np.ndarray, decoded: np.ndarray, peak: float = 255.0) -> np.ndarray:
    """Structural similarity of each image: 1 where they are equal.

    The mean over all places of (2 m m' + C1) (2 s + C2) / ((m^2 + m'^2 + C1) (v + v' + C2)), with means m, variances v
    and covariance s under a gaussian window of 11 x 11 pixels and standard deviation 1.5 that lies within the image,
    C1 = (0.01 peak)^2 and C2 = (0.03 peak)^2; and the mean over channels. Along a side of fewer than 11 pixels the
    window is as long as the side.

    Parameters
    ----------
    given, decoded : array, shape (n, c, h, w)
        Images in the same unit.
    peak : float
        Distance of the highest value from the lowest.

    Returns
    -------
    array, shape (n,)
        At most 1.

    Raises
    ------
    InputError
        If the shapes differ.

    Notes
    -----
    Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli: Image quality assessment: from error visibility to structural
    similarity, IEEE Transactions on Image Processing 13 (2004), equation 13.
    """
    _refuse_unlike(given, decoded)
    at_once = max(1, _CELLS // max(1, given[:1].size))
    parts = [
        _similarity(given[start : start + at_once], decoded[start : start + at_once], peak)
        for start in range(0, len(given), at_once)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _similarity(given: np.ndarray, decoded: np.ndarray, peak: float) -> np.ndarray:
    x, y = given.astype(np.float64), decoded.astype(np.float64)
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    mean_x, mean_y = _windowed(x), _windowed(y)
    spread = _windowed(x * x) - mean_x**2 + _windowed(y * y) - mean_y**2
    shared = _windowed(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + c1) * (2 * shared + c2) / ((mean_x**2 + mean_y**2 + c1) * (spread + c2))
    return likeness.mean((1, 2, 3))


def _windowed(images: np.ndarray) -> np.ndarray:
    """Weighted means under the window at each place where it lies within the image."""
    from scipy.ndimage import correlate1d

    for axis in (2, 3):
        side = images.shape[axis]
        length = min(WINDOW, side)
        weights = np.exp(-((np.arange(length) - (length - 1) / 2) ** 2) / (2 * _SIGMA**2))
        means = correlate1d(images, weights / weights.sum(), axis)
        first = length // 2  # the place whose window begins with the image
        images = means.take(np.arange(first, first + side - length + 1), axis)
    return images


def _refuse_unlike(given: np.ndarray, decoded: np.ndarray) -> None:
    if given.shape != decoded.shape:
        raise InputError(
            f"images of shape {given.shape} were compared with images of shape {decoded.shape}; give as many of one "
            f"size"
        )
