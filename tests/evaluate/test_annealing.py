"""Annealed importance sampling against exact log p(x), and what each step of it promises.

Statistical tests have fixed seeds; limits are 4 standard errors or more, passed by chance in 1 of 16,000 runs.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from narrows.data.specimens import examples
from narrows.errors import InputError
from narrows.evaluate import annealed, annealing, bidirectional, log_likelihood
from narrows.evaluate.annealing import schedule
from narrows.evaluate.hamiltonian import Path
from narrows.model import Model
from narrows.noise import Noise, RowNoise
from narrows.parts import kinds
from narrows.presets import choose

LIMIT = 4.0


def apart(found, exact) -> float:
    """Mean distance of log p(x) from the exact one, in standard errors of the chains, with its bias made good."""
    return float((found.log_px.numpy() - exact).mean() - found.bias) / found.draws_error


# --- Against exact values --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["prior", "posterior"])
def test_linear_models_have_their_closed_form(linear, start):
    problem = linear(widened=1.3)
    values = problem.rows(60)
    found = annealed(problem.model, values, 24, start=start)
    assert abs(apart(found, problem.log_px(values))) < LIMIT
    assert found.draws_error < 0.05
    assert float(found.effective.mean()) > 0.4 * found.draws


@pytest.mark.parametrize("codes", [1, 2])
def test_curved_decoders_have_their_quadrature(curved, codes):
    problem = curved(codes)
    found = bidirectional(problem.model, 40, 24)
    exact = problem.log_px(found.values)
    again = annealed(problem.model, found.values, 24, seed=1)
    assert abs(apart(again, exact)) < LIMIT
    assert again.draws_error < 0.1
    assert np.abs(found.lower.numpy() - exact).mean() < 0.5
    assert np.abs(found.upper.numpy() - exact).mean() < 0.5
    assert abs(found.gap) < 0.3


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_from_the_exact_posterior_every_chain_has_the_exact_weight(linear, steps):
    problem = linear(orthogonal=True)
    values = problem.rows(9)
    found = annealed(problem.model, values, steps, 3, start="posterior")
    np.testing.assert_allclose(found.log_px, problem.log_px(values), atol=1e-9)
    np.testing.assert_allclose(found.effective, 3)
    there = bidirectional(problem.model, 9, steps, 3, start="posterior")
    np.testing.assert_allclose(there.lower, problem.log_px(there.values), atol=1e-9)
    np.testing.assert_allclose(there.upper, there.lower, atol=1e-9)


def test_a_single_step_from_the_posterior_is_importance_sampling(linear):
    problem = linear(widened=1.5)
    values = problem.rows(50)
    one = annealed(problem.model, values, 1, 400, start="posterior")
    other = log_likelihood(problem.model, values, 400, 0)
    error = (1 / one.effective + 1 / other.effective - 2 / 400).sqrt()
    assert float(((one.log_px - other.log_px) / error).abs().max()) < LIMIT + 1
    assert (one.acceptance == 1).all()


# --- Bounds ----------------------------------------------------------------------------------------------------------


def test_weights_have_the_mean_they_should_however_coarse_the_steps(linear):
    """E w = p(x) forwards, E w = 1 / p(x) backwards, with step sizes from a pilot: what makes them bounds."""
    problem = linear()
    values = problem.rows(1).expand(2, -1)
    forward = annealed(problem.model, values, 5, 8000)
    error = (1 / forward.effective - 1 / forward.draws).sqrt().numpy()
    assert (np.abs(np.expm1(forward.log_px.numpy() - problem.log_px(values))) < LIMIT * error).all()
    assert error.max() < 0.05
    back = bidirectional(problem.model, 1000, 12, 1)
    weights = np.exp(problem.log_px(back.values) - back.upper.numpy())
    assert abs(weights.mean() - 1) < LIMIT * stats.sem(weights)
    assert stats.sem(weights) < 0.1


def test_bounds_lie_on_both_sides_over_seeds_and_close(linear):
    """With few steps, both bounds miss by much more than noise, on the sides that they should."""
    problem = linear()
    gaps = []
    for steps in (2, 12):
        below, above = [], []
        for seed in range(4):
            found = bidirectional(problem.model, 60, steps, 4, seed=seed)
            exact = problem.log_px(found.values)
            below.append(found.lower.numpy() - exact)
            above.append(found.upper.numpy() - exact)
        below, above = np.concatenate(below), np.concatenate(above)
        assert below.mean() < LIMIT * stats.sem(below)
        assert above.mean() > -LIMIT * stats.sem(above)
        # Markov's inequality: either bound passes log p(x) by more than b nats at most in a share e^-b of all rows.
        for b in (1.0, 2.0):
            allowed = stats.binom.isf(1e-5, len(below), math.exp(-b))
            assert max((below > b).sum(), (above < -b).sum()) <= allowed
        if steps == 2:
            assert below.mean() < -LIMIT * stats.sem(below)
            assert above.mean() > LIMIT * stats.sem(above)
        gaps.append((above - below).mean())
    assert gaps[1] < 0.3 * gaps[0]


# --- The steps -------------------------------------------------------------------------------------------------------


def test_a_move_leaves_its_density_as_it_is():
    """Exact draws of f_beta are still that after moves that are often refused (Kolmogorov and Smirnov)."""
    scale = torch.tensor([0.5, 2.0], dtype=torch.float64)
    path = Path(
        lambda z: -0.5 * z.square().sum(-1),
        lambda z: -0.5 * (z / scale).square().sum(-1),
    )
    beta, noise = 0.7, Noise(0)
    exact = (1 + beta / scale.square()) ** -0.5
    place = path.at(exact * noise.normal((5000, 2, 2), rows=1).double())
    for _ in range(3):
        place, acceptance = path.move(place, beta, torch.tensor([0.75, 0.9]), noise)
    assert 0.1 < acceptance.mean() < 0.95
    for row in range(2):
        for number in range(2):
            assert stats.kstest(place.z[:, row, number] / exact[number], "norm").pvalue > 1e-4
        assert abs(np.corrcoef(place.z[:, row].T)[0, 1]) < LIMIT / math.sqrt(5000)


def test_a_place_knows_the_densities_and_slopes_of_where_chains_stand():
    path = Path(lambda z: -z.square().sum(-1), lambda z: z.prod(-1))
    place = path.at(Noise(0).normal((3, 2, 2), rows=1).double())
    for _ in range(2):
        place, _ = path.move(place, 0.5, torch.tensor([0.9, 0.4]), Noise(1))
    np.testing.assert_allclose(place.log_density(0.5), -place.z.square().sum(-1) + 0.5 * place.z.prod(-1))
    np.testing.assert_allclose(place.slope(0.5), -2 * place.z + 0.5 * place.z.flip(-1))


def test_chains_do_not_go_where_the_density_is_not_a_number():
    path = Path(lambda z: -0.5 * z.square().sum(-1), lambda z: z.sum(-1).log())
    place = path.at(torch.ones(50, 1, 2))
    for _ in range(5):
        place, acceptance = path.move(place, 1.0, torch.tensor([2.0]), Noise(0))
        assert place.log_factor.isfinite().all()
    assert acceptance.isfinite().all()


def test_the_schedule_is_a_sigmoid_from_0_to_1():
    betas = schedule(10)
    assert (betas[0], betas[-1]) == (0, 1)
    np.testing.assert_allclose(betas + betas.flip(0), 1)
    assert (betas.diff() > 0).all()
    assert betas.diff().argmax() in (4, 5)
    assert schedule(1).tolist() == [0, 1]


def test_steps_come_to_the_acceptance_aimed_at(curved):
    found = annealed(curved(2).model, torch.ones(4, 12), 50)
    assert abs(found.acceptance.mean() - annealing.ACCEPTANCE) < 0.15


# --- Every call the same ---------------------------------------------------------------------------------------------


def test_equal_seeds_give_equal_figures_and_no_row_minds_its_neighbours(curved, monkeypatch):
    model = curved(2).model
    values = (Noise(5).uniform((7, 12), rows=0) > 0.5).double()
    whole, made = annealed(model, values, 8, 6), bidirectional(model, 7, 8, 6)
    torch.manual_seed(1)
    assert torch.equal(annealed(model, values, 8, 6).log_px, whole.log_px)
    assert not torch.equal(annealed(model, values, 8, 6, seed=1).log_px, whole.log_px)
    np.testing.assert_allclose(annealed(model, values[:3], 8, 6).log_px, whole.log_px[:3], rtol=1e-9)
    monkeypatch.setattr(annealing, "NUMBERS_AT_ONCE", 2 * 6 * 12)
    np.testing.assert_allclose(annealed(model, values, 8, 6).log_px, whole.log_px, rtol=1e-9)
    np.testing.assert_allclose(bidirectional(model, 7, 8, 6).upper, made.upper, rtol=1e-9)


def test_chains_of_large_examples_are_led_a_few_at_a_time(curved, monkeypatch):
    problem = curved(1)
    values = (Noise(5).uniform((3, 12), rows=0) > 0.5).double()
    monkeypatch.setattr(annealing, "NUMBERS_AT_ONCE", 5 * 12)
    found = annealed(problem.model, values, 10, 12)
    assert abs(apart(found, problem.log_px(values))) < LIMIT
    assert bidirectional(problem.model, 3, 2, 7).upper.isfinite().all()


def test_streams_of_rows_are_apart_and_come_back():
    noise = RowNoise([(0, 1), (0, 2), (1, 1)])
    state = noise.state()
    drawn = noise.normal((2, 3, 4), rows=1)
    assert len(set(drawn.flatten().tolist())) == 24
    alone = RowNoise([(0, 2)])
    np.testing.assert_array_equal(alone.normal((2, 1, 4), rows=1)[:, 0], drawn[:, 1])
    noise.restore(state)
    assert torch.equal(noise.normal((2, 3, 4), rows=1), drawn)


# --- Kinds -----------------------------------------------------------------------------------------------------------

SMOOTH = [name for name, kind in kinds("latent").items() if kind.random and not (kind.discrete or kind.conditional)]


def runs_are_finite(example, settings):
    settings = ["network=mlp", "network.width=8", *settings]
    model = Model(choose("variational", example.schema, settings), example.schema).eval()
    model.adapt(example.values)
    for start in ("prior", "posterior"):
        found = annealed(model, example.values, 3, 2, start=start)
        assert found.log_px.isfinite().all()
        made = bidirectional(model, 3, 3, 2, start=start)
        assert (made.upper - made.lower).isfinite().all()


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_every_kind_of_data(example):
    """Missing cells, counts, levels and densities."""
    runs_are_finite(example, [])


@pytest.mark.parametrize("latent", SMOOTH)
def test_every_smooth_code(latent):
    runs_are_finite(examples()[3], [f"latent={latent}"])


@pytest.mark.parametrize("prior", list(kinds("prior")))
def test_every_prior(prior):
    runs_are_finite(examples()[3], [f"latent.prior={prior}"])


@pytest.mark.parametrize(
    ("preset", "says"),
    [
        ("autoencoder", "point codes have a price and no code length"),
        ("vq", "vq codes have a price and no code length"),
        ("discrete", "bernoulli codes jump"),
        ("compressor", "latent none has no code to draw, and its elbo is log p"),
    ],
)
def test_codes_that_cannot_be_led_are_refused(preset, says):
    levels = next(example for example in examples() if example.name == "image-levels")
    model = Model(choose(preset, levels.schema, []), levels.schema)
    for run in (lambda: annealed(model, levels.values, 5), lambda: bidirectional(model, 3, 5)):
        with pytest.raises(InputError, match=says):
            run()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"steps": 0}, "steps was given as 0"),
        ({"chains": 0}, "chains was given as 0"),
        ({"start": "middle"}, "unknown start of annealing 'middle'"),
    ],
)
def test_impossible_runs_are_refused(linear, given, says):
    with pytest.raises(InputError, match=says):
        annealed(linear().model, torch.zeros(1, 5), **{"steps": 2, **given})
