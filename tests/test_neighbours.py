"""Objective neighbours against its formula in NumPy, scikit-learn's t-SNE, and finite differences."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.spatial.distance import cdist
from sklearn.manifold import TSNE

from narrows.distributions import Flat, Point
from narrows.errors import InputError
from narrows.gradients import Pathwise, Score
from narrows.latents import Bernoulli, Gaussian, Whole
from narrows.latents import Point as PlainCode
from narrows.noise import Noise
from narrows.objectives import Neighbours, neighbours
from narrows.objectives.neighbours import nearness
from narrows.values import Clock, Terms

END = Clock.at_end()


def terms_of(x, z, log_px=None):
    """Terms of deterministic codes (k, n, d) that cost nothing."""
    k, n = z.shape[:2]
    log_px = torch.zeros(k, n, dtype=z.dtype) if log_px is None else log_px
    return Terms(log_px, z, Point(z[0], torch.zeros(n, dtype=z.dtype)), Flat(n, z.shape[2:]), x)


def problem(n=31, columns=5, d=2, k=1, seed=0):
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.normal(size=(n, columns))), torch.from_numpy(random.normal(size=(k, n, d)))


def perplexities(p_conditional):
    entropy = -np.sum(p_conditional * np.log(np.maximum(p_conditional, 1e-300)), 1)
    return np.exp(entropy)


def conditional(x, perplexity):
    """p_{j|i} over the 3 u nearest rows, beta_i by Brent's method."""
    squared, found = cdist(x, x, "sqeuclidean"), np.zeros((len(x), len(x)))
    for i, row in enumerate(squared):
        near = np.argsort(np.where(np.arange(len(x)) == i, np.inf, row))[: min(len(x) - 1, 3 * perplexity)]

        def softmax(log_beta, near=near, row=row):
            weights = np.exp(-np.exp(log_beta) * (row[near] - row[near].min()))
            return weights / weights.sum()

        log_beta = brentq(lambda b: perplexities(softmax(b)[None])[0] - perplexity, -15, 15)
        found[i, near] = softmax(log_beta)
    return found


def divergence(p, z):
    """sum_ij p_ij ln (p_ij / q_ij), q of Student's t with max(d - 1, 1) degrees of freedom."""
    freedom = max(z.shape[1] - 1, 1)
    near = (1 + cdist(z, z, "sqeuclidean") / freedom) ** (-(freedom + 1) / 2)
    np.fill_diagonal(near, 0)
    q = near / near.sum()
    return sum(p[i, j] * np.log(p[i, j] / q[i, j]) for i, j in itertools.product(range(len(p)), repeat=2) if p[i, j])


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("perplexity", [3, 8])
def test_the_mean_over_a_batch_is_the_divergence_in_plain_numpy(d, perplexity):
    x, z = problem(d=d, k=2)
    p = conditional(x.numpy(), perplexity)
    p = (p + p.T) / (2 * len(p))
    np.testing.assert_allclose(nearness(x, perplexity).numpy(), p, atol=1e-7)
    apart = Neighbours(perplexity=perplexity).apart(terms_of(x, z))
    assert apart.shape == (2, 31)
    np.testing.assert_allclose(apart.mean(1), [divergence(p, draw) for draw in z.numpy()], rtol=1e-6)


def test_the_divergence_is_that_which_the_t_sne_of_scikit_learn_ends_at():
    """With 3 u = n - 1 neighbours the nearest are all others, as in its exact method; its last figure is a step old."""
    x, _ = problem()
    tsne = TSNE(perplexity=10, method="exact", init="random", random_state=0, max_iter=500).fit(x.numpy())
    z = torch.from_numpy(tsne.embedding_)[None].double()
    assert Neighbours(perplexity=10).apart(terms_of(x, z)).mean().item() == pytest.approx(tsne.kl_divergence_, rel=1e-3)


def test_the_cost_adds_it_to_the_elbo_once_for_each_number_seen():
    x, z = problem(k=2)
    log_px = -10 * Noise(1).uniform((2, 31), rows=1).double()
    terms = terms_of(x, z, log_px)
    objective = Neighbours(weight=7.0, perplexity=4)
    torch.testing.assert_close(objective.cost(terms, END), 7 * 5 * objective.apart(terms) - log_px)


def test_its_gradient_is_that_of_finite_differences():
    x, z = problem(n=14, d=3)
    objective = Neighbours(perplexity=4)
    assert torch.autograd.gradcheck(lambda z: objective.apart(terms_of(x, z)), z.requires_grad_())


@given(
    st.integers(2, 40),
    st.floats(1, 50),
    st.sampled_from([lambda x: x, lambda x: x**9, lambda x: 1e4 + 1e-2 * x, lambda x: x[:1].expand_as(x)]),
    st.integers(0, 1000),
)
def test_nearness_is_a_law_over_pairs(n, perplexity, shape, seed):
    p = nearness(shape(Noise(seed).normal((n, 3), rows=0)), perplexity)
    assert p.isfinite().all()
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.equal(p, p.T)
    assert (p.diagonal() == 0).all()
    assert (p >= 0).all()


@pytest.mark.parametrize("perplexity", [1.5, 5.0, 30.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_search_finds_the_perplexity(perplexity, scale):
    """Rows whose distances differ by orders of magnitude, in any unit."""
    x = scale * Noise(0).normal((200, 6), rows=0) * 10 ** Noise(1).normal((200, 1), rows=0)
    squared = torch.cdist(x, x).square().fill_diagonal_(float("inf")).topk(int(3 * perplexity + 0.5), largest=False)[0]
    found = neighbours._conditional(squared, float(np.log(perplexity)))
    np.testing.assert_allclose(perplexities(found.double().numpy()), perplexity, rtol=1e-4)


def test_where_more_rows_are_equally_near_nearness_is_even_over_them():
    p = nearness(torch.zeros(9, 2), 2.0)
    assert p.max().item() <= 1 / 9


def test_a_row_alone_and_no_neighbours_cost_nothing():
    x, z = problem(n=1)
    z.requires_grad_()
    apart = Neighbours().apart(terms_of(x, z))
    assert apart.tolist() == [[0.0]]
    (gradient,) = torch.autograd.grad(apart.sum(), z, allow_unused=True)
    assert gradient is None or gradient.eq(0).all()


def test_codes_that_coincide_have_finite_gradients():
    x, z = problem()
    z = (0 * z).requires_grad_()
    Neighbours().apart(terms_of(x, z)).sum().backward()
    assert z.grad.isfinite().all()


def test_large_batches_come_in_parts(monkeypatch):
    x, z = problem(n=30)
    monkeypatch.setattr(neighbours, "LARGEST", 12)
    objective = Neighbours(perplexity=3)
    whole = objective.apart(terms_of(x, z))
    for part in (slice(0, 12), slice(12, 24), slice(24, 30)):
        torch.testing.assert_close(whole[:, part], objective.apart(terms_of(x[part], z[:, part])))


def test_descending_it_brings_neighbours_together():
    """Three groups in ten columns, from codes of chance: afterwards each row's nearest code is of its own group."""
    group = torch.arange(60) % 3
    x = 8 * torch.eye(3, 10)[group] + Noise(0).normal((60, 10), rows=0)
    z = (1e-2 * Noise(1).normal((1, 60, 2), rows=0)).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        Neighbours(perplexity=8).apart(terms_of(x, z)).mean().backward()
        optimizer.step()
    nearest = torch.cdist(z[0], z[0]).fill_diagonal_(float("inf")).argmin(1)
    assert torch.equal(group[nearest], group)


def test_what_it_takes_and_what_it_refuses():
    assert Neighbours().refuses_latent(PlainCode(2)) is None
    assert Neighbours().refuses_latent(Bernoulli(2)) is None
    assert "take latent=point" in Neighbours().refuses_latent(Whole())
    assert "objective.samples=1" in Neighbours(samples=2).refuses_latent(PlainCode(2))
    for wrong in ({"weight": -1.0}, {"perplexity": 0.5}, {"samples": 0}):
        with pytest.raises(InputError, match=f"objective.{next(iter(wrong))} was given as"):
            Neighbours(**wrong)


def test_the_score_function_says_that_it_is_biased_here():
    """A draw moves what its neighbours pay, and its score is weighed by its own cost alone."""
    assert "other draws" in Score().bias(Gaussian(2), Neighbours(samples=2))
    assert Pathwise().bias(Gaussian(2), Neighbours()) is None
