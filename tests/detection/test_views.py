"""The views against slow loops in NumPy."""

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance

from narrows.detection import denoising, masked, neighbours, whole  # noqa: F401  (each enters its views)
from narrows.detection.near import Comparison
from narrows.detection.presets import DETECTORS, views_of
from narrows.detection.scaling import SCALINGS, Scaling
from narrows.detection.search import References
from narrows.errors import InputError
from narrows.parts import kinds


def rows(n=400, f=6, seed=0):
    random = np.random.default_rng(seed)
    return torch.from_numpy((random.normal(size=(n, f)) @ random.normal(size=(f, f))).astype(np.float32))


def test_the_nearest_references_are_found_and_their_differences_exact():
    references, asked = rows(), rows(50, seed=1)
    search = References()
    search.fit(references)
    mean, nearest = search.nearest(asked, 3), search.nearest(asked, 1)
    differences = asked.double().numpy()[:, None] - references.double().numpy()
    distance = np.square(differences).sum(2)
    order = distance.argsort(1)[:, :3]
    expected = np.take_along_axis(differences, order[:, :, None], 1)
    np.testing.assert_allclose(mean.numpy(), expected.mean(1), atol=1e-5)
    np.testing.assert_allclose(nearest.numpy(), expected[:, 0], atol=1e-5)


def test_far_from_the_origin_near_neighbours_are_still_told_apart():
    """|a|^2 + |b|^2 - 2 a.b in float32 loses distances of 1e-3 at 1e3 from the origin; differences do not."""
    references = torch.arange(100.0)[:, None] * 1e-3 + 1e3
    search = References()
    search.fit(references)
    found = search.nearest(references[:10], 1, own=torch.arange(10))
    np.testing.assert_allclose(found.abs().flatten().numpy(), 1e-3, rtol=0.1)


def test_a_row_is_not_its_own_neighbour():
    references = rows()
    search = References()
    search.fit(references)
    own = torch.arange(len(references))
    assert (search.nearest(references, 1).norm(dim=1) < 1e-6).all()
    assert (search.nearest(references, 1, own).norm(dim=1) > 1e-3).all()
    for k in (1, 2):
        torch.testing.assert_close(search.nearest(references, k, own), search.nearest(references, k, copies=False))


def looked(spec, training):
    """A fitted view as a function of rows, the same for shares, and its scores of training rows."""
    (view,) = views_of([spec])
    comparison = Comparison(view.scaling, view.references, view.k)
    outside = view.fit(comparison.fit(training), 0)
    return (lambda asked: view(comparison(asked))), (lambda asked: view.shares(comparison(asked))), outside


SPECS = {kind: {"kind": kind} for kind in kinds("view")} | {
    "masked": {"kind": "masked", "updates": 60, "width": 32},
    "denoising": {"kind": "denoising", "updates": 200},
}

# In float32 for speed; a detector takes rows in blocks of one size, so that even this difference does not arise.
ROUNDING = {"denoising": 2e-6, "masked": 1e-6}


@pytest.mark.parametrize("kind", sorted(SPECS))
class TestEveryView:
    def test_shares_add_up_to_the_score(self, kind):
        score, shares, _ = looked(SPECS[kind], rows())
        asked = rows(64, seed=2) * 3
        torch.testing.assert_close(shares(asked).sum(1), score(asked), rtol=1e-9, atol=1e-12)

    def test_a_row_scores_the_same_alone(self, kind):
        score, _, _ = looked(SPECS[kind], rows())
        asked = rows(64, seed=2) * 3
        alone = torch.cat([score(row[None]) for row in asked])
        torch.testing.assert_close(alone, score(asked), rtol=ROUNDING.get(kind, 1e-9), atol=0)

    def test_scores_of_training_rows_are_those_of_fresh_ones(self, kind):
        """Seen from outside: the medians agree within a tenth, which training residuals would not."""
        everything = rows(3000, seed=3)
        score, _, outside = looked(SPECS[kind], everything[:1500])
        assert outside.median().item() == pytest.approx(score(everything[1500:]).median().item(), rel=0.1)

    @pytest.mark.parametrize("n", [1, 2, 3, 7])
    def test_few_rows_are_enough(self, kind, n):
        score, _, outside = looked(SPECS[kind], rows(n))
        assert 1 <= len(outside) <= n
        assert outside.isfinite().all()
        assert score(rows(5, seed=1) * 100).isfinite().all()

    def test_what_is_far_scores_high(self, kind):
        score, _, outside = looked(SPECS[kind], rows())
        assert (score(rows(20, seed=4) + 1e3) > outside.max()).all()


def test_local_linear_is_the_formula_it_states():
    training, asked = rows(80), rows(10, seed=1)
    score, _, outside = looked({"kind": "local-linear", "scaling": "standard", "k": 2, "ridge": 3.0}, training)
    t, a = training.double().numpy(), asked.double().numpy()

    def residuals(points, others):
        distance = np.square(points[:, None] - others).sum(2)
        distance[distance == 0] = np.inf
        return points - others[distance.argsort(1)[:, :2]].mean(1)

    r = residuals(t, t)
    covariance = r.T @ r / len(r)
    inverse = np.linalg.inv(covariance + 3 * np.trace(covariance) / 6 * np.eye(6))
    form = lambda r: np.sqrt(np.einsum("ni,ij,nj->n", r, inverse, r))  # noqa: E731
    np.testing.assert_allclose(np.sort(outside.numpy()), np.sort(form(r)), rtol=1e-4)
    np.testing.assert_allclose(score(asked).numpy(), form(residuals(a, t)), rtol=1e-4)


def test_marginal_is_the_formula_it_states():
    training = rows(60).round(decimals=1)  # with ties
    asked = torch.cat([training[:20], rows(10, seed=1) * 4])
    score, shares, _ = looked({"kind": "marginal"}, training)
    t, a = training.double().numpy(), asked.double().numpy()
    expected = np.zeros(a.shape)
    for i, row in enumerate(a):
        for j, x in enumerate(row):
            fewer, more = (t[:, j] <= x).sum(), (t[:, j] >= x).sum()
            beyond = max(x - t[:, j].max(), t[:, j].min() - x, 0)
            expected[i, j] = -np.log((1 + min(fewer, more)) / 61) + np.log1p(beyond / t[:, j].std())
    np.testing.assert_allclose(shares(asked).numpy(), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(score(asked).numpy(), expected.sum(1), rtol=1e-6)


def test_covariance_of_all_rows_gives_the_distance_of_mahalanobis():
    training, asked = rows(80), rows(10, seed=1)
    score, _, _ = looked({"kind": "covariance", "scaling": "standard", "keep": 1.0, "ridge": 0.0}, training)
    expected = EmpiricalCovariance().fit(training.double().numpy()).mahalanobis(asked.double().numpy())
    np.testing.assert_allclose(score(asked).square().numpy(), expected, rtol=1e-4)


def test_covariance_leaves_a_group_of_anomalies_out():
    """Rows of a group that is a fifth of all score as if it had not been there; by all rows they would not."""
    clean = rows(400)
    group = 0.1 * torch.randn(100, 6, generator=torch.Generator().manual_seed(0)) + 4 * clean.std(0)
    spec = {"kind": "covariance", "scaling": "standard", "ridge": 0.0}
    kept, _, outside = looked(spec | {"keep": 0.75}, torch.cat([clean, group]))
    everything, _, _ = looked(spec | {"keep": 1.0}, torch.cat([clean, group]))
    assert kept(group).min() > kept(clean).max()
    assert everything(group).median() < 0.3 * kept(group).median()
    torch.testing.assert_close(outside.sort().values, kept(torch.cat([clean, group])).sort().values)


def test_a_trimmed_loss_does_not_learn_what_few_rows_share():
    """A tight group in which features agree otherwise than in the rest: where all rows are learnt, it looks usual."""
    random = torch.Generator().manual_seed(0)
    latent = torch.randn(600, 2, generator=random)
    normal = torch.cat([latent, latent], 1) + 0.1 * torch.randn(600, 4, generator=random)
    strange = torch.tensor([1.0, 1.0, -1.0, -1.0]) + 0.1 * torch.randn(90, 4, generator=random)
    both = torch.cat([normal, strange])[torch.randperm(690, generator=random.manual_seed(0))]
    times = {}
    for keep in (1.0, 0.75):
        spec = {"kind": "masked", "k": 0, "updates": 200, "width": 32, "keep": keep}
        score, _, _ = looked(spec, both)
        times[keep] = score(strange).median() / score(normal).median()
    assert times[0.75] > 8 > 3 > times[1.0]


def test_scalings():
    training = torch.tensor([[0.0, 5.0], [4.0, 5.0]])
    scaled = {}
    for kind in SCALINGS:
        scaling = Scaling(kind)
        scaling.fit(training)
        scaled[kind] = scaling(torch.tensor([[2.0, 6.0]])).tolist()
    assert scaled["standard"] == [[2.0, 6.0]]
    assert scaled["range"] == [[0.5, 1.0]]
    assert scaled["asinh"][0] == pytest.approx([np.arcsinh(2.0), np.arcsinh(6.0)])
    scaling = Scaling("median")
    scaling.fit(torch.tensor([[1.0], [2.0], [9.0]]))  # median 2, mean deviation (1 + 0 + 7) / 3
    assert scaling(torch.tensor([[10.0]])).item() == pytest.approx(np.arcsinh(3.0))


def test_refuses_an_unknown_scaling():
    with pytest.raises(InputError, match="unknown scaling"):
        Scaling("log")


def test_every_detector_is_made_of_views():
    assert all(views_of(row.views) for row in DETECTORS.values())


def test_denoising_follows_a_stream():
    """Rows moved by a tenth score higher at first, and after 300 steps on such rows less than half as much higher."""
    everything = rows(3000, seed=5)
    (view,) = views_of([{"kind": "denoising", "updates": 300}])
    comparison = Comparison(view.scaling, view.references, view.k)
    view.fit(comparison.fit(everything[:1500]), 0)
    moved = everything[1500:] + everything.std(0)
    usual, before = view(comparison(everything[1500:])).mean(), view(comparison(moved)).mean()
    for some in moved.repeat(52, 1).split(256):
        view.learn(comparison(some))
    after = view(comparison(moved)).mean()
    assert before > usual + 1
    assert after - usual < 0.5 * (before - usual)


def test_a_step_of_learning_depends_on_the_rows_and_the_count_alone():
    training = rows()
    scores = []
    for _ in range(2):
        (view,) = views_of([{"kind": "denoising", "updates": 20}])
        comparison = Comparison(view.scaling, view.references, view.k)
        view.fit(comparison.fit(training), 0)
        torch.manual_seed(len(scores))
        view.learn(comparison(training[:50]))
        scores.append(view(comparison(training)))
    assert torch.equal(*scores)
    assert view.steps == 1
