"""The study of gradients: its exact gradient, its test at its level, and what it says of estimators."""

import pytest
import torch

from narrows.gradients import Pathwise, StickingTheLanding
from narrows.latents import Bernoulli, Gaussian
from narrows.objectives import Elbo, Iwae
from narrows.parts import kinds
from narrows.study import gradients, problem
from narrows.study.problem import Problem, hotelling, measured


@pytest.mark.parametrize("latent", [Bernoulli(3), Gaussian(1)], ids=["bits", "number"])
@pytest.mark.parametrize("objective", [Elbo(samples=2), Iwae(samples=2)], ids=["elbo", "iwae"])
def test_the_exact_gradient_is_that_of_finite_differences(latent, objective, monkeypatch):
    monkeypatch.setattr(problem, "NODES", 128)

    def value(step):
        encoder, decoder = start.encoder.double().clone(), start.decoder.double().clone()
        encoder[0, 0] += step
        decoder[1] -= 2 * step
        return Problem(latent, (encoder, decoder)).value(objective)

    start = Problem(latent)
    found = start.exact(objective)
    along = found[0] - 2 * found[start.encoder.numel() + 1]
    assert (value(1e-5) - value(-1e-5)) / 2e-5 == pytest.approx(float(along), rel=1e-6)


def test_descent_along_it_comes_near_the_bottom(monkeypatch):
    monkeypatch.setattr(problem, "DESCENT_STEPS", 40)
    start, objective = Problem(Bernoulli(3)), Elbo()
    end = start.descended(objective)
    assert end.value(objective) < start.value(objective) - 0.5
    assert end.exact(objective).norm() < 0.5 * start.exact(objective).norm()


def test_the_test_rejects_as_often_as_it_says():
    """Of 400 tests at 5 % 4 to 40 are rejected, but once in 10,000 times; the seed is fixed. A shift is seen."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    rows = torch.randn(400, 60, 4, generator=generator, dtype=torch.float64) @ mixing
    zero = torch.zeros(4, dtype=torch.float64)
    assert 4 <= sum(hotelling(one, zero) < 0.05 for one in rows) <= 40
    assert hotelling(rows[0] + 0.8 * mixing.sum(0), zero) < 1e-4


def test_a_direction_without_noise_counts():
    rows = torch.cat([torch.randn(100, 2, generator=torch.manual_seed(0)), torch.zeros(100, 1)], 1).double()
    assert hotelling(rows, torch.tensor([0.0, 0.0, 0.0]).double()) > 1e-4
    assert hotelling(rows, torch.tensor([0.0, 0.0, 1.0]).double()) == 0


def test_figures_of_estimates():
    exact = torch.tensor([3.0, 4.0], dtype=torch.float64)
    rows = torch.randn(2, 5000, 2, generator=torch.manual_seed(1), dtype=torch.float64) + exact
    found = measured(iter(rows), exact)
    assert found.variance == pytest.approx(2, rel=0.05)
    assert found.noise == pytest.approx((2 / 10_000) ** 0.5, rel=0.05)
    assert found.bias < 4 * found.noise
    assert found.p_value > 1e-4


def test_at_the_posterior_sticking_the_landing_has_no_noise():
    """With a decoder that is told nothing the posterior is the prior, which the encoder's zeros give."""
    latent = Gaussian(2)
    at = Problem(latent, (torch.zeros(4, problem.CELLS), torch.zeros(problem.CELLS)))
    at._outer.zero_()
    sampled = Elbo(samples=2, divergence="sampled")
    rows = [at.estimates(one, sampled, 500, seed=0)[:, :24] for one in (StickingTheLanding(), Pathwise())]
    assert rows[0].abs().max() < 1e-3
    assert rows[1].var(0).sum() > 0.1


def test_every_estimator_is_in_the_study():
    assert {one.kind for one in gradients.every_estimator()} == set(kinds("gradient"))
    names = [gradients.name_of(one) for one in gradients.every_estimator()]
    assert len(set(names)) == len(names)


def test_the_study(monkeypatch, drawn):
    monkeypatch.setattr(problem, "DESCENT_STEPS", 5)
    monkeypatch.setattr(problem, "WARM_STEPS", 5)
    for name, value in (("LATENTS", (Bernoulli(3), Gaussian(1))), ("SEEDS", 2), ("ROWS", 1000), ("TIMED", 1)):
        monkeypatch.setattr(gradients, name, value)
    monkeypatch.setattr(gradients, "KS", (1, 8))
    monkeypatch.setattr(gradients, "SIGNAL_DRAWS", 20_000)
    found = gradients.run(seed=1)
    places = {(one.codes, one.objective, one.place) for one in found.estimators}
    assert len(places) == 6
    for one in found.estimators:
        assert one.variance > 0
        assert one.microseconds > 0
        if one.claim == "none":
            assert one.p_value > 1e-6, one  # of few rows and heavy tails; tests/test_unbiased.py is strict
    biased = [one for one in found.estimators if one.name == "straight-through"]
    assert biased
    assert all(one.claim != "none" and one.p_value < 1e-4 for one in biased)
    assert {signal.draws for signal in found.signals} == {1, 8}
    assert all(len(table.rows[0]) == len(table.columns) for table in found.tables())
    assert len(drawn("gradients", found)) == 2
