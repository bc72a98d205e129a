"""Pixels told from those before them: a law of images, which sums to one, is drawn from in order and is learnt."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from narrows.data.schema import Schema, infer_schema
from narrows.errors import InputError
from narrows.evaluate import evaluate
from narrows.fit import fit
from narrows.inference import bounds, samples
from narrows.likelihoods import Local
from narrows.likelihoods.local import LocalLevels
from narrows.noise import Noise
from narrows.persist import load, save
from narrows.plan import Plan
from narrows.presets import choose
from narrows.sampling import sample


def images(channels, rows, columns, levels=256):
    return Schema((channels, rows, columns), 0.0, levels - 1.0, 1.0)


def built(schema, told=0, seed=0, **settings):
    """An untrained network whose weights are large enough that neighbours matter."""
    torch.manual_seed(seed)
    local = Local(**{"reach": 2, "width": 8, "depth": 2, "components": 2, **settings}, told=told)
    local.build(schema)
    with torch.no_grad():
        for parameter in local.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return local


def law(local, schema, n=1):
    return local(torch.randn(1, n, local.told, *schema.shape, generator=torch.manual_seed(9)))


def every_image(schema):
    cells = itertools.product(range(schema.levels), repeat=math.prod(schema.shape))
    return torch.tensor(list(cells), dtype=torch.float32).view(-1, *schema.shape)


@pytest.mark.parametrize("schema", [images(1, 2, 3, 3), images(2, 1, 3, 3), images(3, 2, 1, 3)])
def test_the_masses_of_all_images_sum_to_one(schema):
    every = every_image(schema)
    p = built(schema)(torch.zeros(1, len(every), 0, *schema.shape))
    assert p.log_prob(every).double().exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_level_is_told_from_those_before_it_in_its_window_and_from_no_other(channels):
    schema = images(channels, 6, 7)
    local = built(schema)
    levels = torch.randint(256, (2, *schema.shape), generator=torch.manual_seed(0)).float()
    told = torch.zeros(2, 0, *schema.shape)
    before = local.everywhere(levels, told)
    order = np.arange(math.prod(schema.shape)).reshape(6, 7, channels).transpose(2, 0, 1)
    for place in [(0, 0, 0), (channels - 1, 2, 3), (0, 4, 6), (channels - 1, 5, 6)]:
        changed = levels.clone()
        changed[:, *place] = 255 - changed[:, *place]
        moved = (local.everywhere(changed, told) != before).any(0).any(0).numpy()
        _, row, column = place
        near = np.zeros(schema.shape, bool)
        near[:, row : row + 3, max(0, column - 2) : column + 3] = True
        assert (moved == (near & (order > order[place]))).all()


@pytest.mark.parametrize(("channels", "told"), [(1, 0), (3, 2)])
def test_one_level_after_the_other_is_as_all_at_once(channels, told):
    schema = images(channels, 4, 5)
    local = built(schema, told)
    levels = torch.randint(256, (3, *schema.shape), generator=torch.manual_seed(0)).float()
    numbers = torch.randn(3, told, *schema.shape, generator=torch.manual_seed(1))
    at_once, canvas = local.everywhere(levels, numbers), local.seen(levels)
    for channel, row, column in itertools.product(*(range(length) for length in schema.shape)):
        alone = local.level(canvas, numbers, torch.full((3, 1), row * 5 + column), channel)[:, 0]
        torch.testing.assert_close(alone, at_once[:, :, channel, row, column], rtol=1e-4, atol=1e-5)


def test_draws_have_the_law_of_the_masses():
    """A chi-squared test at 1 in 1000, over the 81 images of two by two pixels of three levels."""
    schema = images(1, 2, 2, 3)
    local = built(schema)
    every, n = every_image(schema), 20_000
    masses = local(torch.zeros(1, len(every), 0, *schema.shape)).log_prob(every).double().exp().flatten().detach()
    drawn = sample(local(torch.zeros(1, n, 0, *schema.shape)), 1, Noise(0))[0, 0]
    number = (drawn.flatten(1) @ torch.tensor([27.0, 9.0, 3.0, 1.0])).long()
    counts = torch.bincount(number, minlength=81).numpy()
    often = masses.numpy() * n >= 5
    expected = np.append(masses.numpy()[often], masses.numpy()[~often].sum()) * n
    assert stats.chisquare(np.append(counts[often], counts[~often].sum()), expected * n / expected.sum()).pvalue > 1e-3


def test_its_image_has_each_level_at_the_mean_given_those_before():
    schema = images(2, 3, 3)
    local = built(schema, told=2)
    p = law(local, schema, 2)
    image = p.mean
    mixtures = local.everywhere(image.flatten(0, 1), p.told.flatten(0, 1))
    torch.testing.assert_close(local.mixture(mixtures).mean, image, rtol=1e-3, atol=1e-2)


def test_many_images_are_scored_in_parts(monkeypatch):
    schema = images(1, 3, 4)
    levels = torch.randint(256, (7, *schema.shape), generator=torch.manual_seed(0)).float()
    p = law(built(schema, told=2), schema, 7)
    whole = p.log_prob(levels)
    monkeypatch.setattr("narrows.likelihoods.local.SUMS_AT_ONCE", 2 * 8 * 12)
    torch.testing.assert_close(p.log_prob(levels), whole)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_estimate_from_one_pixel_is_right_in_the_mean_over_all_pixels(channels):
    schema = images(channels, 3, 4)
    local = built(schema, told=2)
    p, levels = law(local, schema, 2), torch.randint(256, (2, *schema.shape), generator=torch.manual_seed(0)).float()
    each = [LocalLevels(local, p.told, torch.full((2, 1), place)).log_prob(levels) for place in range(12)]
    torch.testing.assert_close(torch.stack(each).mean(0), p.log_prob(levels))


def test_training_scores_other_pixels_of_each_image_and_of_each_step():
    schema = images(1, 6, 6)
    local = built(schema, glimpse=3)
    noise, p = Noise(0), law(local, schema, 40)
    first, second = local.estimated(p, noise), local.estimated(p, noise)
    assert first.places.shape == (40, 3)
    assert len(first.places.unique()) > 30
    assert not torch.equal(first.places, second.places)
    assert built(schema, glimpse=0).estimated(p, noise) is p


def test_the_code_is_told_to_every_level():
    schema = images(1, 3, 3)
    local = built(schema, told=2)
    levels = torch.full((2, *schema.shape), 100.0)
    p = law(local, schema, 2)
    assert p.log_prob(levels)[0, 0] != p.log_prob(levels)[0, 1]
    torch.testing.assert_close(local(p.told[:, :1]).log_prob(levels[:1])[0, 0], p.log_prob(levels)[0, 0])


def test_what_does_not_go_together_is_refused_with_a_way_out():
    with pytest.raises(InputError, match=r"pixels from those beside them.*take likelihood=logistic"):
        fit(np.arange(40, dtype=np.uint8).reshape(20, 2), Schema((2,), 0.0, 255.0, 1.0), "compressor")
    with pytest.raises(InputError, match=r"network none decodes nothing, and likelihood logistic.*take network=mlp"):
        choose("compressor", images(1, 4, 4), ["likelihood=logistic"])
    with pytest.raises(InputError, match=r"network mlp gives codes, and latent none has none; take network=none"):
        choose("compressor", images(1, 4, 4), ["network=mlp"])
    with pytest.raises(InputError, match=r"network none encodes nothing, and latent gaussian.*take network=mlp"):
        choose("compressor", images(1, 4, 4), ["latent=gaussian"])
    grey = np.random.default_rng(0).random((20, 4, 4)).astype(np.float32)
    with pytest.raises(InputError, match="a grid of 2 to 256 levels"):
        fit(grey, infer_schema(grey), "compressor")


@pytest.mark.parametrize("settings", [{}, {"network": "mlp", "latent": "gaussian", "likelihood.told": 2}])
def test_a_file_brings_back_the_same_law(tmp_path, settings):
    values = np.random.default_rng(0).integers(0, 256, (30, 5, 6), dtype=np.uint8)
    schema = infer_schema(values)
    small = {"likelihood.width": 8, "likelihood.depth": 1, **settings}
    fitted = fit(schema.from_user(values), schema, "compressor", small, Plan(epochs=1))
    save(fitted, tmp_path / "m.safetensors")
    rows = torch.from_numpy(schema.from_user(values))
    assert torch.equal(bounds(load(tmp_path / "m.safetensors").model, rows), bounds(fitted.model, rows))


def test_what_neighbours_tell_is_learnt_and_the_figure_is_that_of_the_law():
    """Rows that walk by -1, 0 or 1 from left to right: log2 3 = 1.58 bits a step, where a level alone takes some 5."""
    random = np.random.default_rng(0)
    walks = 128 + random.integers(-12, 13, (600, 6, 1)) + random.integers(-1, 2, (600, 6, 10)).cumsum(2)
    schema = infer_schema(walks.astype(np.uint8))
    values = schema.from_user(walks.astype(np.uint8))
    plan = Plan(epochs=40, batch_size=32, rate=3e-3)
    fitted = fit(values[:500], schema, "compressor", {"likelihood.width": 24, "likelihood.components": 3}, plan)
    found = evaluate(fitted, torch.from_numpy(values[500:]))
    entropy = (math.log2(25 + 2) + 9 * math.log2(3)) / 10  # the first level of a row, about, and its steps
    assert 0.97 * entropy < found.bits_per_dim < 1.2 * entropy
    new = samples(fitted.model, 50, seed=0, draw=True).numpy().astype(int)
    assert np.abs(np.diff(new, axis=-1)).mean() == pytest.approx(2 / 3, rel=0.25)
    assert np.array_equal(samples(fitted.model, 50, seed=0).numpy(), new)  # their means would all be one
