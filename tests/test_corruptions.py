"""What the encoder gets to see. Rates are tested at 4.5 standard errors: 7e-6 a figure."""

import math

import pytest
import torch
from scipy import stats

from narrows.corruptions import Clean, Gaussian, Mask, SaltAndPepper
from narrows.data.mixed import MixedTransform
from narrows.data.specimens import MIXED, examples
from narrows.errors import InputError
from narrows.noise import Noise
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
