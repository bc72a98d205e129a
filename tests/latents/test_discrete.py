"""Bits and symbols: priors, modes and the entropy that a divergence from even odds is."""

import numpy as np
import pytest
import torch
from scipy import stats

from narrows.distributions import divergence
from narrows.latents import Bernoulli, Categorical

CPU = torch.device("cpu")


@pytest.mark.parametrize("latent", [Bernoulli(5), Categorical(3, 4)], ids=lambda latent: latent.kind)
def test_it_starts_at_the_even_prior(latent):
    h = torch.zeros(2, latent.n_params)
    assert torch.equal(divergence(latent.posterior(h), latent.prior(2, CPU)), torch.zeros(2))
    assert latent.random
    assert latent.discrete


def test_divergence_of_bits_is_what_is_missing_to_full_entropy():
    h = torch.linspace(-8, 8, 12, dtype=torch.float64).view(3, 4)
    kl = divergence(Bernoulli(4).posterior(h), Bernoulli(4).prior(3, CPU))
    expected = (np.log(2) - stats.bernoulli(h.sigmoid().numpy()).entropy()).sum(1)
    np.testing.assert_allclose(kl.numpy(), expected, rtol=1e-6)


def test_divergence_of_symbols_is_what_is_missing_to_full_entropy():
    latent = Categorical(symbols=2, categories=5)
    h = torch.randn(3, 10, dtype=torch.float64, generator=torch.manual_seed(0)) * 3
    kl = divergence(latent.posterior(h), latent.prior(3, CPU))
    expected = (np.log(5) - stats.entropy(h.view(3, 2, 5).softmax(-1).numpy(), axis=-1)).sum(1)
    np.testing.assert_allclose(kl.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_a_certain_bit_costs_ln_2_and_nothing_breaks(logit):
    h = torch.full((1, 3), logit, requires_grad=True)
    kl = divergence(Bernoulli(3).posterior(h), Bernoulli(3).prior(1, CPU))
    assert kl.item() == pytest.approx(3 * np.log(2))
    kl.sum().backward()
    assert h.grad.isfinite().all()


def test_the_code_is_the_mode():
    bits = Bernoulli(3)
    assert bits.code(bits.posterior(torch.tensor([[-0.1, 0.1, 9.0]]))).tolist() == [[0, 1, 1]]
    symbols = Categorical(symbols=2, categories=3)
    h = torch.tensor([[0.0, 2.0, 1.0, 5.0, 4.0, 4.5]])
    assert symbols.code(symbols.posterior(h)).tolist() == [[0, 1, 0, 1, 0, 0]]
    assert symbols.size == symbols.n_params == 6
