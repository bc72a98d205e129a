"""Moves among codes, in closed form: ends, lengths, angles and sums; and what is drawn wider."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows import load, read
from narrows.distributions import DiagonalNormal, Mixture
from narrows.errors import InputError
from narrows.generation import between, combined, varied
from narrows.generation.moves import linear, spherical, terms_of
from narrows.inference import codes, decoded, reconstructed, samples
from narrows.noise import Noise, Tempered
from narrows.sampling import sample
from narrows.tensors import tensor_of

ROWS = tensor_of(read("digits:test").values)
SHARES = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
NUMBERS = st.lists(st.floats(-5, 5), min_size=3, max_size=3)


@pytest.fixture(scope="module")
def model(models):
    return load(models / "digits.safetensors").model


@pytest.fixture(scope="module")
def plain(models):
    return load(models / "point.safetensors").model


@given(NUMBERS, NUMBERS)
def test_both_paths_have_their_ends_and_turn_round(first, last):
    a, b = torch.tensor(first, dtype=torch.float64), torch.tensor(last, dtype=torch.float64)
    for path in (linear, spherical):
        way = path(a, b, SHARES)
        assert way.isfinite().all()
        torch.testing.assert_close(way[0], a, atol=1e-5, rtol=0)
        torch.testing.assert_close(way[-1], b, atol=1e-5, rtol=0)
        torch.testing.assert_close(path(b, a, SHARES).flip(0), way, atol=1e-5, rtol=0)


def test_an_arc_keeps_its_length_and_goes_by_even_angles():
    a, b = torch.tensor([2.0, 0, 0], dtype=torch.float64), torch.tensor([0, 2.0, 0], dtype=torch.float64)
    way = spherical(a, b, SHARES)
    angles = torch.arange(5, dtype=torch.float64) * math.pi / 8
    torch.testing.assert_close(way, 2 * torch.stack([angles.cos(), angles.sin(), 0 * angles], 1))
    torch.testing.assert_close(spherical(a, 3 * a, SHARES), linear(a, 3 * a, SHARES))
    torch.testing.assert_close(spherical(a, -a, SHARES), linear(a, -a, SHARES))


@pytest.mark.parametrize("path", ["spherical", "linear"])
def test_the_way_begins_and_ends_with_reconstructions(model, path):
    way = between(model, ROWS[[3, 17]], 7, path)
    assert way.shape == (7, 1, 8, 8)
    torch.testing.assert_close(way[[0, -1]], reconstructed(model, ROWS[[3, 17]]), atol=1e-4, rtol=1e-4)


def test_variations_are_draws_of_the_posterior(model):
    made = varied(model, ROWS[3:4], 5, seed=2)
    q = model.posterior(model.batch(ROWS[3:4], Noise(0)).seen)
    expected = decoded(model, sample(q, 5, Noise(2))[:, 0].detach())
    torch.testing.assert_close(made, expected)
    assert not torch.equal(made[0], made[1])


def test_variations_of_no_strength_are_the_reconstruction(model, plain):
    for one in (model, plain):
        made = varied(one, ROWS[3:4], 2, 0, torch.zeros(4))
        torch.testing.assert_close(made, reconstructed(one, ROWS[[3, 3]]), atol=1e-4, rtol=1e-4)


def test_sums_of_codes(model):
    z = codes(model, ROWS)
    for expression, expected in (
        ("3", z[3]),
        (" 3 - 5+17", z[3] - z[5] + z[17]),
        ("-5", -z[5]),
        ("0,1, 2 - 3,3", (z[0] + z[1] + z[2]) / 3 - z[3]),
        ("5-5", 0 * z[5]),
    ):
        torch.testing.assert_close(combined(model, ROWS, expression), decoded(model, expected[None]))


@pytest.mark.parametrize(
    "expression", ["", "3 5 +", "a", "3--5", "3-", ",", "3.5", "1e3", "٣", "3;4", "10000000", "-1,400"]
)
def test_what_is_no_sum_is_refused(model, expression):
    with pytest.raises(InputError, match=r"give (numbers of rows|one of these)"):
        terms_of(expression, len(ROWS))


class TestTemperature:
    def test_of_the_standard_prior(self, model):
        """T = 0 is the prior's mean, and draws of T = 2 are those of T = 1 decoded at twice the code."""
        frozen = samples(model, 3, 0, temperature=0)
        torch.testing.assert_close(frozen, decoded(model, torch.zeros(3, 4)))
        expected = decoded(model, 2 * Noise(0).normal((3, 4), rows=0))
        torch.testing.assert_close(samples(model, 3, 0, temperature=2), expected)

    def test_of_a_mixture_widens_its_parts_and_not_their_places(self):
        parts = DiagonalNormal(torch.tensor([[-50.0], [50.0]]), torch.ones(2, 1))
        law = Mixture(torch.zeros(2), parts, 4000)
        for temperature in (0.0, 0.5, 3.0):
            drawn = sample(law, 1, Tempered(Noise(0), temperature))[0, :, 0]
            left = (drawn - drawn.sign() * 50).double()
            # The deviation of 4,000 draws has a standard error of 1.1 %; level 1e-5.
            assert float(left.std()) == pytest.approx(temperature, rel=0.05)
            assert float((drawn > 0).double().mean()) == pytest.approx(0.5, abs=0.04)

    @pytest.mark.parametrize("latent", ["bernoulli", "categorical"])
    def test_of_codes_without_normal_draws_is_refused(self, latent):
        from narrows.model import Model
        from narrows.presets import choose

        schema = read("digits").schema
        model = Model(choose("variational", schema, [f"latent={latent}", "network.width=8"]), schema)
        assert samples(model, 2, 0).shape == (2, 1, 8, 8)
        with pytest.raises(InputError, match=f"latent {latent} draws nothing from a normal"):
            samples(model, 2, 0, temperature=0.5)
        with pytest.raises(InputError, match="know no classes"):
            samples(model, 2, 0, label="7")
        with pytest.raises(InputError, match="nothing between two"):
            between(model, ROWS[:2], 3, "linear")

    def test_it_moves_its_source_on(self):
        noise = Noise(0)
        drawn = Tempered(noise, 2.0).normal((3,), rows=0)
        assert np.allclose(drawn, 2 * Noise(0).normal((3,), rows=0))
        assert not np.allclose(noise.normal((3,), rows=0), drawn / 2)


def test_plain_codes_lie_about_no_origin(plain):
    with pytest.raises(InputError, match="take path linear"):
        between(plain, ROWS[:2], 3, "spherical")
    with pytest.raises(InputError, match="--strength"):
        varied(plain, ROWS[:1], 3, 0)
    assert between(plain, ROWS[:2], 3, "linear").shape == (3, 1, 8, 8)
