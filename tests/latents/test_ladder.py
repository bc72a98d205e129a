"""Codes of several levels: densities by hand, the divergence by quadrature, and what their levels are told."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from narrows.data.specimens import examples
from narrows.distributions import DiagonalNormal, StandardNormal, divergence
from narrows.errors import InputError
from narrows.inference import codes, samples
from narrows.latents import Ladder
from narrows.model import Model
from narrows.noise import Noise
from narrows.objectives import Elbo
from narrows.parts import make
from narrows.presets import choose
from narrows.sampling import sample
from narrows.values import Clock, Terms

CPU = torch.device("cpu")
END = Clock.at_end()


def built(size=5, levels=3, width=6):
    """A ladder in float64 with weights that are not those it begins with."""
    latent = Ladder(size, levels, width)
    latent.build((3,))
    for parameter in latent.double().parameters():
        parameter.data += 0.5 * Noise(4).normal(parameter.shape, rows=0).double()
    return latent.requires_grad_(False)


def numbers(n, width=6):
    return 2 * Noise(3).normal((n, width), rows=0).double()


def terms_of(latent, k, h):
    q = latent.posterior(h)
    z = sample(q, k, Noise(1))
    return Terms(torch.zeros(k, len(h)).double(), z, q, latent.prior(len(h), CPU))


def test_numbers_are_shared_out_evenly_and_the_lowest_level_takes_what_is_left():
    assert Ladder(16, 2).sizes == [8, 8]
    assert Ladder(11, 3).sizes == [3, 3, 5]
    assert sum(Ladder(11, 3).sizes) == Ladder(11, 3).size
    with pytest.raises(InputError, match=r"latent\.size was given as 2; it must be at least 3"):
        Ladder(2, 3)
    with pytest.raises(InputError, match=r"latent\.levels"):
        Ladder(2, 1)


def test_the_prior_begins_as_the_standard_normal():
    latent, z = Ladder(5, 3), Noise(0).normal((4, 2, 5), rows=1)
    latent.build((3,))
    torch.testing.assert_close(latent.prior(2, CPU).log_prob(z), StandardNormal(2, 5).log_prob(z), rtol=1e-3, atol=1e-3)


def test_the_density_is_the_product_of_the_levels():
    latent = built()
    terms = terms_of(latent, 4, numbers(2))
    for chain, log_prob in ((terms.posterior, terms.log_q), (terms.prior, terms.prior.log_prob(terms.z))):
        top, middle, low = terms.z.split([1, 1, 3], -1)
        expected = Normal(chain.top.mean, chain.top.variance.sqrt()).log_prob(top).sum(-1)
        for law, above, own in zip(chain.below, (top, middle), (middle, low), strict=True):
            expected += Normal(law(above).mean, law(above).scale).log_prob(own).sum(-1)
        torch.testing.assert_close(log_prob, expected)


def test_an_example_and_the_level_above_are_weighed_by_their_precisions():
    """The product of two normal densities, up to a constant: their log densities differ by it for all codes alike."""
    latent = built(2, 2)
    law = DiagonalNormal(torch.tensor([[0.7]]).double(), torch.tensor([[0.4]]).double())
    above, z = torch.tensor([[1.3]]).double(), torch.linspace(-3, 3, 7).double()[:, None]
    merged, told = latent._merged(0, law, above), latent._told(0, above)
    gap = told.log_prob(z) + law.log_prob(z) - merged.log_prob(z)
    torch.testing.assert_close(gap, gap[:1].expand(7))


def test_draws_of_the_divergence_agree_with_quadrature_and_waver_less_than_log_ratios():
    """Both means over 40,000 draws are within 4 standard errors of the KL, by Gauss and Hermite over the top level."""
    latent, h = built(2, 2), numbers(1)
    terms = terms_of(latent, 40_000, h)
    q, p = terms.posterior, terms.prior
    assert divergence(q, p) is None
    nodes, weights = (torch.from_numpy(array) for array in np.polynomial.hermite_e.hermegauss(80))
    top = (q.top.mean + q.top.scale * nodes[:, None])[:, None]
    levels = [kl_divergence(q.below[0](top).base_dist, p.below[0](top).base_dist)[:, 0, 0]]
    exact = kl_divergence(q.top.base_dist, Normal(0.0, 1.0)).sum() + weights @ levels[0] / weights.sum()
    for shares in (terms.kl[:, 0], terms.log_ratio[:, 0]):
        assert abs(shares.mean() - exact) < 4 * shares.std() / 200
    assert terms.kl.var() < 0.5 * terms.log_ratio.var()
    assert (terms.kl >= 0).all()


def test_the_code_is_the_means_from_the_top_down():
    latent, h = built(), numbers(4)
    q = latent.posterior(h)
    top, middle, low = latent.code(q).split([1, 1, 3], -1)
    assert torch.equal(top, q.top.mean)
    assert torch.equal(middle, q.below[0](top).mean)
    assert torch.equal(low, q.below[1](middle).mean)


@pytest.mark.parametrize("objective", [Elbo(samples=2), make("objective", {"kind": "iwae", "samples": 2})])
def test_two_unbiased_estimators_agree(objective):
    """Rows are independent estimates; the means' distance in each number is within 5 standard errors (6 numbers)."""
    latent, rows = built(3, 2), 30_000
    means, spreads = [], []
    for kind in ("pathwise", "score"):
        gradient = make("gradient", kind)
        h = numbers(1).expand(rows, -1).clone().requires_grad_()
        z, q = gradient.draw(latent.posterior(h), 2, Noise(2), END)
        terms = Terms(-(z - 0.5).square().sum(-1), z, q, latent.prior(rows, CPU))
        gradient.surrogate(objective.cost(terms, END), terms, objective, END).backward()
        means.append(rows * h.grad.mean(0))
        spreads.append(rows**2 * h.grad.var(0) / rows)
    assert ((means[0] - means[1]).abs() < 5 * (spreads[0] + spreads[1]).sqrt()).all()
    assert means[0].abs().max() > 0.05


def test_a_model_trains_generates_and_embeds():
    example = examples()[0]
    model = Model(choose("variational", example.schema, ["latent=ladder", "latent.size=5"]), example.schema)
    model.adapt(example.values)
    model.train().loss(example.values, Noise(0), Clock())[0].backward()
    assert all(weight.grad is not None for weight in model.parameters())
    assert samples(model, 3, seed=0).shape == (3, 6)
    assert codes(model, example.values).shape == (12, 5)
