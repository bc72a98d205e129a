"""Coarse levels and the rest: masses that sum to one, distortion in closed form, draws, training, refusals."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from narrows.data.named import load
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.fit import fit
from narrows.likelihoods import Quantised
from narrows.likelihoods.quantised import QuantisedLevels, _rest, in_levels, in_steps, step_of
from narrows.noise import Noise
from narrows.plan import Plan
from narrows.presets import choose
from narrows.sampling import sample


def images(channels, rows, columns, levels=256):
    return Schema((channels, rows, columns), 0.0, levels - 1.0, 1.0, layout="chw")


def built(schema, seed=0, **settings):
    """An untrained likelihood whose weights are large enough that neighbours matter."""
    torch.manual_seed(seed)
    made = Quantised(**{"reach": 1, "width": 8, "depth": 2, "components": 2, "finest": 1, **settings})
    made.build(schema)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def at(quantised, steps):
    """p(x) of one image for each step."""
    return quantised._at(torch.tensor([steps], dtype=torch.float32))


def nothing(schema, n):
    return torch.zeros(1, n, 0, *schema.shape)


def every(levels, schema):
    cells = itertools.product(levels, repeat=math.prod(schema.shape))
    return torch.tensor(list(cells), dtype=torch.float32).view(-1, *schema.shape)


@given(levels=st.integers(3, 256), near=st.integers(0, 127), x=st.integers(0, 255))
def test_no_level_is_farther_than_near_from_its_coarse_one(levels, near, x):
    x, near = x % levels, min(near, (levels - 1) // 2)
    coarse = in_levels(in_steps(np.array(x), step_of(near)), step_of(near), levels)
    assert abs(int(coarse) - x) <= near
    assert 0 <= coarse < levels
    assert in_steps(coarse, step_of(near)) == in_steps(np.array(x), step_of(near))


@pytest.mark.parametrize("schema", [images(1, 2, 2, 5), images(2, 1, 2, 5)])
@pytest.mark.parametrize("near", [0, 1, 2])
def test_the_masses_of_all_coarse_images_sum_to_one(schema, near):
    step = step_of(near)
    coarse = every(sorted({int(in_levels(q, step, 5)) for q in in_steps(np.arange(5), step)}), schema)
    rate, _ = at(built(schema), [step] * len(coarse)).parts(coarse)
    assert (-rate).double().exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("near", [1, 4, 30, 127])
def test_a_coarse_level_has_the_mass_of_all_levels_that_become_it(near):
    schema, step = images(1, 1, 1), step_of(near)
    quantised, x = built(schema), torch.arange(256.0).view(-1, 1, 1, 1)
    p = at(quantised, [step] * 256)
    rate, _ = p.parts(x)
    q = in_steps(x, float(step)).flatten().long()
    mixtures = quantised.local.everywhere(torch.zeros_like(x), p.coarse.told[0])  # a first pixel sees nothing before it
    fine = quantised.local.mixture(mixtures).log_prob(x).double().exp().flatten()
    grouped = torch.zeros(int(q.max()) + 1, dtype=torch.float64).index_add_(0, q, fine)
    torch.testing.assert_close((-rate).double().exp().flatten(), grouped[q], rtol=1e-4, atol=1e-7)


def test_the_rest_costs_six_times_the_squared_error_in_steps():
    schema = images(2, 3, 4)
    quantised = built(schema)
    x = torch.randint(256, (4, *schema.shape), generator=torch.manual_seed(0)).float()
    steps = [5.0, 9.0, 9.0, 41.0]
    _, distortion = at(quantised, steps).parts(x)
    for image, step, nats in zip(x, steps, distortion[0].tolist(), strict=True):
        q = in_steps(image, step)[None]
        restored = quantised.restored(q, torch.tensor([step]), torch.arange(12)[None]).view(schema.shape)
        lost = ((image - restored) / step).square().sum().item()
        assert nats == pytest.approx(6 * lost + 24 * math.log(step * math.sqrt(2 * math.pi / 12)), rel=1e-4)


@pytest.mark.parametrize("mean", [100.0, 100.3, 100.5])
def test_the_densities_of_the_rest_add_up_to_one_from_the_finest_step_on(mean):
    x = torch.arange(256.0).double()
    for step in (3, 5, 27):
        law = _rest(torch.full((256,), mean).double(), torch.full((256,), float(step)).double())
        assert law.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-6)
        assert law.variance[0].item() == pytest.approx(step**2 / 12)


def test_the_estimate_from_one_pixel_is_right_in_the_mean_over_all_pixels():
    schema = images(3, 2, 3)
    quantised = built(schema)
    x = torch.randint(256, (1, *schema.shape), generator=torch.manual_seed(0)).float().expand(6, -1, -1, -1)
    p = at(quantised, [9.0] * 6)
    p.coarse.places = torch.arange(6)[:, None]
    one_by_one = p.log_prob(x)[0].mean()
    p.coarse.places = None
    torch.testing.assert_close(one_by_one, p.log_prob(x)[0, 0])


def test_training_draws_steps_from_end_to_end_and_elsewhere_the_finest_is_taken():
    schema = images(1, 4, 4)
    quantised = built(schema, finest=3, coarsest=20, glimpse=5)
    p = quantised(nothing(schema, 4000))
    drawn = quantised.estimated(p, Noise(0))
    assert isinstance(drawn, QuantisedLevels)
    assert p.steps.unique().tolist() == [7]
    assert drawn.steps.unique().tolist() == [step_of(near) for near in range(3, 21)]
    # Evenly in the logarithm: as many below the geometric mean of the ends as above it.
    assert (drawn.steps < math.sqrt(7 * 41)).float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert drawn.coarse.places.shape == (4000, 5)


def test_many_images_are_scored_in_parts(monkeypatch):
    schema = images(1, 3, 4)
    x = torch.randint(256, (7, *schema.shape), generator=torch.manual_seed(0)).float()
    p = at(built(schema), [3.0, 5, 7, 9, 11, 13, 15])
    whole = p.log_prob(x)
    monkeypatch.setattr("narrows.likelihoods.local.SUMS_AT_ONCE", 2 * 8 * 12)
    torch.testing.assert_close(p.log_prob(x), whole)


def test_a_level_is_restored_from_three_pixels_around_and_from_none_farther():
    schema = images(2, 9, 9, 40)
    quantised = built(schema)
    q = torch.randint(4, (1, *schema.shape), generator=torch.manual_seed(0)).float()
    everywhere, steps = torch.arange(81)[None], torch.tensor([9.0])
    before = quantised.restored(q, steps, everywhere).view(schema.shape)
    q[0, 1, 4, 5] += 2
    moved = (quantised.restored(q, steps, everywhere).view(schema.shape) != before).any(0)
    near = torch.zeros(9, 9, dtype=torch.bool)
    near[1:8, 2:9] = True
    assert torch.equal(moved, near)


def test_its_image_is_restored_from_the_coarse_levels_nearest_their_means():
    schema = images(1, 3, 3)
    quantised = built(schema, finest=10)
    p = quantised(nothing(schema, 1))
    step = torch.tensor([21.0])
    coarse = torch.zeros(1, *schema.shape)
    for row, column in itertools.product(range(3), repeat=2):
        law = quantised.local.mixture(quantised.local.everywhere(coarse, p.coarse.told[0])).mean[0]
        coarse[0, 0, row, column] = in_levels(in_steps(law[0, 0, row, column].round(), 21.0), 21.0, 256)
    restored = quantised.restored(in_steps(coarse, 21.0), step, torch.arange(9)[None]).view_as(coarse)
    torch.testing.assert_close(p.mean[0], restored.clamp(0, 255), rtol=1e-4, atol=1e-3)


def test_draws_have_the_law_of_coarse_levels_and_the_rest():
    """A chi-squared test at 1 in 1000, against the sum over all coarse images of P(q) p(x | q)."""
    schema, n = images(1, 1, 2, 5), 20_000
    quantised = built(schema, finest=1)
    step = torch.tensor([3.0])
    coarse = every([0.0, 3.0], schema)
    rate, _ = at(quantised, [3.0] * 4).parts(coarse)
    masses = np.zeros(25)
    for q, share in zip(in_steps(coarse, 3.0), (-rate[0]).exp().tolist(), strict=True):
        mean = quantised.restored(q[None], step, torch.arange(2)[None]).flatten().double().detach().numpy()
        ends = stats.norm(mean[:, None], 3 / math.sqrt(12)).cdf(np.arange(-0.5, 5))
        ends[:, 0], ends[:, -1] = 0, 1
        one, two = np.diff(ends)
        masses += share * np.outer(one, two).ravel()
    drawn = sample(quantised(nothing(schema, n)), 1, Noise(0))[0, 0]
    counts = np.bincount((drawn.flatten(1) @ torch.tensor([5.0, 1.0])).long().numpy(), minlength=25)
    often = masses * n >= 5
    expected = np.append(masses[often], masses[~often].sum()) * n
    observed = np.append(counts[often], counts[~often].sum())
    kept = expected > 0
    assert stats.chisquare(observed[kept], expected[kept] * n / expected[kept].sum()).pvalue > 1e-3


def test_it_learns_to_tell_coarse_levels_and_to_restore_the_rest():
    clothes = load("fashion-sample", "train")
    values = clothes.examples.values[:800, None]
    settings = {"likelihood": "quantised", "likelihood.width": 32, "likelihood.depth": 2}
    trained = fit(values, clothes.schema, "compressor", settings, Plan(epochs=20, seed=1)).model.likelihood
    x = torch.from_numpy(values[:50]).float()
    for near in (30, 45):
        step = float(step_of(near))
        p = at(trained, [step] * 50)
        q = in_steps(x, step)
        rate, _ = p.parts(x)
        _, counts = q.unique(return_counts=True)
        share = counts / counts.sum()
        alone = -(share * share.log()).sum() * 784
        assert rate.mean() < 0.7 * alone
        restored = trained.restored(q, p.steps[0], torch.arange(784).expand(50, -1)).view_as(x).clamp(0, 255)
        assert (restored - x).square().mean() < 0.93 * (in_levels(q, step, 256) - x).square().mean()


@pytest.mark.parametrize(
    ("schema", "way_out"),
    [
        (Schema((5,), 0.0, 255.0, 1.0), "likelihood=logistic"),
        (Schema((1, 4, 4), 0.0, 1.0, 1.0, layout="chw"), "likelihood=bernoulli"),
        (Schema((1, 4, 4), 0.0, 1.0, layout="chw"), "likelihood=gaussian"),
    ],
)
def test_it_refuses_what_has_no_levels_to_group_or_no_neighbours(schema, way_out):
    with pytest.raises(InputError, match=way_out):
        choose("compressor", schema, {"likelihood": "quantised"})


def test_steps_are_refused_that_are_none():
    with pytest.raises(InputError, match=r"likelihood\.finest was given as 0"):
        Quantised(finest=0)
    with pytest.raises(InputError, match=r"likelihood\.coarsest was given as 3"):
        Quantised(finest=4, coarsest=3)
