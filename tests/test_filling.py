"""Hidden pixels from those around them: what stays, what is told exactly, and how near the thin plate it comes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import lsqr

from narrows.filling import filled


def drawn(shape=(2, 1, 17, 20), rate=0.5, seed=0):
    """Images of chance, and which of their pixels are hidden."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(shape, generator=generator, dtype=torch.float64)
    return images, torch.rand(shape, generator=generator) < rate


def smooth(height, width):
    """Waves, (1, 1, height, width)."""
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    return ((0.3 * x + 0.1 * y).sin() + (0.25 * y).cos())[None, None]


def bent(image):
    """The sum of squared Laplacians of an image (height, width), away from its border."""
    inner = image[1:-1, 1:-1]
    around = image[:-2, 1:-1] + image[2:, 1:-1] + image[1:-1, :-2] + image[1:-1, 2:]
    return float(((around - 4 * inner) ** 2).sum())


def thin_plate(image, hidden):
    """What has the least of that, by least squares: an independent way."""
    height, width = image.shape
    rows, columns, values = [], [], []
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            row = (y - 1) * (width - 2) + x - 1
            for dy, dx, value in ((0, 0, -4), (1, 0, 1), (-1, 0, 1), (0, 1, 1), (0, -1, 1)):
                rows.append(row)
                columns.append((y + dy) * width + x + dx)
                values.append(float(value))
    laplacian = coo_matrix((values, (rows, columns)), shape=((height - 2) * (width - 2), height * width)).tocsc()
    free = np.flatnonzero(hidden)
    known = np.where(hidden, 0.0, image).ravel()
    out = known.copy()
    out[free] = lsqr(laplacian[:, free], -laplacian @ known, atol=1e-12, btol=1e-12, iter_lim=5000)[0]
    return out.reshape(height, width)


@given(rate=st.floats(0, 1), seed=st.integers(0, 99), height=st.integers(1, 19), width=st.integers(1, 19))
def test_what_is_seen_stays_and_all_else_is_a_number(rate, seed, height, width):
    images, hidden = drawn((2, 3, height, width), rate, seed)
    out = filled(images.masked_fill(hidden, torch.nan), hidden)
    assert torch.equal(out[~hidden], images[~hidden])
    assert out.isfinite().all()


@given(seed=st.integers(0, 99), rate=st.floats(0.1, 0.95))
def test_an_image_is_told_by_itself_and_in_its_own_unit(seed, rate):
    images, hidden = drawn((3, 2, 12, 9), rate, seed)
    together = filled(images, hidden)
    torch.testing.assert_close(filled(images[1:2], hidden[1:2]), together[1:2])
    torch.testing.assert_close(filled(-3 * images, hidden), -3 * together)


def test_an_even_image_is_told_exactly():
    hidden = drawn((1, 1, 30, 21), 0.8, 1)[1]
    torch.testing.assert_close(filled(torch.full((1, 1, 30, 21), 7.0), hidden), torch.full((1, 1, 30, 21), 7.0))


def test_a_large_gap_is_filled_from_its_border():
    image, hidden = torch.zeros(1, 1, 40, 40), torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    image[..., 20:] = 1.0
    hidden[..., 10:30, 10:30] = True
    out = filled(image, hidden)[0, 0]
    assert out[15:25, 11].max() < 0.3
    assert out[15:25, 28].min() > 0.7


def test_what_is_hidden_as_a_whole_becomes_the_mean():
    hidden = torch.ones(1, 2, 8, 8, dtype=torch.bool)
    hidden[:, 1] = False
    out = filled(torch.full((1, 2, 8, 8), 5.0), hidden)
    assert not out[:, 0].any()
    assert (out[:, 1] == 5).all()


@pytest.mark.parametrize("rate", [0.3, 0.5])
def test_it_comes_near_the_thin_plate(rate):
    image, hidden = smooth(32, 32), drawn((1, 1, 32, 32), rate, 3)[1]
    best, out = thin_plate(image[0, 0].numpy(), hidden[0, 0].numpy()), filled(image, hidden)[0, 0].numpy()
    assert bent(best) <= bent(out) < 1.6 * bent(best)
    inside = hidden[0, 0, 3:-3, 3:-3].numpy()  # at the border the oracle bends freely
    error = np.abs(out - image[0, 0].numpy())[3:-3, 3:-3][inside]
    assert error.mean() < 0.02
