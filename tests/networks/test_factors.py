"""Gaps filled by the factors and the network, against the exact conditional laws of worlds that are known."""

import dataclasses

import numpy as np
import pytest
import torch

from narrows.data.schema import Column, mixed_schema
from narrows.data.specimens import MIXED, examples
from narrows.errors import InputError
from narrows.fit import fit
from narrows.inference import imputations, imputed
from narrows.latents import FullGaussian
from narrows.latents import Point as Plain
from narrows.model import Model
from narrows.networks import Factors
from narrows.noise import Noise
from narrows.plan import Plan
from narrows.presets import choose

COLUMNS, FACTORS, ROWS = 6, 2, 3000
NUMBERS = mixed_schema(tuple(Column(f"c{place}", "numeric") for place in range(COLUMNS)))


@pytest.fixture(scope="module")
def world():
    """Rows of a linear-gaussian model with gaps, and the exact mean and deviation of every gap."""
    random = np.random.default_rng(0)
    loadings = random.normal(size=(COLUMNS, FACTORS)) * [[3.0], [1], [1], [0.2], [10], [1]]
    noise = np.array([0.5, 0.3, 0.5, 0.05, 2, 1.0])
    centre = np.array([5.0, -2, 0, 1, 100, 0])
    covariance = loadings @ loadings.T + np.diag(noise**2)
    whole = centre + random.normal(size=(ROWS, FACTORS)) @ loadings.T + random.normal(size=(ROWS, COLUMNS)) * noise
    rows = np.where(random.random(whole.shape) < 0.2, np.nan, whole)
    mean, deviation = np.zeros_like(rows), np.zeros_like(rows)
    for i, row in enumerate(rows):
        seen = ~np.isnan(row)
        pull = np.linalg.solve(covariance[seen][:, seen], covariance[seen]).T
        mean[i] = centre + pull @ (row - centre)[seen]
        deviation[i] = np.sqrt(np.maximum(np.diag(covariance) - np.sum(pull * covariance[:, seen], 1), 1e-9))
    return torch.from_numpy(rows.astype("float32")), mean, deviation, covariance


def imputing(rows, schema=NUMBERS, epochs=0, rate=0.001, **settings):
    """The preset as it starts, or trained for so many epochs."""
    small = {"network.width": 32, "latent.size": 4, **settings}
    if epochs:
        return fit(rows.numpy(), schema, "imputing", small, Plan(epochs=epochs, rate=rate, precision="float32")).model
    model = Model(choose("imputing", schema, small), schema)
    model.adapt(rows)
    model.start(lambda: rows)
    return model


@pytest.mark.parametrize("epochs", [0, 8])
def test_means_and_spreads_approach_those_of_the_linear_gaussian_world(world, epochs):
    rows, mean, deviation, _ = world
    model = imputing(rows, epochs=epochs)
    part = slice(300)
    filled, spread = (found.double().numpy() for found in imputed(model, rows[part], 2000))
    gaps = rows[part].isnan().numpy()
    error = ((filled - mean[part]) / deviation[part])[gaps]
    # What is left of the best guess is 1 deviation: a tenth of that more adds half a per cent.
    assert np.sqrt(np.mean(error**2)) < 0.12
    ratio = (spread / deviation[part])[gaps]
    assert abs(np.mean(ratio) - 1) < 0.06
    assert np.std(ratio) < 0.08


def test_gaps_of_one_row_are_drawn_together(world):
    """The draws of two gaps are correlated as the exact law says, which independent ones would not be."""
    rows, _, _, covariance = world
    row = rows[:1].clone()
    row[0] = torch.tensor([np.nan, -2.0, np.nan, 1.0, np.nan, 0.0])
    drawn = imputations(imputing(rows), row, 4000)[0].double().numpy()
    seen, gone = [1, 3, 5], [0, 2, 4]
    rest = covariance[np.ix_(gone, gone)] - covariance[np.ix_(gone, seen)] @ np.linalg.solve(
        covariance[np.ix_(seen, seen)], covariance[np.ix_(seen, gone)]
    )
    exact = rest / np.sqrt(np.outer(np.diag(rest), np.diag(rest)))
    np.testing.assert_allclose(np.corrcoef(drawn[:, gone].T), exact, atol=0.1)
    assert (drawn[:, seen] == row[:, seen].numpy()).all()


def test_categories_approach_their_exact_probabilities():
    random = np.random.default_rng(0)
    schema = mixed_schema((Column("x", "numeric"), Column("y", "numeric"), Column("c", "category", ("a", "b", "c"))))
    x = random.normal(size=ROWS)
    logits = np.stack([1.5 * x, np.zeros(ROWS), -1.5 * x], 1)
    exact = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    category = (random.random((ROWS, 1)) > exact.cumsum(1)).sum(1)
    rows = np.stack([x, x + 0.05 * random.normal(size=ROWS), category], 1).astype("float32")
    gappy = np.where(random.random(rows.shape) < [0, 0, 0.2], np.nan, rows)
    model = imputing(torch.from_numpy(gappy.astype("float32")), schema, epochs=20, rate=0.005)
    asked = torch.from_numpy(rows[:200])
    asked[:, 2] = torch.nan
    drawn = imputations(model, asked, 1000)[:, :, 2]
    shares = torch.stack([(drawn == index).double().mean(1) for index in range(3)], 1).numpy()
    assert np.abs(shares - exact[:200]).mean() < 0.04
    named = imputed(model, asked, 1000)[0][:, 2].numpy()
    clear = np.sort(exact[:200], 1)
    clear = clear[:, 2] - clear[:, 1] > 0.2
    assert (named == exact[:200].argmax(1))[clear].mean() > 0.97


def test_the_network_learns_what_a_line_misses():
    random = np.random.default_rng(0)
    x = random.normal(size=ROWS)
    schema = mixed_schema((Column("x", "numeric"), Column("y", "numeric")))
    rows = np.stack([x, x**2 + 0.1 * random.normal(size=ROWS)], 1).astype("float32")
    asked = torch.from_numpy(rows[:300]).clone()
    asked[:, 1] = torch.nan
    errors = []
    for epochs in (0, 40):
        model = imputing(
            torch.from_numpy(np.where(random.random(rows.shape) < 0.1, np.nan, rows)), schema, epochs, rate=0.01
        )
        missed = (imputed(model, asked)[0][:, 1] - asked.new_tensor(rows[:300, 1])).abs()
        # Nine rows in ten: a deviation is that of the few rows at the ends, which rounding alone moves by half.
        errors.append(missed.quantile(0.9).item())
    assert errors[0] > 1.5  # no line tells y from x: a tenth of |x^2 - 1| is above 1.71
    assert errors[1] < 0.35


def test_a_start_needs_no_training_and_a_model_without_one_is_sound():
    rows = next(example.values for example in examples() if example.schema is MIXED)
    model = Model(choose("imputing", MIXED), MIXED)
    model.adapt(rows)
    before = model.batch(rows, Noise(0))
    assert model.posterior(before.seen).mean.abs().max() == 0
    model.start(lambda: rows)
    q = model.posterior(before.seen)
    assert q.mean[3].abs().max() < 1e-4  # a row without a cell says nothing
    torch.testing.assert_close(q.variance[3], torch.ones(32), rtol=0, atol=1e-3)
    assert model.posterior(before.seen).mean[:3].abs().max() > 0.1


def test_what_it_refuses_and_why():
    recipe = choose("imputing", MIXED)
    reals = next(example.schema for example in examples() if example.name == "vector-reals")
    assert "take network=mlp" in Factors().refuses(reals)
    assert Factors().refuses_latent(FullGaussian()) is None
    with pytest.raises(InputError, match=r"which point codes cannot; take latent=full-gaussian, or network=mlp"):
        dataclasses.replace(recipe, latent=Plain()).check(MIXED)
