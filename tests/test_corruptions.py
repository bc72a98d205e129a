"""What the encoder gets to see. Rates are tested at 4.5 standard errors: 7e-6 a figure."""

import dataclasses
import math

import pytest
import torch
from scipy import stats

from narrows.corruptions import BlindSpot, Clean, Gaussian, Mask, Poisson, Recorrupted, SaltAndPepper, Sure
from narrows.corruptions.blind import noise_level
from narrows.data.mixed import MixedTransform
from narrows.data.schema import Schema
from narrows.data.specimens import MIXED, examples
from narrows.data.transforms import Transform
from narrows.errors import InputError
from narrows.likelihoods.reals import Spherical
from narrows.model import Model
from narrows.noise import Noise
from narrows.presets import choose
from narrows.values import Batch

N, D = 500, 40
CELLS = N * D


@pytest.fixture
def batch():
    seen = torch.randn(N, D, generator=torch.manual_seed(0))
    return Batch(torch.arange(N * D).view(N, D), seen)


@pytest.mark.parametrize("corruption", [Clean(), Gaussian(0.5), Mask(0.5), SaltAndPepper(0.5)], ids=lambda c: c.kind)
def test_the_target_is_left_alone_and_the_draw_is_seeded(corruption, batch):
    before = batch.seen.clone()
    out, again, other = (corruption(batch, Noise(seed)) for seed in (0, 0, 1))
    assert out.x is batch.x
    assert torch.equal(batch.seen, before)
    assert torch.equal(out.seen, again.seen)
    assert corruption.kind == "none" or not torch.equal(out.seen, other.seen)


def test_none_is_the_batch_itself(batch):
    assert Clean()(batch, Noise(0)) is batch


def test_gaussian_adds_normal_noise_of_its_sigma(batch):
    added = (Gaussian(0.7)(batch, Noise(0)).seen - batch.seen).flatten()
    assert stats.kstest(added.numpy(), stats.norm(0, 0.7).cdf).pvalue > 1e-4


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.9])
def test_mask_hides_its_rate_of_cells_and_leaves_the_others(rate, batch):
    seen = Mask(rate)(batch, Noise(0)).seen
    hidden = seen != batch.seen
    assert (seen[hidden] == 0).all()
    assert abs(hidden.float().mean().item() - rate) < 4.5 * math.sqrt(rate * (1 - rate) / CELLS)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_salt_and_pepper_sets_half_of_its_rate_to_either_extreme(rate, batch):
    seen = SaltAndPepper(rate)(batch, Noise(0)).seen
    low, high = batch.seen.min(), batch.seen.max()
    changed = seen != batch.seen
    assert ((seen[changed] == low) | (seen[changed] == high)).all()
    for extreme in (low, high):
        share = ((seen == extreme) & changed).float().mean().item()
        assert abs(share - rate / 2) < 4.5 * math.sqrt(rate / 2 / CELLS)


@pytest.mark.parametrize("corruption", [Gaussian(0.0), Mask(0.0), SaltAndPepper(0.0)], ids=lambda c: c.kind)
def test_nothing_happens_at_zero(corruption, batch):
    assert torch.equal(corruption(batch, Noise(0)).seen, batch.seen)


@pytest.mark.parametrize("corruption", [Clean(), Gaussian(), Mask(), SaltAndPepper()], ids=lambda c: c.kind)
def test_one_image_will_do(corruption):
    batch = Batch(torch.zeros(1, 1, 4, 5), torch.zeros(1, 1, 4, 5))
    assert corruption(batch, Noise(0)).seen.shape == (1, 1, 4, 5)


def test_mask_hides_whole_columns_of_a_mixed_table_as_if_their_cells_were_missing():
    rows = next(example.values for example in examples() if example.schema is MIXED)
    transform = MixedTransform(MIXED)
    transform.fit(rows)
    rows = rows.nan_to_num(0).repeat(50, 1)
    batch = transform(rows)
    seen = Mask(0.5)(batch, Noise(0)).seen
    hidden = Noise(0).uniform(rows.shape, rows=0) < 0.5
    torch.testing.assert_close(seen, transform(rows.masked_fill(hidden, math.nan)).seen)
    assert abs(hidden.float().mean().item() - 0.5) < 0.05


def test_mask_can_score_hidden_cells_alone_and_keeps_what_the_posterior_is_told():
    rows = next(example.values for example in examples() if example.schema is MIXED)
    transform = MixedTransform(MIXED)
    transform.fit(rows)
    clean = transform(rows)
    shown = Mask(0.5, hidden_only=True)(clean, Noise(0))
    hidden = Noise(0).uniform(rows.shape, rows=0) < 0.5
    torch.testing.assert_close(shown.x, clean.x.masked_fill(~hidden, math.nan), equal_nan=True)
    assert torch.equal(shown.seen, Mask(0.5)(clean, Noise(0)).seen)
    assert shown.whole is clean.seen
    reals = next(example.schema for example in examples() if example.name == "vector-reals")
    assert "take corruption.hidden_only=false" in Mask(hidden_only=True).refuses(reals)
    assert Mask().refuses(reals) is None


def test_a_mixed_table_has_no_extremes_to_set_cells_to():
    assert "take corruption=mask" in SaltAndPepper().refuses(MIXED)


@pytest.mark.parametrize(("kind", "wrong"), [(Gaussian, -0.1), (Mask, -0.1), (Mask, 1.0), (SaltAndPepper, 1.5)])
def test_settings_out_of_range_are_refused(kind, wrong):
    with pytest.raises(InputError, match=f"corruption.*was given as {wrong}"):
        kind(wrong)


# --- In the unit of the raw data --------------------------------------------------------------------------------------


def images(n=40, likelihood="gaussian"):
    """Batches of random images of levels, channels of different scales, as they come to such a likelihood."""
    schema = Schema((2, 9, 11), 0.0, 255.0, 1.0)
    raw = Noise(0).uniform((n, 2, 9, 11), rows=0) * torch.tensor([250.0, 60.0])[:, None, None]
    transform = Transform(schema, grid=likelihood != "gaussian")
    transform.fit(raw.round())
    return transform, transform(raw.round())


@pytest.mark.parametrize("likelihood", ["gaussian", "logistic"])
def test_raw_noise_has_its_sigma_in_every_channel(likelihood):
    transform, batch = images(likelihood=likelihood)
    seen = Gaussian(25.0, raw=True)(batch, Noise(0)).seen
    for channel in range(2):
        added = ((seen - batch.seen) / transform.unit)[:, channel].flatten()
        assert stats.kstest(added.numpy(), stats.norm(0, 25).cdf).pvalue > 1e-4


def test_noise_of_unknown_strength_has_one_for_each_image():
    transform, batch = images(400)
    added = (Gaussian(5.0, widest=50.0, raw=True)(batch, Noise(0)).seen - batch.seen) / transform.unit
    sigma = added.flatten(1).std(1)
    # 198 cells tell each sigma within 5 %.
    assert stats.kstest(sigma.numpy(), stats.uniform(5, 45).cdf).pvalue > 1e-4
    assert torch.equal(Gaussian(5.0, widest=5.0)(batch, Noise(0)).seen, Gaussian(5.0)(batch, Noise(0)).seen)
    with pytest.raises(InputError, match=r"corruption\.widest"):
        Gaussian(1.0, widest=0.5)


@pytest.mark.parametrize("likelihood", ["gaussian", "logistic"])
def test_counted_light_has_the_law_of_poisson(likelihood):
    schema = Schema((1, 50, 50), 0.0, 255.0, 1.0)
    raw = torch.tensor([0.0, 51.0, 255.0])[:, None, None, None].expand(-1, 1, 50, 50)
    transform = Transform(schema, grid=likelihood != "gaussian")
    transform.fit(raw)
    batch = transform(raw)
    seen = Poisson(20.0)(batch, Noise(0)).seen
    counts = ((seen - batch.scale.low) / (batch.scale.high - batch.scale.low) * 20).flatten(1)
    torch.testing.assert_close(counts, counts.round(), atol=1e-3, rtol=0)
    assert not counts[0].round().any()
    for row, mean in ((1, 4), (2, 20)):
        assert abs(float(counts[row].mean()) - mean) < 4.5 * math.sqrt(mean / 2500)
        assert abs(float(counts[row].var()) / mean - 1) < 4.5 * math.sqrt((2 + 1 / mean) / 2500)


# --- From noisy examples alone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [1, 3])
def test_a_blind_spot_is_scored_and_shows_one_near_it(reach):
    _, batch = images(60)
    out = BlindSpot(0.2, reach)(batch, Noise(0))
    hidden = out.scored[:, :1]
    assert torch.equal(hidden.expand(batch.seen.shape), out.scored)
    assert abs(hidden.float().mean().item() - 0.2) < 4.5 * math.sqrt(0.16 / hidden.numel())
    assert torch.equal(out.seen.where(~out.scored, 0.0), batch.seen.where(~out.scored, 0.0))
    padded = torch.nn.functional.pad(batch.seen, (reach,) * 4, mode="reflect")
    for n, _, row, column in hidden.nonzero()[:200]:
        window = padded[n, :, row : row + 2 * reach + 1, column : column + 2 * reach + 1].flatten(1)
        same = (window == out.seen[n, :, row, column, None]).all(0)
        assert same.any()
        assert not same[window.shape[1] // 2] or same.sum() > 1


def test_the_best_blind_guess_of_noisy_pixels_is_that_of_clean_ones():
    """A blind spot's prediction has no part of the pixel's own noise in it."""
    noise = Noise(0).normal((200, 1, 8, 8), rows=0)
    out = BlindSpot(0.3)(Batch(noise, noise), Noise(1))
    shown, own = out.seen[out.scored], noise[out.scored]
    assert abs(float((shown * own).mean())) < 4.5 / math.sqrt(len(own))


def test_recorrupted_parts_have_independent_noise_and_the_mean_of_the_image():
    transform, batch = images(200)
    noisy = Gaussian(25.0, raw=True)(batch, Noise(0)).seen
    out = Recorrupted(25.0, alpha=0.5, raw=True)(dataclasses.replace(batch, x=noisy, seen=noisy), Noise(1))
    one, other = ((part - batch.seen) / transform.unit / 25 for part in (out.seen, out.x))
    cells = one.numel()
    assert abs(float(one.mean())) < 4.5 * math.sqrt(1.25 / cells)
    assert abs(float(other.mean())) < 4.5 * math.sqrt(5 / cells)
    assert abs(float(one.var()) / 1.25 - 1) < 4.5 * math.sqrt(2 / cells)
    assert abs(float(other.var()) / 5 - 1) < 4.5 * math.sqrt(2 / cells)
    assert abs(float((one * other).mean())) < 4.5 * math.sqrt(1.25 * 5 / cells)


def noisy_images(settings):
    """A denoiser with bends, in float64; 6,000 looks at one clean image, and at it under noise of deviation 30."""
    schema = Schema((2, 6, 6), 0.0, 255.0, 1.0)
    parts = {"network.channels": 6, "network.stages": 1, "corruption.sigma": 30.0, "corruption.raw": True}
    model = Model(choose("denoiser", schema, parts | settings), schema).double()
    clean = (Noise(0).uniform((1, 2, 6, 6), rows=0) * torch.tensor([255.0, 90.0])[:, None, None]).round().double()
    model.adapt(clean.repeat(4, 1, 1, 1) + 10 * Noise(3).normal((4, 2, 6, 6), rows=0))
    batch = model.batch(clean.expand(6_000, -1, -1, -1), Noise(0))
    noisy = batch.seen + 30 * model.transform.unit * Noise(1).normal(batch.seen.shape, rows=0).double()
    return model, batch, noisy


def recorrupted(alpha, antithetic):
    settings = {"corruption": "recorrupted", "corruption.alpha": alpha, "corruption.antithetic": antithetic}
    model, batch, noisy = noisy_images(settings)
    return model, batch, dataclasses.replace(batch, x=noisy, seen=noisy)


@pytest.mark.parametrize("antithetic", [True, False])
def test_recorrupted_tells_the_risk_of_clean_images_that_are_noisier_by_alpha(antithetic):
    """But for a constant, what is left of the noise in what is scored."""
    alpha = 0.5
    model, batch, noisy = recorrupted(alpha, antithetic)
    given = model.recipe.corruption(noisy, Noise(2))
    with torch.no_grad():
        estimates = model.terms(given, 1, Noise(3), estimated=True).log_px[0]
        exact = model.terms(dataclasses.replace(batch, seen=given.seen), 1, Noise(3)).log_px[0]
    squares = (30 * model.transform.unit).square().expand(2, 6, 6).sum() * (1 + alpha**-2)
    apart = estimates + float(squares / model.likelihood.scale.square() / 2) - exact
    assert abs(float(apart.mean())) < 4.5 * float(apart.std()) / math.sqrt(len(apart))


def test_a_draw_with_its_negative_makes_a_gradient_of_far_less_variance():
    """Over 200 examples: without, 1 + 1 / alpha^2 = 26 parts of the noise's variance; with, 1 and what bends leave."""
    variance = {}
    for antithetic in (True, False):
        model, _, noisy = recorrupted(0.2, antithetic)
        weights = list(model.network.parameters())
        gradients = []
        for row in range(200):
            one = dataclasses.replace(noisy, x=noisy.x[row : row + 1], seen=noisy.seen[row : row + 1])
            given = model.recipe.corruption(one, Noise(row))
            nats = model.terms(given, 1, Noise(0), estimated=True).log_px.sum()
            gradients.append(torch.cat([slope.flatten() for slope in torch.autograd.grad(nats, weights)]))
        variance[antithetic] = float(torch.stack(gradients).var(0).sum())
    assert variance[True] < variance[False] / 5


def test_the_risk_of_clean_images_is_told_from_noisy_ones():
    """Over draws of noise and probes, against the nats of the clean image."""
    model, batch, noisy = noisy_images({"corruption": "sure"})
    noisy_batch = dataclasses.replace(batch, x=noisy, seen=noisy)
    with torch.no_grad():
        estimates = model.terms(noisy_batch, 1, Noise(2), estimated=True).log_px[0]
        naive = model.terms(noisy_batch, 1, Noise(0)).log_px[0]
        exact = model.terms(dataclasses.replace(batch, seen=noisy), 1, Noise(0)).log_px[0]
    apart, error = estimates - exact, float((estimates - exact).std()) / math.sqrt(len(exact))
    assert abs(float(apart.mean())) < 4.5 * error
    assert abs(float((naive - exact).mean())) > 50 * error


@pytest.mark.parametrize("sigma", [2.0, 20.0])
def test_the_level_of_noise_is_told_from_images(sigma):
    """Of a smooth image with an edge, in each channel, within some percent; a flat one has none."""
    slope = torch.linspace(0, 100, 64)[:, None] + torch.linspace(0, 60, 65)
    images = slope.expand(6, 2, -1, -1).clone()
    images[..., 20:, 30:] += 80
    drawn = sigma * Noise(0).normal(images.shape, rows=0) * torch.tensor([1.0, 0.5])[:, None, None]
    found = noise_level(images + drawn).flatten()
    # Of 6 x 1024 coefficients the median's standard error is 1.17 sigma / sqrt(6144); edges add a little.
    assert (found / sigma - torch.tensor([1.0, 0.5])).abs().max() < 0.08
    assert not noise_level(torch.ones(1, 1, 4, 4)).any()
    assert noise_level(torch.ones(2, 3, 1, 5)).shape == (1, 3, 1, 1)


@pytest.mark.parametrize("kind", ["recorrupted", "sure"])
def test_noise_of_a_level_told_from_the_batch(kind):
    transform, _ = images()
    smooth = torch.linspace(0, 200, 99).view(1, 1, 9, 11).expand(50, 2, -1, -1)
    batch = transform(smooth + 12 * Noise(1).normal(smooth.shape, rows=0))
    part = {"recorrupted": Recorrupted, "sure": Sure}[kind](sigma=None)
    assert ((part.level(batch) / transform.unit).flatten() - 12).abs().max() < 1.5
    with pytest.raises(InputError, match="to tell from them how noisy they are"):
        choose("autoencoder", Schema((6,), 0.0, 1.0), {"corruption": kind, "corruption.sigma": None})


def test_what_scores_no_single_pixels_is_refused():
    schema = Schema((1, 8, 8), 0.0, 255.0, 1.0)
    for kind in ("recorrupted", "sure"):
        with pytest.raises(InputError, match=r"the two gaussian codes would be drawn apart.*antithetic=false"):
            choose("variational", Schema((6,), 0.0, 1.0), {"corruption": kind, "likelihood": "gaussian"})
    single = {"corruption": "recorrupted", "corruption.antithetic": False, "likelihood": "gaussian"}
    choose("variational", Schema((6,), 0.0, 1.0), single)
    for kind in ("blind-spot", "recorrupted", "sure"):
        with pytest.raises(InputError, match="take likelihood=gaussian"):
            choose("autoencoder", schema, {"corruption": kind, "likelihood": "logistic"})
        choose("autoencoder", schema, {"corruption": kind, "likelihood": "gaussian"})
    with pytest.raises(InputError, match="take corruption=mask"):
        choose("autoencoder", Schema((6,), 0.0, 1.0), {"corruption": "blind-spot"})


def test_scored_cells_count_as_if_alone():
    p = Spherical(torch.zeros(2, 3, 4), torch.tensor(0.7))
    x, scored = Noise(0).normal((3, 4), rows=0), Noise(1).uniform((3, 4), rows=0) < 0.5
    expected = (stats.norm(0, 0.7).logpdf(x.numpy()) * scored.numpy()).sum(1)
    torch.testing.assert_close(p.log_prob_of(x, scored), torch.tensor(expected).float().expand(2, 3))
    torch.testing.assert_close(p.log_prob_of(x, torch.ones_like(scored)), p.log_prob(x))
