"""What codes keep: the figures are scikit-learn's of the same codes, on rows that no model and no classifier knew."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import trustworthiness
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from narrows.data.dataset import from_array
from narrows.errors import InputError
from narrows.evaluate import check_codes, embedding, errors
from narrows.evaluate.components import KernelComponents
from narrows.fit import fit
from narrows.inference import codes
from narrows.plan import Plan
from narrows.tensors import tensor_of

X, Y = load_digits(return_X_y=True)
X = X.astype(np.uint8).reshape(-1, 8, 8)


@pytest.fixture(scope="module")
def known():
    return from_array(X[:500], labels=Y[:500], source="known")


@pytest.fixture(scope="module")
def fresh(known):
    return from_array(X[500:900], labels=Y[500:900], source="fresh", schema=known.schema)


@pytest.fixture(scope="module")
def fitted(known):
    settings = ["network=mlp", "network.width=32", "latent.size=5", "likelihood=gaussian"]
    return fit(known.values, known.schema, settings=settings, plan=Plan(epochs=3))


@pytest.fixture(scope="module")
def found(fitted, fresh, known):
    return check_codes(fitted, fresh, known)


def own_codes(fitted, data):
    return codes(fitted.model, tensor_of(data.values)).numpy()


def probe():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def test_trustworthiness_and_continuity_are_those_of_scikit_learn(fitted, fresh, found):
    x, z = fresh.values.reshape(len(fresh), -1).astype(float), own_codes(fitted, fresh)
    own = found.codes[0]
    # Whole numbers have equal distances, which the rounding of standardised ones tells apart.
    assert own.trustworthiness == pytest.approx(trustworthiness(x, z, n_neighbors=5), abs=1e-3)
    assert own.continuity == pytest.approx(trustworthiness(z, x, n_neighbors=5), abs=1e-3)


def test_accuracies_are_those_of_scikit_learn_learnt_from_the_reference_rows(fitted, fresh, known, found):
    z, there = own_codes(fitted, fresh), own_codes(fitted, known)
    nearest = KNeighborsClassifier(5).fit(there, known.labels)
    assert found.codes[0].neighbour_accuracy == pytest.approx(nearest.score(z, fresh.labels))
    assert found.codes[0].probe_accuracy == pytest.approx(probe().fit(there, known.labels).score(z, fresh.labels))
    assert "accuracies are those of these rows, learnt from 500 training rows" in found.notes


def test_pca_is_that_of_scikit_learn_fitted_to_the_rows_of_the_model(fitted, fresh, known, found):
    """The model's training rows are those given less the held-out ones, which move the components by a little."""
    own, pca = found.codes[0], found.codes[1]
    told = errors(fitted, tensor_of(fresh.values))
    assert (own.squared_error, pca.squared_error) == (told["reconstruction_error"], told["pca_error"])
    x, there = (data.values.reshape(len(data), -1) / 255 for data in (fresh, known))
    oracle = PCA(5).fit(there)
    z = oracle.transform(x)
    assert pca.squared_error == pytest.approx(np.square(x - oracle.inverse_transform(z)).mean(), rel=0.03)
    assert pca.trustworthiness == pytest.approx(trustworthiness(x, z, n_neighbors=5), abs=0.01)
    nearest = KNeighborsClassifier(5).fit(oracle.transform(there), known.labels)
    assert pca.neighbour_accuracy == pytest.approx(nearest.score(z, fresh.labels), abs=0.02)


def test_kernel_pca_has_the_codes_of_scikit_learn_and_decodes_better_than_the_mean(found, fresh, known):
    x, there = (data.values.reshape(len(data), -1) / 255 for data in (fresh, known))
    ours = KernelComponents(there[:200], 5, 1.0, 1e-2)
    gamma = 1 / np.median([np.square(a - b).sum() for i, a in enumerate(there[:200]) for b in there[:i]])
    oracle = KernelPCA(5, kernel="rbf", gamma=gamma).fit(there[:200])
    np.testing.assert_allclose(np.abs(ours.codes(x)), np.abs(oracle.transform(x)), atol=1e-6)
    kernel = found.codes[2]
    assert kernel.codes == "kernel PCA"
    assert kernel.squared_error < 0.9 * found.codes[1].squared_error  # digits are no plane
    assert np.square(x - there.mean(0)).mean() > ours.squared_error(x)


def test_without_reference_rows_labels_are_told_by_cross_validation(fitted, fresh):
    found = check_codes(fitted, fresh, seed=3)
    folds = StratifiedKFold(5, shuffle=True, random_state=3)
    z = own_codes(fitted, fresh)
    for classifier, figure in (
        (KNeighborsClassifier(5), found.codes[0].neighbour_accuracy),
        (probe(), found.codes[0].probe_accuracy),
    ):
        told = cross_val_predict(classifier, z, fresh.labels, cv=folds)
        assert figure == pytest.approx((told == fresh.labels).mean())
    assert [kept.codes for kept in found.codes] == ["this model (autoencoder)", "PCA"]
    assert any("no kernel PCA" in note for note in found.notes)


def test_no_row_tells_its_own_label(fitted, known):
    """Of codes with a label of chance, the nearest neighbour other than the row itself knows nothing."""
    rows = dataclasses.replace(known, values=known.values[:480], labels=np.random.default_rng(0).integers(0, 2, 480))
    accuracy = check_codes(fitted, rows).codes[0].neighbour_accuracy
    assert abs(accuracy - 0.5) < 5 * 0.5 / 480**0.5  # five standard errors; 1 with the row itself, or 0.8 of five


def test_rows_that_the_model_was_trained_on_are_refused(fitted, known):
    with pytest.raises(InputError, match=r"trained on known.*--train"):
        check_codes(fitted, known)


def test_rows_among_the_reference_rows_are_left_out(fitted, fresh, known):
    both = dataclasses.replace(
        fresh,
        values=np.concatenate([known.values[:50], fresh.values]),
        labels=np.concatenate([known.labels[:50], fresh.labels]),
    )
    found, alone = check_codes(fitted, both, known), check_codes(fitted, fresh, known)
    assert found.rows == 400
    assert found.codes == alone.codes
    assert "50 of 450 rows are also in known and were left out" in found.notes
    with pytest.raises(InputError, match="all rows of fresh are among those of known"):
        check_codes(fitted, dataclasses.replace(fresh, values=known.values[:50], labels=known.labels[:50]), known)


def test_other_reference_rows_than_those_trained_on_are_told_of(fitted, fresh, known):
    half = dataclasses.replace(known, values=known.values[::2], labels=known.labels[::2])
    assert "known is not what the model was trained on" in check_codes(fitted, fresh, half).notes


def labelled(data, labels):
    return dataclasses.replace(data, labels=np.array(labels))


def test_rows_without_a_label_are_left_out_and_told_of(fitted, fresh):
    z, n = own_codes(fitted, fresh), len(fresh)
    some = np.arange(n) % 4 > 0
    for labels in (np.where(some, fresh.labels, np.nan), np.where(some, fresh.labels.astype(str), "")):
        found = check_codes(fitted, labelled(fresh, labels))
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        told = cross_val_predict(KNeighborsClassifier(5), z[some], fresh.labels[some], cv=folds)
        assert found.codes[0].neighbour_accuracy == pytest.approx((told == fresh.labels[some]).mean())
        assert f"{(~some).sum()} of {n} rows have no label; accuracies leave them out" in found.notes


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (None, "there are no labels"),
        ("same", "at least two classes"),
        ("numbers", "at least two classes"),
        ("missing", "at least two classes"),
    ],
)
def test_no_classes_no_accuracies(fitted, fresh, labels, says):
    n = len(fresh)
    given = {"same": np.zeros(n), "numbers": np.arange(n) / 7, "missing": np.full(n, np.nan), None: None}[labels]
    found = check_codes(fitted, dataclasses.replace(fresh, labels=given))
    assert any(says in note for note in found.notes)
    assert found.codes[0].neighbour_accuracy is found.codes[0].probe_accuracy is None
    assert found.codes[0].trustworthiness is not None


def test_small_classes_are_left_out_and_told_of(fitted, fresh):
    labels = fresh.labels % 3
    labels[:4] = 7
    assert any(
        "4 rows are of classes of fewer than 5 rows" in one
        for one in check_codes(fitted, labelled(fresh, labels)).notes
    )


def test_classes_may_be_any_numbers_or_names_but_of_one_sort(fitted, fresh, known):
    plain = check_codes(fitted, fresh).codes[0].neighbour_accuracy
    for labels in (fresh.labels / 8 + 0.1, np.char.add("kind ", fresh.labels.astype(str)), fresh.labels > 4):
        found = check_codes(fitted, labelled(fresh, labels)).codes[0].neighbour_accuracy
        assert found == pytest.approx(plain) if labels.dtype != bool else found > plain
    with pytest.raises(InputError, match="some labels are text"):
        check_codes(fitted, labelled(fresh, fresh.labels.astype(str)), known)


def test_many_rows_are_thinned_out_by_the_seed(fitted, fresh, monkeypatch):
    monkeypatch.setattr(embedding, "COMPARED_ROWS", 100)
    one, again, other = (check_codes(fitted, fresh, seed=seed).codes[0].trustworthiness for seed in (0, 0, 1))
    assert one == again != other
    assert "trustworthiness and continuity are those of 100 rows, drawn by the seed" in check_codes(fitted, fresh).notes


def test_few_rows_have_no_neighbourhoods(fitted, fresh):
    few = dataclasses.replace(fresh, values=fresh.values[:10], labels=fresh.labels[:10])
    found = check_codes(fitted, few)
    assert found.codes[0].trustworthiness is None
    assert found.codes[0].squared_error > 0


def test_more_numbers_than_the_data_have():
    rows = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)
    known = from_array(rows[:60])
    fitted = fit(known.values, known.schema, settings=["network.width=8", "latent.size=7"], plan=Plan(epochs=1))
    found = check_codes(fitted, from_array(rows[60:], schema=known.schema), known)
    assert found.code_size == 7
    assert found.codes[1].squared_error < 1e-10
    assert any(note.startswith("PCA has 3 components") for note in found.notes)


def test_a_model_without_codes_is_refused(known, fresh):
    settings = ["network=shallow", "network.channels=2", "latent=whole", "likelihood=gaussian"]
    denoiser = fit(known.values[:40], known.schema, settings=settings, plan=Plan(epochs=1))
    with pytest.raises(InputError, match=r"is no code, so there is none to measure"):
        check_codes(denoiser, fresh)


def test_equal_codes_are_measured_alike(fitted, found, fresh, known):
    assert check_codes(fitted, fresh, known) == found
    assert torch.is_grad_enabled()
