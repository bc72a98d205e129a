"""Vector-quantised codes: nearest entries, the price of their distance, and a codebook that stays alive."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.distributions import divergence
from narrows.latents import VectorQuantized

CPU = torch.device("cpu")


def quantizer(entries=6, **settings):
    torch.manual_seed(0)
    return VectorQuantized(vectors=3, dim=2, entries=entries, **settings).eval()


def sample_h(n=8, seed=1):
    return torch.randn(n, 6, generator=torch.manual_seed(seed))


@given(st.integers(0, 200))
def test_each_vector_is_replaced_by_its_nearest_entry_exactly(seed):
    latent, h = quantizer(), sample_h(seed=seed)
    distance = (h.view(-1, 3, 1, 2) - latent.codebook.detach()).square().sum(-1)
    nearest = distance.argmin(-1)
    assert torch.equal(latent.nearest(h.view(-1, 3, 2)), nearest)
    assert torch.equal(latent.code(latent.posterior(h)).view(-1, 3, 2), latent.codebook[nearest])


def test_the_price_holds_codebook_and_encoder_together():
    latent, h = quantizer(commitment=0.5), sample_h().requires_grad_()
    q = latent.posterior(h)
    gap = h.view(-1, 3, 2) - latent.codebook[latent.nearest(h.view(-1, 3, 2))]
    price = divergence(q, latent.prior(8, CPU))
    torch.testing.assert_close(price, 1.5 * gap.square().sum((1, 2)))
    to_h, to_codebook = torch.autograd.grad(price.sum(), [h, latent.codebook])
    torch.testing.assert_close(to_h.view(-1, 3, 2), 2 * 0.5 * gap)
    expected = torch.zeros_like(latent.codebook).index_add(
        0, latent.nearest(h.view(-1, 3, 2)).flatten(), -2 * gap.detach().view(-1, 2)
    )
    torch.testing.assert_close(to_codebook, expected)


def test_the_gradient_passes_from_the_code_to_the_encoder_unchanged():
    latent, h = quantizer(), sample_h().requires_grad_()
    weight = torch.randn(8, 6)
    (latent.posterior(h).mean * weight).sum().backward()
    torch.testing.assert_close(h.grad, weight)


def test_a_dead_entry_moves_to_the_worst_served_vector_in_training():
    latent = quantizer()
    with torch.no_grad():
        latent.codebook[5] = 1e3
    latent.use[5] = 0.0
    h = sample_h()
    vectors = h.view(-1, 2)
    worst = vectors[(vectors - latent.codebook[latent.nearest(vectors)]).square().sum(1).argmax()]
    latent.train().posterior(h)
    torch.testing.assert_close(latent.codebook[5].detach(), worst)
    assert 5 in latent.nearest(h.view(-1, 3, 2))


def test_nothing_moves_in_evaluation():
    latent = quantizer()
    latent.use.zero_()
    before = latent.codebook.detach().clone()
    latent.posterior(sample_h())
    assert torch.equal(latent.codebook, before)
    assert not latent.use.any()


def test_a_codebook_far_from_the_data_is_revived():
    latent = quantizer(entries=16).train()
    with torch.no_grad():
        latent.codebook += 100
    for step in range(500):
        latent.posterior(sample_h(n=64, seed=step))
    picked = latent.eval().code(latent.posterior(sample_h(n=500)))
    assert latent.used(picked).sum() >= 12


def test_more_dead_entries_than_vectors_is_no_trouble():
    latent = quantizer(entries=50).train()
    latent.use.zero_()
    latent.posterior(sample_h(n=1))


def test_use_is_counted_by_entry():
    latent = quantizer()
    codes = latent.codebook[torch.tensor([[0, 1, 1], [1, 3, 0]])].flatten(1)
    assert latent.used(codes).tolist() == [True, True, False, True, False, False]
