"""Masses on a grid: they sum to one, equal the direct computation, and keep a gradient in every tail."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.likelihoods import Bernoulli, Categorical, Logistic
from narrows.likelihoods.pixels import DiscretizedLogistic

BINARY = Schema((1,), 0.0, 1.0, 1.0)
GREY = Schema((1,), 0.0, 255.0, 1.0)


def levels(n, cells=1):
    return Schema((cells,), 0.0, n - 1.0, 1.0)


def built(likelihood, schema):
    likelihood.build(schema)
    return likelihood


def masses(p, n):
    """P(x = level) of each level for a single cell, in float64."""
    return p.log_prob(torch.arange(float(n)).view(n, 1, 1)).double().exp().flatten()


def logistic(params, n, components=1):
    """p(x | z) of one cell from the decoder's numbers."""
    return built(Logistic(components), levels(n))(torch.tensor(params, dtype=torch.float32).view(1, 1, -1, 1))


NUMBER = st.floats(-60, 60)


class TestBernoulli:
    @given(st.floats(-1e5, 1e5, width=32))
    def test_sums_to_one(self, logit):
        p = built(Bernoulli(), BINARY)(torch.tensor(logit).view(1, 1, 1, 1))
        assert masses(p, 2).sum().item() == pytest.approx(1, abs=1e-5)

    def test_is_minus_the_binary_cross_entropy_summed_over_cells(self):
        logits = torch.randn(2, 3, 1, 4, 5, generator=torch.manual_seed(0))
        x = (torch.rand(3, 4, 5, generator=torch.manual_seed(1)) > 0.5).float()
        p = built(Bernoulli(), Schema((4, 5), 0.0, 1.0, 1.0))(logits)
        expected = stats.bernoulli.logpmf(x.numpy(), logits[:, :, 0].sigmoid().double().numpy()).sum((2, 3))
        np.testing.assert_allclose(p.log_prob(x).numpy(), expected, rtol=1e-5)

    @pytest.mark.parametrize("x", [0.0, 1.0])
    def test_a_confident_mistake_is_finite_and_is_corrected(self, x):
        logit = torch.full((1, 1, 1, 1), (1 - 2 * x) * 1e4, requires_grad=True)
        log_prob = built(Bernoulli(), BINARY)(logit).log_prob(torch.tensor([[x]]))
        log_prob.sum().backward()
        assert log_prob.item() == pytest.approx(-1e4)
        assert logit.grad.item() == pytest.approx(2 * x - 1)

    @pytest.mark.parametrize("schema", [GREY, Schema((1,), 0.0, 1.0), Schema((1,), 0.0, np.inf, 1.0)])
    def test_grey_values_are_refused_for_they_do_not_sum_to_one(self, schema):
        assert "binary" in Bernoulli().refuses(schema)
        assert Bernoulli().refuses(BINARY) is None


class TestCategorical:
    @given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=9))
    def test_sums_to_one(self, logits):
        n = len(logits)
        p = built(Categorical(), levels(n))(torch.tensor(logits).view(1, 1, n, 1))
        assert masses(p, n).sum().item() == pytest.approx(1, abs=1e-5)

    def test_is_the_softmax_and_its_mean(self):
        likelihood = built(Categorical(), levels(6, cells=3))
        params = torch.randn(2, 4, 6, 3, generator=torch.manual_seed(0))
        x = torch.randint(6, (4, 3), generator=torch.manual_seed(1)).float()
        p = likelihood(params)
        softmax = params.double().softmax(2).numpy()
        picked = np.take_along_axis(softmax, x.long().numpy()[None, :, None].repeat(2, 0), 2)
        assert likelihood.n_params == 6
        np.testing.assert_allclose(p.log_prob(x).numpy(), np.log(picked).sum((2, 3)), rtol=1e-5)
        np.testing.assert_allclose(p.mean.numpy(), np.einsum("knlx,l->knx", softmax, np.arange(6)), rtol=1e-5)


class TestLogistic:
    @pytest.mark.parametrize("level", [0, 128, 255])
    @pytest.mark.parametrize("mean", [-300.0, 0.0, 128.0, 255.0, 600.0])
    def test_no_slope_leaves_the_normal_range_of_floats(self, level, mean):
        """Below it a processor takes many times as long, for products that the slope goes through as well."""
        loc, scale = (torch.full((1, 1, 1, 1), x, requires_grad=True) for x in (mean, 0.28))
        p = DiscretizedLogistic(loc, scale, None, 256)
        (1e-5 * p.log_prob(torch.full((1, 1), float(level))).sum()).backward()
        for slope in (loc.grad, scale.grad):
            assert slope == 0 or slope.abs() > 2.0**-100

    @given(mean=NUMBER, log_scale=NUMBER, n=st.sampled_from([2, 3, 5, 16, 256]))
    def test_sums_to_one_far_outside_the_range_and_at_every_scale(self, mean, log_scale, n):
        assert masses(logistic([mean, log_scale], n), n).sum().item() == pytest.approx(1, abs=1e-5)

    @given(params=st.lists(NUMBER, min_size=9, max_size=9), n=st.sampled_from([2, 5, 256]))
    def test_a_mixture_sums_to_one(self, params, n):
        assert masses(logistic(params, n, components=3), n).sum().item() == pytest.approx(1, abs=1e-5)

    def test_cells_are_independent(self):
        p = built(Logistic(), levels(4, cells=2))(torch.randn(1, 1, 2, 2, generator=torch.manual_seed(0)))
        every = torch.tensor(list(itertools.product(range(4), repeat=2)), dtype=torch.float32)
        assert p.log_prob(every[:, None]).exp().sum().item() == pytest.approx(1, abs=1e-5)

    @given(
        mean=st.lists(st.floats(-300, 600), min_size=3, max_size=3),
        scale=st.lists(st.floats(0.3, 300), min_size=3, max_size=3),
        logits=st.lists(st.floats(-4, 4), min_size=3, max_size=3),
        level=st.sampled_from([0, 1, 17, 128, 254, 255]),
        components=st.sampled_from([1, 3]),
    )
    def test_equals_the_difference_of_scipy_s_distribution_function(self, mean, scale, logits, level, components):
        """Where that difference is well conditioned; 1e-5 relative."""
        mean, scale, logits = (np.array(values[:components]) for values in (mean, scale, logits))
        as_given = [torch.tensor(values).view(1, 1, components, 1) for values in (mean, scale, logits)]
        p = DiscretizedLogistic(*as_given[:2], as_given[2] if components > 1 else None, 256)
        above = 1.0 if level == 255 else stats.logistic.cdf(level + 0.5, mean, scale)
        below = 0.0 if level == 0 else stats.logistic.cdf(level - 0.5, mean, scale)
        upper = stats.logistic.sf(level - 0.5, mean, scale) if level else 1.0
        direct = upper if level == 255 else np.where(mean < level, upper - (1 - above), above - below)
        if (direct > 1e-9).all():
            expected = np.log((np.exp(logits) / np.exp(logits).sum() * direct).sum())
            given_level = torch.tensor([[float(level)]], dtype=torch.float64)
            assert p.log_prob(given_level).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)

    @pytest.mark.parametrize("components", [1, 2])
    @pytest.mark.parametrize("mean", [-1e3, -5.0, 5.0, 1e3])
    @pytest.mark.parametrize("log_scale", [-20.0, -3.0, 0.0, 20.0])
    @pytest.mark.parametrize("level", [0.0, 100.0, 255.0])
    def test_the_tails_are_finite_and_draw_the_mean_towards_the_value(self, components, mean, log_scale, level):
        means = [mean] * components
        params = torch.tensor(means + [log_scale] * components + [0.0] * components * (components > 1))
        params = params.view(1, 1, -1, 1).requires_grad_()
        p = built(Logistic(components), GREY)(params)
        log_prob = p.log_prob(torch.tensor([[level]]))
        log_prob.sum().backward()
        pull = params.grad[0, 0, :components, 0]
        assert log_prob.isfinite()
        assert params.grad.isfinite().all()
        wrong_side = (mean < 0) == (level > 0) or level == 100
        if wrong_side:
            assert (pull * -np.sign(mean) > 0).all()

    @given(mean=st.floats(-3, 3), log_scale=st.floats(-8, 8), n=st.sampled_from([32, 256]))
    def test_the_mean_is_that_of_the_masses(self, mean, log_scale, n):
        """But for rounding to levels: within 0.05 of a level at 256 of them, and more where scales are below one."""
        p = logistic([mean, log_scale], n)
        exact = (masses(p, n) * torch.arange(n)).sum().item()
        assert p.mean.item() == pytest.approx(exact, abs=0.02 if p.scale.item() > 0.28 else 0.5)
        assert 0 <= p.mean.item() <= n - 1

    def test_the_mean_of_a_mixture_is_weighted(self):
        p = logistic([-0.5, 0.5, -2, -2, 0.0, np.log(3)], 256, components=2)
        exact = (masses(p, 256) * torch.arange(256)).sum().item()
        assert p.mean.item() == pytest.approx(exact, abs=0.02)

    def test_parameters_count(self):
        assert [Logistic(components).n_params for components in (1, 2, 5)] == [2, 6, 15]

    @pytest.mark.parametrize("kind", [Logistic, Categorical])
    def test_values_without_levels_are_refused(self, kind):
        for schema in (Schema((1,), 0.0, 1.0), Schema((1,), 0.0, np.inf, 1.0)):
            assert f"likelihood {kind.kind}" in kind().refuses(schema)
        assert kind().refuses(GREY) is None

    def test_a_component_is_needed(self):
        with pytest.raises(InputError, match=r"likelihood\.components"):
            Logistic(0)
