"""Images of any size restored part by part as they are as a whole."""

import pytest
import torch

from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.filling import filled
from narrows.model import Model
from narrows.noise import Noise
from narrows.presets import choose
from narrows.restore import restored

GREY, COLOUR = (Schema((channels, 8, 8), 0.0, 255.0, 1.0) for channels in (1, 3))
SMALL = {
    "u-net": {"network.channels": 4, "network.stages": 1},
    "shallow": {"network": "shallow", "network.channels": 4, "network.depth": 3},
}


def denoiser(schema=GREY, network="u-net", **choices):
    model = Model(choose("denoiser", schema, {**SMALL[network], **choices}), schema)
    model.adapt(images(20, *schema.shape))
    return model


def images(*shape, seed=0):
    return (256 * Noise(seed).uniform(shape, rows=0)).floor()


@pytest.mark.parametrize("likelihood", ["gaussian", "logistic"])
@pytest.mark.parametrize("network", SMALL)
@pytest.mark.parametrize("size", [(3, 5), (23, 40), (64, 17)])
def test_parts_are_what_they_are_within_the_whole(network, size, likelihood):
    model = denoiser(network=network, likelihood=likelihood)
    noisy = images(2, 1, *size, seed=1)
    whole = restored(model, noisy, side=1000)
    assert whole.shape == noisy.shape
    for side in (5, 16):
        torch.testing.assert_close(restored(model, noisy, side=side), whole, rtol=1e-4, atol=1e-2)


def test_an_image_of_the_size_trained_on_is_what_a_reconstruction_is():
    model = denoiser()
    noisy = images(3, 1, 8, 8, seed=1)
    seen = model.batch(noisy, Noise(0)).seen
    expected = model.transform.inverse(model.decode(seen.flatten(1)[None]).mean[0])
    torch.testing.assert_close(restored(model, noisy), expected)


def test_a_grey_model_restores_colours_one_by_one():
    model = denoiser()
    colours = images(2, 3, 9, 9, seed=1)
    made = restored(model, colours)
    for channel in range(3):
        torch.testing.assert_close(made[:, channel : channel + 1], restored(model, colours[:, channel : channel + 1]))


def test_refusals():
    with pytest.raises(InputError, match="1 channels and the model was trained on images of 3"):
        restored(denoiser(COLOUR), images(1, 1, 9, 9))
    fixed = Model(choose("denoising", GREY, {"network": "mlp"}), GREY)
    with pytest.raises(InputError, match="train preset denoiser"):
        restored(fixed, images(1, 1, 9, 9))
    assert restored(fixed, images(1, 1, 8, 8)).shape == (1, 1, 8, 8)
    table = Schema((6,), 0.0, 1.0)
    with pytest.raises(InputError, match="take narrows reconstruct"):
        restored(Model(choose("denoising", table), table), torch.rand(2, 1, 2, 3))


def test_hidden_pixels_are_filled_in_and_no_other_changes():
    model = denoiser(corruption="mask")
    clean = images(2, 1, 21, 13, seed=1)
    hidden = Noise(3).uniform(clean.shape, rows=0) < 0.5
    made = restored(model, clean, side=8, hidden=hidden)
    assert torch.equal(made[~hidden], clean[~hidden])
    # What is under a hidden pixel tells nothing: it may be no number.
    blank = restored(model, clean.masked_fill(hidden, torch.nan), side=8, hidden=hidden)
    assert torch.equal(made, blank)
    seen = model.batch(clean, Noise(0)).hide(hidden).seen
    expected = model.transform.inverse(
        model.likelihood(model.network.map(seen).view(1, 2, *seen.shape[1:])[:, :, None]).mean[0]
    )
    torch.testing.assert_close(made[hidden], expected[hidden], rtol=1e-4, atol=1e-2)
    assert torch.equal(seen, filled(model.batch(clean).seen, hidden))
    with pytest.raises(InputError, match="train preset denoiser with --set corruption=mask"):
        restored(denoiser(), clean, hidden=hidden)


def test_a_gap_that_is_larger_than_a_part_sees_is_filled_as_within_the_whole():
    model = denoiser(network="shallow", corruption="mask")
    clean, hidden = images(1, 1, 90, 70, seed=1), torch.zeros(1, 1, 90, 70, dtype=torch.bool)
    hidden[..., 10:80, 15:60] = True
    whole = restored(model, clean, side=1000, hidden=hidden)
    torch.testing.assert_close(restored(model, clean, side=12, hidden=hidden), whole, rtol=1e-4, atol=1e-2)


def test_where_codes_tell_all_hidden_cells_are_the_mean():
    model = Model(choose("denoising", GREY, {"network": "mlp", "corruption": "mask"}), GREY)
    clean = images(20, 1, 8, 8)
    model.adapt(clean)
    hidden = Noise(3).uniform(clean.shape, rows=0) < 0.5
    assert not model.batch(clean).hide(hidden).seen[hidden].any()
