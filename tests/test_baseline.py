"""The standing baseline is scikit-learn's PCA."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from narrows.baseline import LARGEST_ROW, fit_baseline


def table(n: int, columns: int, offset: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(0)
    mixed = random.normal(size=(n, columns)) * np.geomspace(3, 0.3, columns) @ random.normal(size=(columns, columns))
    return (mixed + offset).astype("float32")


PROBLEMS = {
    "tall": (table(500, 20), 5),
    "far from the origin": (table(500, 20, 1e4), 5),
    "far to the other side": (table(500, 20, -1e4), 1),
    "fewer rows than columns": (table(15, 40), 6),
    "digits": (load_digits().data.astype("float32") / 16, 10),
}


@pytest.mark.parametrize("chunk", [7, 100, 10_000])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_equals_the_pca_of_scikit_learn(problem, chunk):
    rows, size = PROBLEMS[problem]
    values = torch.from_numpy(rows)
    baseline = fit_baseline(values.split(chunk), size)
    pca = PCA(size, svd_solver="full").fit(rows.astype("float64"))
    assert baseline.components.dtype == baseline.mean.dtype == torch.float32
    np.testing.assert_allclose(baseline.mean, pca.mean_, rtol=1e-6, atol=1e-6)
    aligned = np.sum(baseline.components.double().numpy() * pca.components_, 1)
    np.testing.assert_allclose(np.abs(aligned), 1, atol=1e-5)
    fresh = rows[: len(rows) // 2] + 0.5 * np.random.default_rng(1).normal(size=(len(rows) // 2, rows.shape[1]))
    fresh = fresh.astype("float32")
    own, mean = baseline.errors(torch.from_numpy(fresh))
    rebuilt = pca.inverse_transform(pca.transform(fresh.astype("float64")))
    # In float32, a value of 1e4 has a last digit of 1e-3.
    tolerance = {"rtol": 1e-5} if np.abs(rows).max() < 1e3 else {"rtol": 2e-3}
    np.testing.assert_allclose(own, np.square(fresh - rebuilt).mean(1), atol=1e-7, **tolerance)
    np.testing.assert_allclose(own.mean(), np.square(fresh - rebuilt).mean(), rtol=1e-5)
    np.testing.assert_allclose(mean.mean(), np.square(fresh - pca.mean_).mean(), rtol=1e-5)


def test_products_of_large_numbers_do_not_swallow_the_variance():
    rows = table(500, 20).astype("float64") + 1e8
    given = rows.copy()
    baseline = fit_baseline(torch.from_numpy(given).split(64), 3)
    assert np.array_equal(given, rows)
    pca = PCA(3, svd_solver="full").fit(rows - 1e8)
    aligned = np.sum(baseline.components.double().numpy() * pca.components_, 1)
    np.testing.assert_allclose(np.abs(aligned), 1, atol=1e-5)


@pytest.mark.parametrize("size", [6, 10])
def test_as_many_components_as_columns_or_more_lose_nothing(size):
    values = torch.from_numpy(table(100, 6))
    baseline = fit_baseline([values], size)
    assert baseline.components.shape == (6, 6)
    own, mean = baseline.errors(values)
    assert float(own.max()) < 1e-9 < float(mean.min())


def test_never_more_components_than_rows():
    values = torch.from_numpy(table(4, 9))
    baseline = fit_baseline([values], 8)
    assert baseline.components.shape == (4, 9)
    torch.testing.assert_close(baseline.components @ baseline.components.T, torch.eye(4), rtol=0, atol=1e-5)
    assert float(baseline.errors(values)[0].max()) < 1e-9


def test_images_are_taken_cell_by_cell_and_large_ones_not_at_all():
    images = torch.from_numpy(table(50, 48)).view(50, 3, 4, 4)
    baseline = fit_baseline(images.split(20), 5)
    flat = fit_baseline([images.flatten(1)], 5)
    torch.testing.assert_close(baseline.errors(images)[0], flat.errors(images.flatten(1))[0])
    assert fit_baseline([torch.zeros(2, LARGEST_ROW + 1)], 5) is None
    assert fit_baseline([torch.rand(2, 1, 8, 8)], 5) is not None


def test_of_no_components_there_is_the_mean_and_no_covariance(monkeypatch):
    monkeypatch.setattr(torch.linalg, "eigh", None)
    values = torch.from_numpy(table(50, 12))
    baseline = fit_baseline(values.split(7), 0)
    assert baseline.components.shape == (0, 12)
    torch.testing.assert_close(baseline.mean, values.mean(0))
    own, mean = baseline.errors(values)
    torch.testing.assert_close(own, mean)


def test_a_single_row_is_its_own_mean():
    row = torch.tensor([[1.0, 2.0, 3.0]])
    baseline = fit_baseline([row], 2)
    assert baseline.mean.tolist() == [1, 2, 3]
    assert float(baseline.errors(row)[0]) == 0
