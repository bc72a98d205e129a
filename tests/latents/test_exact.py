"""Deterministic codes: what they are, and the price they declare."""

import numpy as np
import pytest
import torch
from scipy.special import rel_entr

from narrows.distributions import divergence
from narrows.errors import InputError
from narrows.latents import KlSparse, Point, Sphere

CPU = torch.device("cpu")


def price(latent, h):
    return divergence(latent.posterior(h), latent.prior(len(h), CPU))


def sample_h(n=7, d=5):
    return torch.randn(n, d, generator=torch.manual_seed(0))


def test_a_plain_code_is_free():
    h = sample_h()
    assert torch.equal(Point(5).code(Point(5).posterior(h)), h)
    assert torch.equal(price(Point(5), h), torch.zeros(7))


class TestKlSparse:
    def test_the_price_is_the_divergence_of_the_target_from_the_mean_use(self):
        latent, h = KlSparse(5, rho=0.2, weight=3.0, momentum=1.0).train(), sample_h()
        use = h.sigmoid().mean(0).numpy().astype(float)
        expected = 3 * (rel_entr(0.2, use) + rel_entr(0.8, 1 - use)).sum()
        np.testing.assert_allclose(price(latent, h).numpy(), np.full(7, expected), rtol=1e-5)

    def test_it_is_free_at_the_target(self):
        latent = KlSparse(3, rho=0.25, weight=1.0, momentum=1.0).train()
        assert price(latent, torch.full((4, 3), -np.log(3.0))).abs().max() < 1e-6

    def test_the_gradient_is_that_of_the_batch_mean_whatever_the_momentum(self):
        """At the same use; so one example at a time is pulled no less than a full batch."""
        gradients = []
        for momentum in (0.01, 1.0):
            latent, h = KlSparse(5, weight=1.0, momentum=momentum).train(), sample_h().requires_grad_()
            latent.use.copy_(h.detach().sigmoid().mean(0))
            price(latent, h).mean().backward()
            gradients.append(h.grad)
        assert gradients[0].abs().min() > 0
        torch.testing.assert_close(*gradients)

    def test_uses_at_their_target_cost_nothing_and_break_nothing(self):
        """There rounding leaves a divergence now above 0 and now below."""
        for rho in (0.05, 0.1, 0.3, 0.9):
            for away in (0, 1e-7, -1e-7, 1e-6, -1e-6, 1e-5):
                latent = KlSparse(1, rho=rho, momentum=1.0).train()
                h = torch.full((4, 1), rho * (1 + away)).logit().requires_grad_()
                price(latent, h).mean().backward()
                assert all(tensor.isfinite().all() for tensor in (h.grad, *latent.buffers()))

    def test_the_mean_use_runs_over_batches_in_training_alone(self):
        latent = KlSparse(2, rho=0.5, momentum=0.25)
        h = torch.full((3, 2), 50.0)
        latent.train().posterior(h)
        assert latent.use.tolist() == [0.625, 0.625]
        latent.eval().posterior(h)
        assert latent.use.tolist() == [0.625, 0.625]

    def test_one_at_a_time_comes_to_the_same_mean_use_as_a_full_batch(self):
        h = torch.randn(4000, 3, generator=torch.manual_seed(1))
        whole, single = KlSparse(3, weight=1.0, momentum=1.0).train(), KlSparse(3, weight=1.0, momentum=0.002).train()
        whole.posterior(h)
        for row in h.split(1):
            single.posterior(row)
        torch.testing.assert_close(single.use, whole.use, atol=0.03, rtol=0)

    def test_a_saturated_unit_has_a_finite_price_and_gradient(self):
        latent, h = KlSparse(2).train(), torch.full((3, 2), 200.0, requires_grad=True)
        price(latent, h).sum().backward()
        assert price(latent, h).isfinite().all()
        assert h.grad.isfinite().all()

    def test_a_nan_comes_out_as_a_nan_for_the_doctor(self):
        assert price(KlSparse(2).train(), torch.full((3, 2), np.nan)).isnan().all()

    def test_the_multiplier_holds_the_target_whatever_else_pulls(self):
        """Each unit is pulled up by so many nats a unit of code; the weight that holds it is found, not given."""
        for pull in (0.5, 1.0):
            latent = KlSparse(4, rho=0.2).train()
            h = torch.nn.Parameter(torch.zeros(64, 4))
            optimizer = torch.optim.SGD([h], 2.0)
            distances = []
            for _ in range(900):
                optimizer.zero_grad()
                q = latent.posterior(h)
                (q.price.mean() - pull * q.value.mean(0).sum()).backward()
                optimizer.step()
                distances.append(float((latent.use / 0.2 - 1).square().mean().sqrt()))
            assert 0.07 < np.mean(distances[-200:]) < 0.13  # a tenth
            # At rest, multiplier * KL'(use) = pull, KL'(r) = (1 - rho) / (1 - r) - rho / r.
            slope = (0.8 / (1 - latent.use) - 0.2 / latent.use).mean()
            assert float(latent.control.rate * slope) == pytest.approx(pull, rel=0.3)


def test_codes_on_a_sphere_tell_directions_alone():
    """Their distance is that of the angle: |z - z'|^2 = 2 d (1 - cos); no unit outweighs, and the length is free."""
    h, sphere = sample_h(), Sphere(5)
    z = sphere.code(sphere.posterior(h))
    torch.testing.assert_close(z.norm(dim=1), torch.full((7,), 5**0.5))
    torch.testing.assert_close(sphere.code(sphere.posterior(3 * h)), z)
    cosine = torch.nn.functional.cosine_similarity(h[:1], h[1:])
    torch.testing.assert_close((z[:1] - z[1:]).square().sum(1), 10 * (1 - cosine))
    assert torch.equal(price(sphere, h), torch.zeros(7))
    assert torch.equal(sphere.code(sphere.posterior(torch.zeros(1, 5))), torch.zeros(1, 5))  # no direction, and no NaN
    with pytest.raises(InputError, match=r"latent\.size was given as 1"):
        Sphere(1)


def test_use_of_units():
    spread = torch.tensor([[0.0, 1.0, -3.0], [0.001, 2.0, 3.0]])
    assert Point(3).used(spread).tolist() == [False, True, True]
    assert Point(3).used(1000 * spread).tolist() == [False, True, True]
    assert KlSparse(2, rho=0.1).used(torch.tensor([[0.001, 0.5], [0.005, 0.0]])).tolist() == [False, True]


@pytest.mark.parametrize("wrong", [{"rho": 0.0}, {"rho": 1.0}, {"momentum": 0.0}, {"momentum": 1.5}, {"weight": -1.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=f"latent.{next(iter(wrong))} was given as"):
        KlSparse(4, **wrong)
