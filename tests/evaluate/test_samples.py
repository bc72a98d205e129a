"""Figures of samples against closed forms, scipy, and sets that are equal or have nothing in common.

A statistical test states its level; seeds are fixed.
"""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from narrows import load
from narrows.data.schema import Schema
from narrows.evaluate.features import SIZE, Classifier, classifier, features_of
from narrows.evaluate.likeness import Likeness, frechet, likeness, radii
from narrows.evaluate.nearest import nearest_distances
from narrows.evaluate.two_samples import told_apart

RNG = np.random.default_rng(5)
ROWS = RNG.normal(size=(300, 4)) @ RNG.normal(size=(4, 4)) + 1


class TestFrechet:
    def test_is_that_of_scipy(self):
        other = RNG.normal(size=(200, 4)) @ RNG.normal(size=(4, 4))
        S, T = np.cov(ROWS.T), np.cov(other.T)
        by_hand = ((ROWS.mean(0) - other.mean(0)) ** 2).sum() + np.trace(S + T - 2 * np.real(sqrtm(S @ T)))
        assert frechet(ROWS, other) == pytest.approx(by_hand, rel=1e-8)
        assert frechet(other, ROWS) == pytest.approx(by_hand, rel=1e-8)

    def test_of_gaussians_along_axes(self):
        """With covariances that commute it is |m - m'|^2 + sum (s - s')^2."""
        rows = (ROWS - ROWS.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(ROWS.T))).T
        other = rows * [2.0, 3.0, 0.5, 1.0] + [1.0, 0.0, 2.0, 0.0]
        assert frechet(rows, other) == pytest.approx(5 + 1 + 4 + 0.25, rel=1e-9)

    def test_of_equal_rows_and_of_columns_that_never_change(self):
        assert frechet(ROWS, ROWS) == pytest.approx(0, abs=1e-9)
        still = np.column_stack([ROWS, np.ones(len(ROWS))])
        assert frechet(still, still + np.array([0, 0, 0, 0, 2.0])) == pytest.approx(4, abs=1e-6)

    @settings(max_examples=20)
    @given(st.floats(-50, 50), st.floats(0.01, 20))
    def test_moves_with_the_rows_and_grows_with_their_scale(self, shift, scale):
        other = ROWS[:150] ** 2
        assert frechet(scale * ROWS + shift, scale * other + shift) == pytest.approx(
            scale**2 * frechet(ROWS, other), rel=1e-6
        )


class TestLikeness:
    def test_of_equal_and_of_disjoint_sets(self):
        equal = likeness(ROWS, ROWS)
        assert (equal.precision, equal.recall, equal.coverage) == (1, 1, 1)
        assert likeness(ROWS, ROWS + 1000) == Likeness(0, 0, 0, 0)

    def test_is_that_of_loops(self):
        real, made = ROWS[:40], ROWS[40:90] * 1.3
        k = 3
        near = [sorted(np.linalg.norm(real - row, axis=1))[k] for row in real]
        near_made = [sorted(np.linalg.norm(made - row, axis=1))[k] for row in made]
        within = np.array([[np.linalg.norm(r - m) <= near[i] for m in made] for i, r in enumerate(real)])
        of_made = np.array([[np.linalg.norm(r - m) <= near_made[j] for j, m in enumerate(made)] for r in real])
        found = likeness(real, made, k)
        assert found.precision == pytest.approx(within.any(0).mean())
        assert found.density == pytest.approx(within.sum() / k / len(made))
        assert found.coverage == pytest.approx(within.any(1).mean())
        assert found.recall == pytest.approx(of_made.any(1).mean())
        np.testing.assert_allclose(radii(real, k), near)

    def test_density_and_coverage_of_one_law_are_those_expected(self):
        """Of n rows of one law each: density 1, coverage 1 - prod_i (n - i) / (2 n - i) over i = 1 .. k, 1 - 2^-k."""
        real, made = np.random.default_rng(1).normal(size=(2, 3000, 3))
        found = likeness(real, made, 5)
        assert found.density == pytest.approx(1, abs=0.05)
        assert found.coverage == pytest.approx(1 - 2.0**-5, abs=0.015)

    def test_one_real_row_far_out_misleads_precision_more_than_density(self):
        real = np.concatenate([np.random.default_rng(2).normal(size=(200, 2)), [[30.0, 30.0]]])
        made = np.random.default_rng(3).normal(size=(200, 2)) + 10
        found = likeness(real, made)
        assert found.precision == 1
        assert found.density < 0.25

    def test_few_modes_have_precision_and_no_recall(self):
        real = np.random.default_rng(2).normal(size=(500, 3))
        found = likeness(real, real[:1] + 0.01 * np.random.default_rng(3).normal(size=(500, 3)))
        assert found.precision > 0.9
        assert found.recall < 0.05
        assert found.coverage < 0.1


class TestToldApart:
    def test_sets_with_nothing_in_common(self):
        found = told_apart(ROWS, ROWS + 100, seed=0)
        assert (found.accuracy, found.high) == (1, 1)
        assert found.p_value == pytest.approx(0.5**300)

    def test_sets_of_one_law(self):
        """Of 12 tests at level 0.05 more than 4 reject with a probability of 3e-4; intervals miss 0.5 as seldom."""
        halves = np.random.default_rng(4).normal(size=(12, 2, 120, 3))
        found = [told_apart(real, made, seed) for seed, (real, made) in enumerate(halves)]
        assert sum(one.p_value < 0.05 for one in found) <= 4
        assert sum(not one.low <= 0.5 <= one.high for one in found) <= 4
        assert all(one.low < one.accuracy < one.high for one in found)

    def test_sees_what_means_do_not_show(self):
        rng = np.random.default_rng(6)
        real, made = rng.normal(size=(2, 600, 2))
        made[:, 1] = made[:, 0] + 0.1 * rng.normal(size=600)
        assert told_apart(real, made, seed=0).low > 0.7

    def test_equal_seeds_give_equal_figures(self):
        assert told_apart(ROWS[:100], ROWS[100:200], 7) == told_apart(ROWS[:100], ROWS[100:200], 7)


def test_nearest_rows_are_those_of_loops_and_copies_are_at_no_distance():
    training = torch.from_numpy(RNG.normal(size=(2300, 6)) + 100).float()
    rows = torch.cat([torch.from_numpy(RNG.normal(size=(30, 6)) + 100).float(), training[[0, 1000, 2299]]])
    by_hand = [(row.double() - training.double()).square().mean(1).min().sqrt() for row in rows]
    np.testing.assert_allclose(nearest_distances(rows, training), by_hand, rtol=1e-3, atol=1e-6)
    assert (nearest_distances(rows, training)[-3:] == 0).all()


class TestFeatures:
    def test_the_file_is_the_one_that_was_trained(self, monkeypatch):
        assert isinstance(classifier(), Classifier)
        monkeypatch.setattr("narrows.evaluate.features.SHA_256", "0" * 64)
        with pytest.raises(RuntimeError, match="is not the file"):
            classifier()

    def test_it_tells_clothes_apart(self):
        """Of the test images of the embedded sample, at least 85 of 100 (chance is 10)."""
        from narrows import read

        data = read("fashion-sample:test")
        network = classifier()
        found = torch.from_numpy(features_of(data.values, data.schema)).float()
        assert found.shape == (1000, SIZE)
        with torch.inference_mode():
            told = network.head(found * network.spread + network.centre).argmax(1)
        assert (told.numpy() - 10 == data.labels).mean() > 0.85

    def test_colour_size_and_range_do_not_matter(self):
        from narrows import read

        data = read("fashion-sample:test")
        grey = data.values[:20]
        large = np.repeat(np.repeat(grey, 2, axis=2), 2, axis=3)
        plain = features_of(grey, data.schema)
        for values, schema in (
            (np.repeat(grey, 3, axis=1), Schema((3, 28, 28), 0.0, 255.0, 1.0)),
            ((grey / 255).astype(np.float32), Schema((1, 28, 28), 0.0, 1.0)),
        ):
            np.testing.assert_allclose(features_of(values, schema), plain, atol=1e-2)
        assert np.abs(features_of(large, Schema((1, 56, 56), 0.0, 255.0, 1.0)) - plain).mean() < 0.5


def test_the_verb_sets_samples_beside_rows(models, here, done):
    line = ["evaluate", models / "digits.safetensors", "digits:test", "--samples", 100, "--train", "digits", "--json"]
    told = json.loads(done(*line))
    assert told == json.loads(done(*line))
    assert (told["samples"], told["samples_compared_by"]) == (100, "features of a classifier")
    assert told["samples_frechet"] > 2 * told["training_frechet"] > 0
    assert told["samples_told_apart"] > 0.7
    assert told["samples_told_apart_p_value"] < 1e-3
    assert told["held_out_nearest_training"] > 0
    for share in ("precision", "recall", "coverage"):
        assert 0 <= told[f"samples_{share}"] <= 1
    without = json.loads(done(*line[:-3], "--json"))
    assert without["samples_frechet"] == told["samples_frechet"]
    assert without["training_frechet"] is None


def test_tables_are_compared_by_their_cells(models, here, done):
    line = ["evaluate", models / "table.safetensors", models / "table.csv", "--samples", 40, "--json"]
    assert json.loads(done(*line))["samples_compared_by"] == "standardised cells"


def test_copies_show(models, monkeypatch):
    """A model that gives its training rows again looks as good as training rows, and is caught."""
    torch.manual_seed(0)
    from narrows import read
    from narrows.evaluate import sampled
    from narrows.tensors import tensor_of

    training, test = (tensor_of(read(name).values) for name in ("digits", "digits:test"))
    monkeypatch.setattr(sampled, "samples", lambda model, n, seed: training[torch.randperm(len(training))[:n]].float())
    figures = sampled.figures_of_samples(load(models / "digits.safetensors").model, test, 200, training, 0)
    assert figures["samples_nearest_training"] == 0 < figures["held_out_nearest_training"]
    assert figures["samples_nearer_than_rare"] == 1
    assert figures["samples_frechet"] < 2 * figures["training_frechet"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("evaluate {}/digits.safetensors digits:test --samples 5", "samples was given as 5; it must be at least 20"),
        ("evaluate {}/digits.safetensors digits:test --samples -1", "at least 0"),
        ("evaluate {}/digits.safetensors digits:test --train digits", "say how many"),
        ("evaluate {}/digits.safetensors digits:test --samples 50 --rows 9", "rows, to set samples beside,"),
        ("evaluate {}/point.safetensors digits:test --samples 50", "narrows fit-prior"),
        ("evaluate {}/digits.safetensors digits:test --samples 50 --train nowhere.npy", "nowhere.npy"),
    ],
)
def test_refused(models, refused, line, says):
    refused(*line.format(models).split(), says=says)
