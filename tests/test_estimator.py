"""The scikit-learn face: its conventions, its units, its images and its files."""

import math
import pickle
import warnings
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import narrows
from narrows import Autoencoder, InputError, Schema
from narrows.data.dataset import from_array
from narrows.fit import fit
from narrows.plan import Plan

SMALL = {"network.width": 32}

CHECKED = [
    Autoencoder(epochs=3, settings=SMALL),
    Autoencoder("variational", epochs=3, settings=SMALL, code_size=3),
    Autoencoder("sparse", epochs=3, settings={**SMALL, "latent.k": 4}),
    Autoencoder("discrete", epochs=3, settings=SMALL, validation=0.0),
    Autoencoder("vq", epochs=3, settings=SMALL, batch_size="full"),
    Autoencoder("denoising", epochs=3, settings=["network.width=32"], optimizer="sgd", rate=0.01),
]


@parametrize_with_checks(CHECKED)
def test_keeps_every_convention_of_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return load_digits().data


@pytest.fixture(scope="module")
def variational(digits) -> Autoencoder:
    return Autoencoder("variational", code_size=8, epochs=20).fit(digits[:1000])


def pattern(n: int, seed: int = 0) -> np.ndarray:
    """Small grey images of a bright square, one in each."""
    places = np.random.default_rng(seed).integers(0, 9, (n, 2))
    images = np.full((n, 16, 16), 20, np.uint8)
    for image, (row, column) in zip(images, places, strict=True):
        image[row : row + 7, column : column + 7] = 200
    return images


def test_learns_more_than_the_mean_and_reports_how(digits):
    model = Autoencoder(code_size=8, epochs=40).fit(digits[:1400])
    held_out = digits[1400:]
    error = np.square(model.reconstruct(held_out) - held_out).sum()
    pca = PCA(8).fit(digits[:1400])
    assert error < np.square(pca.inverse_transform(pca.transform(held_out)) - held_out).sum()
    assert model.code_size_ == 8
    assert model.n_features_in_ == 64
    assert model.history_[-1]["epoch"] == 40
    assert model.history_[-1]["validation"]["nats"] < model.history_[0]["validation"]["nats"]
    assert {finding.name for finding in model.findings_} <= {"constant columns", "idle units"}
    np.testing.assert_allclose(model.inverse_transform(model.transform(held_out)), model.reconstruct(held_out))


def test_equals_the_training_of_the_command_line(digits):
    by_hand = fit(digits.astype(np.float32), Schema((64,), 0.0, 16.0), "variational", ["latent.size=4"], Plan(epochs=2))
    fitted = Autoencoder("variational", code_size=4, epochs=2).fit(digits).fitted_
    for name, tensor in by_hand.model.state_dict().items():
        assert (tensor == fitted.model.state_dict()[name]).all()


def test_a_parameter_of_any_spelling_trains_the_same_model(digits):
    rows = digits[:300]
    ways = [
        Autoencoder("sparse", epochs=np.int64(2), settings=["latent.size=9", "latent.k=3"], random_state=np.int64(4)),
        Autoencoder("sparse", epochs=2, settings={"latent.k": 3}, code_size=np.int64(9), random_state=4),
        Autoencoder("sparse", epochs=2, settings="latent.k=3", code_size=9, random_state=4, batch_size="128"),
    ]
    first, *others = [way.fit(rows).transform(rows) for way in ways]
    assert (first != 0).sum(1).max() == 3
    for other in others:
        assert (other == first).all()


def test_other_fields_of_the_plan_arrive(tmp_path, digits):
    plan = {"schedule": "constant", "average": 0.9, "log": str(tmp_path / "log.jsonl")}
    record = Autoencoder(epochs=2, plan=plan).fit(digits[:200]).fitted_.record["plan"]
    assert (record["schedule"], record["average"]) == ("constant", 0.9)
    assert (tmp_path / "log.jsonl").read_text().startswith('{"step": ')


def test_a_data_set_brings_its_schema(digits):
    counts = from_array(digits, kind="counts")
    model = Autoencoder(epochs=2).fit(counts)
    assert model.fitted_.model.likelihood.kind == "poisson"
    assert (
        Autoencoder(epochs=2, values="counts").fit(digits).score(digits) == model.score(digits) == model.score(counts)
    )


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_frames_bring_their_names(frame):
    rng = np.random.default_rng(0)
    table = {"height": rng.normal(170, 10, 50), "weight": rng.normal(70, 5, 50), "age": rng.integers(20, 80, 50)}
    model = Autoencoder(epochs=2, code_size=2).fit(frame(table))
    assert list(model.feature_names_in_) == ["height", "weight", "age"]
    assert model.schema_.names == ("height", "weight", "age")
    assert model.transform(frame(table)).shape == (50, 2)
    assert list(model.get_feature_names_out()) == ["autoencoder0", "autoencoder1"]
    with pytest.raises(ValueError, match="feature names"):
        model.transform(frame({name: table[name] for name in ("age", "weight", "height")}))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_frames_of_text_and_gaps_are_mixed_tables(frame):
    rng = np.random.default_rng(0)
    table = {
        "height": [None, *rng.normal(170, 10, 49)],
        "sex": ["f", "m"] * 25,
        "day": [date(2024, 1, 1)] * 50,
    }
    with pytest.warns(UserWarning, match="'day' holds dates or times and was left out"):
        model = Autoencoder("imputing", epochs=2, code_size=2).fit(frame(table))
    assert [column.kind for column in model.schema_.columns] == ["numeric", "binary"]
    assert list(model.feature_names_in_) == ["height", "sex"]
    assert (model.transform(frame(dict(reversed(table.items())))) == model.transform(frame(table))).all()
    with pytest.raises(InputError, match="the frame lacks the column 'sex' that the model was trained on"):
        model.transform(frame({"height": table["height"], "gender": table["sex"]}))
    with pytest.raises(InputError, match="whose columns have kinds of their own"):
        Autoencoder(epochs=1, values="counts").fit(frame(table))
    before = model.score(frame(table))
    assert model.partial_fit(frame(table)).score(frame(table)) != before


def test_a_pandas_frame_comes_out_where_one_is_asked_for(digits):
    frame = pd.DataFrame(digits[:60]).add_prefix("pixel").set_index(np.arange(100, 160))
    out = Autoencoder(epochs=1, code_size=2).set_output(transform="pandas").fit_transform(frame)
    assert list(out.columns) == ["autoencoder0", "autoencoder1"]
    assert list(out.index) == list(frame.index)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"preset": "variatonal"}, "did you mean 'variational'"),
        ({"settings": {"latent.sise": 3}}, "did you mean 'size'"),
        ({"code_size": 0}, "latent.size was given as 0"),
        ({"code_size": "many"}, "latent.size was given as 'many'"),
        ({"epochs": 0}, "epochs was given as 0"),
        ({"epochs": "ten"}, "epochs was given as 'ten'; it takes int or none"),
        ({"epochs": 1, "minutes": 1}, "both"),
        ({"batch_size": "half"}, "batch size was given as 'half'"),
        ({"rate": -1}, "rate was given as -1"),
        ({"optimizer": "adamm"}, "did you mean 'adam'"),
        ({"values": "binary"}, "binary data hold two distinct values"),
        ({"plan": {"epochs": 3}}, "give it as epochs="),
        ({"plan": {"seed": 3}}, "give it as random_state="),
        ({"plan": {"averages": 3}}, "did you mean 'average'"),
        ({"plan": {"binarize": "drawn"}}, "did you mean 'draw'"),
        ({"plan": {"binarize": "draw"}}, "only levels can be binarised"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_wrong_parameter_is_named(digits, method, parameters, words):
    model = Autoencoder(**parameters)
    with pytest.raises(InputError, match=words) as caught:
        getattr(model, method)(digits[:20] + 0.5)
    assert "\n" not in str(caught.value)
    with pytest.raises(NotFittedError):
        model.transform(digits)


@pytest.mark.parametrize("rows", [[[1.0, 2.0]], [[1.0, 2.0]] * 5, [["a", "b"], ["c", "d"]], [1.0, 2.0], []])
def test_data_to_learn_nothing_from_are_refused(rows):
    with pytest.raises(ValueError, match=r"1 sample|same|string|Reshape|Expected 2D"):
        Autoencoder(epochs=1).fit(rows)


def test_methods_ask_for_a_fit_first(tmp_path, digits):
    for method, argument in [
        ("transform", digits),
        ("inverse_transform", np.zeros((2, 16))),
        ("reconstruct", digits),
        ("score_samples", digits),
        ("score", digits),
        ("sample", 1),
        ("save", tmp_path / "model.safetensors"),
    ]:
        with pytest.raises(NotFittedError):
            getattr(Autoencoder("variational"), method)(argument)
    assert not list(tmp_path.iterdir())


def test_training_that_breaks_is_not_silent(digits):
    model = Autoencoder(epochs=2, optimizer="sgd", rate=1e30)
    with pytest.warns(ConvergenceWarning, match="stopped being finite"):
        model.fit(digits[:200])
    assert np.isfinite(model.reconstruct(digits[:5])).all()


def test_a_row_has_one_answer_in_any_company(variational, digits):
    for method in (variational.transform, variational.score_samples, variational.reconstruct):
        together = method(digits[:700])
        alone = np.concatenate([method(digits[i : i + 1]) for i in range(0, 700, 97)])
        np.testing.assert_allclose(together[::97], alone, rtol=1e-10, atol=1e-12)


def test_scores_tell_digits_from_shuffled_digits(variational, digits):
    test = digits[1000:]
    shuffled = np.random.default_rng(0).permuted(test, axis=1)
    assert (variational.score_samples(test) > variational.score_samples(shuffled)).mean() > 0.99
    assert variational.score(test) == pytest.approx(variational.score_samples(test).mean())


def test_answers_do_not_depend_on_the_unit(digits):
    rows = digits[:, digits[:500].std(0) > 0]  # a column that never moves has no unit to go by
    model = Autoencoder("variational", epochs=5, validation=0.0)
    small, large = (clone(model).fit(unit * rows[:500]) for unit in (1, 16))
    np.testing.assert_allclose(small.transform(rows), large.transform(16 * rows), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(16 * small.reconstruct(rows), large.reconstruct(16 * rows), rtol=1e-5, atol=1e-4)
    gap = small.score_samples(rows) - large.score_samples(16 * rows)
    np.testing.assert_allclose(gap, rows.shape[1] * math.log(16), rtol=1e-6)


def test_samples_are_new_and_seeded(variational, digits):
    first = variational.sample(50)
    assert first.shape == (50, 64)
    assert (variational.sample(50) == first).all()
    assert len(np.unique(first.round(3), axis=0)) == 50
    assert (variational.sample(50, draw=True) != first).any()
    other = pickle.loads(pickle.dumps(variational)).set_params(random_state=1)
    assert (other.sample(50) != first).any()
    # Nearer to digits than values of the same columns that know nothing of each other.
    shuffled = np.random.default_rng(0).permuted(digits[:50], axis=0)
    assert variational.score(first) > variational.score(shuffled)
    chance = variational.set_params(random_state=np.random.RandomState(0))
    assert (chance.sample(2) != chance.sample(2)).any()
    variational.set_params(random_state=0)


def test_codes_without_a_prior_and_wrong_codes_are_refused(digits):
    model = Autoencoder(epochs=1).fit(digits[:100])
    with pytest.raises(InputError, match="variational"):
        model.sample()
    with pytest.raises(InputError, match="3 numbers each; this model's hold 16"):
        model.inverse_transform(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        model.inverse_transform(np.full((2, 16), np.nan))


def test_works_in_a_pipeline_under_a_grid_search():
    X, y = load_digits(return_X_y=True)
    pipeline = make_pipeline(Autoencoder(epochs=8), LogisticRegression(max_iter=200))
    grid = {"autoencoder__code_size": [2, 16], "autoencoder__preset": ["autoencoder", "variational"]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X[:1000], y[:1000])
    assert search.best_params_["autoencoder__code_size"] == 16
    assert search.score(X[1000:], y[1000:]) > 0.8
    alone = GridSearchCV(Autoencoder("variational", epochs=8), {"code_size": [1, 8]}, cv=2).fit(X[:600])
    assert alone.best_params_ == {"code_size": 8}


@pytest.mark.parametrize("colour", [False, True])
def test_images_keep_their_layout(colour):
    images = pattern(80)
    images = np.stack([images, 255 - images, images], 3) if colour else images
    settings = {"network.channels": 8, "network.hidden": 32}
    model = Autoencoder("variational", code_size=4, epochs=3, settings=settings).fit(images)
    assert model.fitted_.model.network.kind == "conv"
    codes = model.transform(images)
    assert codes.shape == (80, 4)
    assert codes.dtype == np.float32
    for rebuilt in (model.reconstruct(images), model.inverse_transform(codes), model.sample(80)):
        assert rebuilt.shape == images.shape
        assert 0 <= rebuilt.min() < rebuilt.max() <= 255
    np.testing.assert_allclose(model.transform(images[3:4]), codes[3:4], rtol=1e-4, atol=1e-5)
    assert model.score_samples(images).shape == (80,)
    with pytest.raises(InputError, match="shape"):
        model.transform(images[:, :-1])
    model.set_params(settings=None).fit(images.reshape(80, -1))
    assert model.schema_.shape == (images[0].size,)
    with pytest.raises(ValueError, match=r"dim 3|dim 4"):
        model.transform(images)


@pytest.mark.parametrize("preset", ["autoencoder", "iwae", "sparse", "vq", "discrete"])
def test_a_file_gives_the_same_numbers_and_the_same_parameters(tmp_path, digits, preset):
    frame = pd.DataFrame(digits[:200]).add_prefix("pixel")
    model = Autoencoder(preset, epochs=2, rate=0.002, settings=SMALL, plan={"schedule": "constant"}, random_state=3)
    model.fit(frame).save(tmp_path / "model.safetensors")
    loaded = Autoencoder.load(tmp_path / "model.safetensors")
    assert (loaded.transform(frame) == model.transform(frame)).all()
    assert (loaded.score_samples(frame) == model.score_samples(frame)).all()
    assert (loaded.preset, loaded.epochs, loaded.rate, loaded.random_state) == (preset, 2, 0.002, 3)
    assert loaded.plan == {"schedule": "constant"}
    assert list(loaded.feature_names_in_) == list(frame.columns)
    assert loaded.history_ == model.history_
    assert (clone(loaded).fit(frame).transform(frame) == model.transform(frame)).all()
    assert narrows.load(tmp_path / "model.safetensors").preset == preset
    with pytest.raises(InputError, match="no file"):
        Autoencoder.load(tmp_path / "nothing.safetensors")
