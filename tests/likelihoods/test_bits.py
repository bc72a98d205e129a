"""The log-probability of bits while training, against torch's cross-entropy in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits

from narrows.likelihoods.bits import GROUP, log_prob_of_bits


def exact(logits, bits):
    """Nats and their slope by the logits, in float64."""
    logits = logits.detach().double().requires_grad_()
    nats = -binary_cross_entropy_with_logits(logits, bits.double(), reduction="none").sum(-1)
    nats.sum().backward()
    return nats.detach(), logits.grad


def drawn(rows, cells, spread, seed):
    random = np.random.default_rng(seed)
    logits = torch.from_numpy((spread * random.normal(size=(2, rows, cells))).astype(np.float32))
    return logits.requires_grad_(), torch.from_numpy(random.integers(0, 2, (2, rows, cells)).astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 5),
    cells=st.integers(1, 6 * GROUP),
    spread=st.sampled_from([0.0, 0.3, 3.0, 30.0, 300.0]),
    seed=st.integers(0, 99),
)
def test_nats_and_slopes_are_those_of_the_cross_entropy(rows, cells, spread, seed):
    logits, bits = drawn(rows, cells, spread, seed)
    nats = log_prob_of_bits(logits, bits)
    weights = torch.linspace(-1, 2, nats.numel()).view_as(nats)
    (nats * weights).sum().backward()
    expected, slope = exact(logits, bits)
    torch.testing.assert_close(nats.detach().double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits.grad.double(), slope * weights[..., None].double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("logit", [-20.0, -60.0, -1e4])
def test_what_is_all_but_impossible_costs_what_it_should(logit):
    """Products of so small probabilities would vanish in float32."""
    logits = torch.full((1, 1, 2 * GROUP), logit, requires_grad=True)
    nats = log_prob_of_bits(logits, torch.ones(1, 1, 2 * GROUP))
    nats.sum().backward()
    assert nats.item() == pytest.approx(2 * GROUP * logit, rel=1e-6)
    torch.testing.assert_close(logits.grad, torch.ones_like(logits))


def test_a_figure_without_a_gradient_is_the_same_to_the_sixth_digit():
    logits, bits = drawn(4, 12 * GROUP, 3.0, 1)
    torch.testing.assert_close(
        log_prob_of_bits(logits, bits), log_prob_of_bits(logits.detach(), bits), rtol=1e-6, atol=0
    )
