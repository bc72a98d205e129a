"""Several seeds as one estimator."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from narrows import Autoencoder, Ensemble, InputError

DIGITS = load_digits().data[:300].astype("float32")
FEW = {"epochs": 3, "settings": {"network": "mlp", "network.width": 16, "latent.size": 3}}


@pytest.fixture(scope="module")
def ensemble():
    return Ensemble(Autoencoder("variational", random_state=7, **FEW), members=3).fit(DIGITS)


def test_members_are_what_their_seeds_train_alone(ensemble):
    for seed, member in zip((7, 8, 9), ensemble.members_, strict=True):
        alone = Autoencoder("variational", random_state=seed, **FEW).fit(DIGITS)
        assert member.random_state == seed
        np.testing.assert_allclose(member.score_samples(DIGITS), alone.score_samples(DIGITS), rtol=1e-3)


def test_its_score_is_that_of_the_mixture_and_its_reconstruction_the_mean(ensemble):
    scores = np.stack([member.score_samples(DIGITS) for member in ensemble.members_]).astype(np.longdouble)
    expected = np.log(np.exp(scores).mean(0))
    np.testing.assert_allclose(ensemble.score_samples(DIGITS), expected.astype(float), rtol=1e-9)
    assert ensemble.score(DIGITS) == pytest.approx(float(expected.mean()))
    np.testing.assert_allclose(ensemble.spread(DIGITS), scores.std(0).astype(float), rtol=1e-6, atol=1e-6)
    rebuilt = [member.reconstruct(DIGITS) for member in ensemble.members_]
    np.testing.assert_allclose(ensemble.reconstruct(DIGITS), np.mean(rebuilt, 0), rtol=1e-6, atol=1e-6)


def test_samples_are_of_the_members_in_turn(ensemble):
    made = ensemble.sample(8)
    assert made.shape == (8, 64)
    parts = np.split(made, [3, 6])
    for part, member in zip(parts, ensemble.members_, strict=True):
        assert np.array_equal(part, member.sample(len(part)))
    assert ensemble.sample(1).shape == (1, 64)


def test_it_is_an_estimator_like_others(ensemble):
    again = clone(ensemble)
    assert again.members == 3
    assert again.autoencoder.preset == "variational"
    assert not hasattr(again, "members_")
    with pytest.raises(NotFittedError):
        again.score_samples(DIGITS)
    assert again.set_params(autoencoder__preset="beta").autoencoder.preset == "beta"


def test_images_and_labels_pass_through():
    images, labels = DIGITS.reshape(-1, 8, 8), np.arange(300) % 2
    settings = {"network": "mlp", "network.width": 8, "latent.size": 4}
    found = Ensemble(Autoencoder("conditional", epochs=1, settings=settings), members=2).fit(images, labels)
    assert found.n_features_in_ == 64
    assert found.reconstruct(images[:5]).shape == (5, 8, 8)
    assert found.score_samples(images[:5]).shape == (5,)


@pytest.mark.parametrize(
    ("one", "members", "says"),
    [
        (Autoencoder(**FEW), 0, "members was given as 0"),
        (Autoencoder(**FEW), 2.5, "members was given as 2.5; it takes a whole number"),
        ("variational", 2, "was given 'variational'; it takes an Autoencoder"),
        (Autoencoder("vq", epochs=1), 2, "trains one model at a time"),
        (Autoencoder(minutes=1.0), 2, "--minutes is for a model by itself"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(one, members, says):
    with pytest.raises(InputError, match=says):
        Ensemble(one, members).fit(DIGITS)
