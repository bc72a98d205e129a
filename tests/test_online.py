"""Learning from a stream, through the face: one row at a time, in batches, and on from trained weights."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from narrows import Autoencoder, InputError

SMALL = {"network.width": 32}


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return load_digits().data


@pytest.mark.parametrize("preset", ["autoencoder", "variational", "discrete"])
def test_a_stream_of_single_rows_teaches(digits, preset):
    model, held_out = Autoencoder(preset, settings=SMALL), digits[1500:]
    scores = []
    for start in range(0, 600, 200):
        for row in digits[start : start + 200]:
            model.partial_fit(row[None])
        scores.append(model.score(held_out))
    assert scores[0] < scores[1] < scores[2]
    assert model.transform(held_out).shape == (len(held_out), model.code_size_)
    assert model.fitted_.record["data"]["rows"] == model.fitted_.record["steps"] == 600
    # The running statistics are those of all rows.
    mean = model.fitted_.model.transform.mean.numpy()
    np.testing.assert_allclose(mean, digits[:600].mean(0), atol=1e-9)


def test_a_stream_makes_one_pass_in_batches(digits):
    whole = Autoencoder("variational", batch_size=50, settings=SMALL).partial_fit(digits[:500])
    parts = Autoencoder("variational", batch_size=50, settings=SMALL)
    for rows in np.split(digits[:500], 5):
        parts.partial_fit(rows)
    assert whole.fitted_.record["steps"] == 10
    assert (whole.transform(digits) == parts.transform(digits)).all()
    assert Autoencoder(batch_size="full", settings=SMALL).partial_fit(digits).fitted_.record["steps"] == 1


@pytest.mark.parametrize("way", ["fit", "load"])
def test_a_stream_goes_on_from_trained_weights(tmp_path, digits, way):
    model = Autoencoder("variational", epochs=10, settings=SMALL).fit(digits[:200])
    before, given = model.score(digits[1500:]), model.fitted_
    if way == "load":
        model.save(tmp_path / "model.safetensors")
        model = Autoencoder.load(tmp_path / "model.safetensors")
    kept = {name: tensor.clone() for name, tensor in given.model.state_dict().items()}
    for rows in np.split(digits[200:1400], 12):
        model.partial_fit(rows)
    assert model.score(digits[1500:]) > before + 5
    assert model.fitted_.record["data"]["rows"] == 1400
    assert all((tensor == kept[name]).all() for name, tensor in given.model.state_dict().items())
    again = model.fit(digits[:200])
    assert again.score(digits[1500:]) == before


def test_a_pickled_stream_goes_on_as_if_nothing_had_been(digits):
    model = Autoencoder("variational", settings=SMALL, plan={"average": 0.9}).partial_fit(digits[:300])
    copy = pickle.loads(pickle.dumps(model))
    for one in (model, copy):
        one.partial_fit(digits[300:600])
    assert (model.transform(digits) == copy.transform(digits)).all()
    assert (model.sample(3) == copy.sample(3)).all()


@pytest.mark.parametrize(
    ("rows", "values", "kind"),
    [
        (np.array([[0.0, 1.0, 0.0]]), None, "reals"),
        (np.array([[0, 1, 1]]), None, "reals"),
        (np.array([[True, False, True]]), None, "binary"),
        (np.array([[0, 255, 0]], np.uint8), None, "levels"),
        (np.zeros((1, 3)), "binary", "binary"),
        (np.zeros((1, 3)), "counts", "counts"),
    ],
)
def test_the_first_rows_of_a_stream_are_not_taken_at_their_word(rows, values, kind):
    model = Autoencoder(values=values, settings=SMALL).partial_fit(rows)
    assert model.schema_.values == kind
    assert np.isfinite(model.partial_fit(np.repeat(rows[:, ::-1], 3, 0)).score(rows))


def test_a_stream_that_breaks_keeps_what_it_knew(digits):
    model = Autoencoder(optimizer="sgd", rate=1e30, settings=SMALL)
    with pytest.warns(ConvergenceWarning, match="stopped being finite"):
        model.partial_fit(digits[:500])
    assert np.isfinite(model.transform(digits)).all()
    assert model.fitted_.record["data"]["rows"] == 0


def test_what_a_stream_cannot_take_is_refused(digits):
    with pytest.raises(InputError, match="rate 'auto'"):
        Autoencoder(rate="auto").partial_fit(digits[:5])
    with pytest.raises(ValueError, match="minimum of 1"):
        Autoencoder().partial_fit(digits[:0])
    model = Autoencoder(settings=SMALL).partial_fit(digits[:5] > 3)
    with pytest.raises(InputError, match="binary"):
        model.partial_fit(digits[:5])


def squares(n: int, seed: int = 0) -> np.ndarray:
    """Small grey images of a bright square, one in each."""
    places = np.random.default_rng(seed).integers(0, 9, (n, 2))
    images = np.full((n, 16, 16), 20, np.uint8)
    for image, (row, column) in zip(images, places, strict=True):
        image[row : row + 7, column : column + 7] = 200
    return images


def test_images_may_stream(tmp_path):
    model = Autoencoder("variational", code_size=4, batch_size=16, settings={"network.channels": 8})
    model.partial_fit(squares(16))
    early = model.score(squares(50, seed=9))
    for seed in range(8):
        model.partial_fit(squares(16, seed=seed))
    assert model.schema_.values == "levels"
    assert model.score(squares(50, seed=9)) > early
    model.save(tmp_path / "model.safetensors")
    assert Autoencoder.load(tmp_path / "model.safetensors").reconstruct(squares(2)).shape == (2, 16, 16)
