"""Draws against exact probabilities, divergences against enumeration, and rows that share their noise.

A statistical test here has level 1e-4 unless it states another: the right code would fail one seed in ten thousand, and
the seeds are fixed.
"""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch.distributions import (
    Bernoulli,
    Categorical,
    Exponential,
    Independent,
    MixtureSameFamily,
    Normal,
    OneHotCategorical,
    Poisson,
)

from narrows.distributions import Flat, Point, divergence, divergence_by_unit
from narrows.latents import Bernoulli as Bits
from narrows.latents import Categorical as Symbols
from narrows.latents import Gaussian
from narrows.likelihoods.pixels import DiscretizedLogistic
from narrows.likelihoods.reals import Spherical
from narrows.noise import Noise
from narrows.sampling import gumbel_argmax, sample
from narrows.values import Terms

DRAWS = 50_000
LEVEL = 1e-4


def cells(*values, ndim=3):
    """Values as one example's event, with ``ndim`` axes in all."""
    return torch.tensor(values).view(*[1] * (ndim - 1), -1)


def logistic(components):
    mean = torch.tensor([[2.0, 0.3], [7.5, 14.0], [-3.0, 6.0]])[:components].view(1, 1, components, 2)
    scale = torch.tensor([[1.5, 0.2], [0.7, 9.0], [2.0, 0.5]])[:components].view(1, 1, components, 2)
    logits = torch.tensor([[0.0, 1.0], [1.0, -1.0], [0.5, 0.0]])[:components].view(1, 1, components, 2)
    return DiscretizedLogistic(mean, scale, logits if components > 1 else None, 12)


DISCRETE = {
    "bernoulli": (Independent(Bernoulli(logits=cells(-2.0, 0.3, ndim=2)), 1), range(2)),
    "categorical": (Independent(Categorical(logits=torch.randn(1, 2, 5, generator=torch.manual_seed(0))), 1), range(5)),
    "poisson": (Independent(Poisson(cells(0.4, 30.0, ndim=2)), 1), range(90)),
    "logistic": (logistic(1), range(12)),
    "logistic mixture": (logistic(3), range(12)),
}
CONTINUOUS = {
    "normal": (Independent(Normal(cells(-1.0, 2.0, ndim=2), cells(0.1, 3.0, ndim=2)), 1), (-1.0, 2.0), (0.1, 3.0)),
    "spherical": (Spherical(cells(-1.0, 2.0), torch.tensor(0.5)), (-1.0, 2.0), (0.5, 0.5)),
    "spherical by cell": (Spherical(cells(-1.0, 2.0), torch.tensor([0.5, 4.0])), (-1.0, 2.0), (0.5, 4.0)),
}


def drawn(q, seed=0):
    """Many draws of the two cells of one example, shape (draws, 2)."""
    return sample(q, DRAWS, Noise(seed)).view(DRAWS, 2).numpy()


def probabilities(q, support):
    """P(cell = value), from ``log_prob``, for each of two independent cells: shape (2, values)."""

    def joint(a, b):
        return q.log_prob(torch.tensor([float(a), float(b)]).view(*[1] * len(q.batch_shape), 2)).exp().item()

    other = support[1]
    table = np.array([[joint(value, other) for value in support], [joint(other, value) for value in support]])
    return table / table.sum(1, keepdims=True)


def same_frequencies(values, support, expected):
    """p-value of the chi-squared test, the rarest values taken together."""
    counts = np.array([(values == value).sum() for value in support], dtype=float)
    assert counts.sum() == len(values), "a draw outside of the support"
    common = expected * len(values) >= 8
    gather = [np.append(table[common], table[~common].sum()) for table in (counts, expected * len(values))]
    kept = gather[1] > 0
    assert gather[0][~kept].sum() == 0
    return stats.chisquare(gather[0][kept], gather[1][kept] * gather[0].sum() / gather[1][kept].sum()).pvalue


@pytest.mark.parametrize("name", DISCRETE)
def test_frequencies_of_draws_are_the_probabilities(name):
    q, support = DISCRETE[name]
    values = drawn(q)
    for cell, expected in enumerate(probabilities(q, support)):
        assert same_frequencies(values[:, cell], support, expected) > LEVEL


@pytest.mark.parametrize("name", CONTINUOUS)
def test_draws_follow_the_normal_law(name):
    q, means, sigmas = CONTINUOUS[name]
    for values, mean, sigma in zip(drawn(q).T, means, sigmas, strict=True):
        assert stats.kstest(values, stats.norm(mean, sigma).cdf).pvalue > LEVEL


@pytest.mark.parametrize("name", [*DISCRETE, *CONTINUOUS])
def test_cells_are_drawn_independently(name):
    values = drawn((DISCRETE | CONTINUOUS)[name][0])
    assert stats.pearsonr(*values.T).pvalue > LEVEL
    assert stats.pearsonr(values[1:, 0], values[:-1, 0]).pvalue > LEVEL


@pytest.mark.parametrize("name", [*DISCRETE, *CONTINUOUS])
def test_moments_of_draws(name):
    """Mean and variance within 4.5 standard errors of those of the probabilities: 7e-6 a figure."""
    if name in DISCRETE:
        q, support = DISCRETE[name]
        law = [stats.rv_discrete(values=(support, p)) for p in probabilities(q, support)]
    else:
        q, means, sigmas = CONTINUOUS[name]
        law = [stats.norm(mean, sigma) for mean, sigma in zip(means, sigmas, strict=True)]
    for values, exact in zip(drawn(q, seed=1).T, law, strict=True):
        squares = (values - exact.mean()) ** 2
        assert abs(values.mean() - exact.mean()) < 4.5 * values.std() / DRAWS**0.5
        assert abs(squares.mean() - exact.var()) < 4.5 * squares.std() / DRAWS**0.5


def test_one_hot_draws_are_hard_and_as_frequent_as_their_probabilities():
    logits = torch.tensor([[[-1.0, 0.5, 2.0], [0.0, 0.0, -3.0]]])
    z = sample(Independent(OneHotCategorical(logits=logits), 1), DRAWS, Noise(0))
    assert z.shape == (DRAWS, 1, 2, 3)
    assert torch.equal(z.sum(-1), torch.ones(DRAWS, 1, 2))
    for symbol, expected in zip(z[:, 0].argmax(-1).T.numpy(), logits[0].softmax(-1).numpy(), strict=True):
        assert same_frequencies(symbol, range(3), expected) > LEVEL


def test_a_point_draws_itself():
    value = torch.randn(5, 3)
    assert torch.equal(sample(Point(value, torch.zeros(5)), 4, Noise(0)), value.expand(4, 5, 3))


def test_a_distribution_without_a_rule_is_named():
    with pytest.raises(TypeError, match="Exponential"):
        sample(Exponential(torch.ones(3)), 1, Noise(0))


class Given:
    """Noise of the test's choice."""

    def __init__(self, uniform):
        self.given = uniform

    def uniform(self, shape, *, rows):
        return self.given.expand(tuple(shape))


@given(rate=st.floats(1e-6, 4e8), uniform=st.floats(0, 1 - 2**-24, width=32))
def test_poisson_draws_invert_the_cumulative_probability(rate, uniform):
    law = Poisson(torch.tensor([rate], dtype=torch.float64))
    count = int(sample(law, 1, Given(torch.tensor(uniform))).item())
    uniform = max(uniform, 2**-25)
    assert stats.poisson.cdf(count, rate) > uniform * (1 - 1e-9)
    assert stats.poisson.cdf(count - 1, rate) <= uniform * (1 + 1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_uniform_of_exactly_zero_does_not_draw_the_impossible(dtype):
    """A float32 uniform is 0 once in 2**24 draws; a category of probability e**-50 is not to be seen for that."""
    logits = torch.tensor([-50.0, 0.0], dtype=dtype)
    assert gumbel_argmax(logits, (1, 2), 0, Given(torch.tensor([0.0, 0.9]))).item() == 1


@pytest.mark.parametrize("name", [*DISCRETE, *CONTINUOUS])
def test_shared_noise_gives_every_row_the_same_draw(name):
    q = (DISCRETE | CONTINUOUS)[name][0]
    rows = q.expand((*q.batch_shape[:-1], 6)) if isinstance(q, Independent) else _repeated(q, 6)
    z = sample(rows, 50, Noise(0, shared=True))
    assert torch.equal(z, z[..., :1, :].expand_as(z))
    assert not torch.equal(z, z[:1].expand_as(z))
    own = sample(rows, 50, Noise(0))
    assert not torch.equal(own, own[..., :1, :].expand_as(own))


def _repeated(q, n):
    if isinstance(q, Spherical):
        return Spherical(q.loc.expand(1, n, 2), q.scale)
    shape = (1, n, *q.loc.shape[2:])
    logits = None if q.logits is None else q.logits.expand(shape)
    return DiscretizedLogistic(q.loc.expand(shape), q.scale.expand(shape), logits, q.levels)


def test_equal_seeds_give_equal_streams_and_a_position_can_be_kept():
    one, two, other = Noise(3), Noise(3), Noise(4)
    first = one.normal((5, 2), rows=0)
    assert torch.equal(first, two.normal((5, 2), rows=0))
    assert not torch.equal(first, other.normal((5, 2), rows=0))
    state = one.state()
    ahead = one.uniform((7,), rows=0)
    one.restore(state)
    assert torch.equal(ahead, one.uniform((7,), rows=0))
    assert one.normal((), rows=0).shape == ()


def test_the_price_of_a_point_is_its_divergence_from_the_flat_prior():
    price = torch.tensor([0.0, 2.5])
    q, p = Point(torch.randn(2, 3), price), Flat(2, (3,))
    assert torch.equal(divergence(q, p), price)
    assert torch.equal(q.log_prob(torch.randn(4, 2, 3)), torch.zeros(4, 2))
    assert torch.equal(p.log_prob(torch.randn(4, 2, 3)), torch.zeros(4, 2))
    assert divergence_by_unit(q, p) is None


def test_a_pair_without_a_closed_form_falls_back_on_the_draws():
    q = Independent(Normal(torch.randn(6, 2), torch.ones(6, 2)), 1)
    mixture = MixtureSameFamily(
        Categorical(logits=torch.zeros(3)), Independent(Normal(torch.randn(3, 2), torch.ones(3, 2)), 1)
    )
    z = sample(q, 4, Noise(0))
    terms = Terms(torch.zeros(4, 6), z, q, mixture)
    assert divergence(q, mixture) is None
    torch.testing.assert_close(terms.kl, q.log_prob(z) - mixture.log_prob(z))


LOGITS = st.lists(st.floats(-30, 30), min_size=3, max_size=3)


@given(LOGITS)
def test_divergence_of_bits_equals_the_enumerated_sum(logits):
    latent = Bits(3)
    q, p = latent.posterior(torch.tensor([logits], dtype=torch.float64)), latent.prior(1, torch.device("cpu"))
    codes = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)), dtype=torch.float64)
    log_q = q.log_prob(codes[:, None])[:, 0]
    enumerated = (log_q.exp() * (log_q - p.log_prob(codes[:, None])[:, 0])).sum()
    torch.testing.assert_close(log_q.exp().sum().item(), 1.0)
    assert divergence(q, p).item() == pytest.approx(enumerated.item(), abs=1e-7)
    assert -1e-7 <= divergence(q, p).item() <= 3 * np.log(2) + 1e-7


@given(st.lists(LOGITS, min_size=2, max_size=2))
def test_divergence_of_symbols_equals_the_enumerated_sum(logits):
    latent = Symbols(symbols=2, categories=3)
    q = latent.posterior(torch.tensor(logits, dtype=torch.float64).view(1, 6))
    p = latent.prior(1, torch.device("cpu"))
    eye = torch.eye(3, dtype=torch.float64)
    codes = torch.stack([torch.stack([eye[a], eye[b]]) for a, b in itertools.product(range(3), repeat=2)])
    log_q = q.log_prob(codes[:, None])[:, 0]
    enumerated = (log_q.exp() * (log_q - p.log_prob(codes[:, None])[:, 0])).sum()
    assert log_q.exp().sum().item() == pytest.approx(1)
    assert divergence(q, p).item() == pytest.approx(enumerated.item(), abs=1e-7)


@pytest.mark.parametrize("latent", [Gaussian(4), Bits(4), Symbols(2, 3)], ids=lambda latent: latent.kind)
def test_monte_carlo_divergence_agrees_with_the_exact_one(latent):
    """Within 4 standard errors: 6e-5 a latent."""
    q = latent.posterior(Noise(7).normal((1, latent.n_params), rows=0))
    prior = latent.prior(1, torch.device("cpu"))
    z = sample(q, DRAWS, Noise(8))
    terms = Terms(torch.zeros(DRAWS, 1), z, q, prior)
    by_hand = q.log_prob(z) - prior.log_prob(z)
    torch.testing.assert_close(terms.log_ratio, by_hand)
    error = by_hand.double().std().item() / DRAWS**0.5
    assert error < 0.02
    assert abs(by_hand.double().mean().item() - terms.kl.item()) < 4 * error


@pytest.mark.parametrize("latent", [Gaussian(4), Bits(4), Symbols(2, 3)], ids=lambda latent: latent.kind)
def test_divergence_splits_over_units(latent):
    q = latent.posterior(Noise(7).normal((5, latent.n_params), rows=0))
    prior = latent.prior(5, torch.device("cpu"))
    by_unit = divergence_by_unit(q, prior)
    assert by_unit.shape[0] == 5
    torch.testing.assert_close(by_unit.sum(1), divergence(q, prior))
