"""The scikit-learn face of the detector."""

import warnings
from datetime import date, timedelta

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from narrows import AnomalyDetector, InputError, read
from narrows.detection import masked

pytestmark = pytest.mark.early


@parametrize_with_checks([AnomalyDetector(), AnomalyDetector("detector-without-network", contaminated=True)])
def test_scikit_learn_s_contract(estimator, check, monkeypatch):
    """However well the detector has learnt: the fewest steps do, those of very wide tables."""
    monkeypatch.setattr(masked, "CELLS", 1)
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.data[data.target != 9].astype(np.float32), data.data[data.target == 9].astype(np.float32)


@pytest.fixture(scope="module")
def detector(digits):
    return AnomalyDetector().fit(digits[0][:1200])


def test_faces_agree_with_one_another(detector, digits):
    rows = np.concatenate([digits[0][1200:], digits[1]])
    scores, p = detector.score_samples(rows), detector.p_values(rows)
    np.testing.assert_allclose(detector.decision_function(rows), scores - detector.offset_)
    assert ((detector.predict(rows) == -1) == (p <= detector.false_alarm_rate_)).all()
    np.testing.assert_allclose(detector.contributions(rows).sum(1), -scores, rtol=1e-6)
    assert len(detector.reasons(rows[:3])) == 3


def test_other_digits_are_found(detector, digits):
    assert (detector.p_values(digits[1]) < 0.1).mean() > 0.5
    assert detector.discoveries(np.concatenate([digits[0][1200:], digits[1]]), 0.2)[-len(digits[1]) :].mean() > 0.3


def test_the_rate_is_the_usual_one_or_the_finest(digits):
    assert AnomalyDetector().fit(digits[0][:600]).false_alarm_rate_ == 0.05
    assert AnomalyDetector().fit(digits[0][:50]).false_alarm_rate_ == pytest.approx(2 / 6)
    with pytest.raises(InputError, match="needs 99 calibration rows, and 5 were held out"):
        AnomalyDetector(false_alarm_rate=0.01).fit(digits[0][:50])


def test_a_file_and_a_pipeline(detector, digits, tmp_path):
    detector.save(tmp_path / "d.safetensors")
    again = AnomalyDetector.load(tmp_path / "d.safetensors")
    np.testing.assert_allclose(again.score_samples(digits[1]), detector.score_samples(digits[1]), rtol=1e-12)
    assert clone(again).get_params() == again.get_params()
    marks = make_pipeline(StandardScaler(), AnomalyDetector()).fit(digits[0]).predict(digits[1])
    assert set(marks) <= {-1, 1}


def test_images_have_a_map():
    images = load_digits().images.astype(np.uint8)
    detector = AnomalyDetector().fit(images[:1000])
    changed = images[1000:1010].copy()
    changed[:, 3, 4] = 255
    shares = detector.contributions(changed).reshape(-1, 8, 8)
    assert (shares.reshape(10, -1).argmax(1) == 3 * 8 + 4).all()


# --- frames ----------------------------------------------------------------------------------------------------------

FAST = "detector-without-network"
FRAMES = [pa.table, lambda columns: pa.table(columns).to_pandas(), lambda columns: pl.from_arrow(pa.table(columns))]


def flows(n: int = 600, seed: int = 0) -> dict[str, list[object]]:
    """Columns of text, categories, numbers with gaps, dates, and one that never changes."""
    random = np.random.default_rng(seed)
    service = random.choice(["http", "dns", "smtp"], n)
    sent = np.exp(random.normal(size=n) + (service == "http"))
    return {
        "sent": [None if random.random() < 0.1 else float(number) for number in sent],
        "service": service.tolist(),
        "day": [date(2024, 1, 1) + timedelta(int(day)) for day in random.integers(0, 99, n)],
        "version": [4] * n,
        "hops": random.integers(0, 9, n).tolist(),
    }


@pytest.fixture(scope="module")
def of_flows():
    with pytest.warns(UserWarning, match="column") as told:
        detector = AnomalyDetector(FAST).fit(pa.table(flows()))
    assert [str(warning.message) for warning in told] == [
        "column 'day' holds dates or times and was left out",
        "column 'version' never changes in training: any other value raises the score",
    ]
    return detector


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.filterwarnings("ignore:column")
def test_frames_of_text_gaps_and_dates(of_flows, frame):
    detector = AnomalyDetector(FAST).fit(frame(flows()))
    assert list(detector.feature_names_in_) == ["sent", "service", "version", "hops"]
    assert detector.n_features_in_ == 4
    further = flows(50, seed=1)
    scores = detector.score_samples(frame(further))
    assert (scores == of_flows.score_samples(pa.table(further))).all()
    assert (detector.score_samples(frame(dict(reversed(further.items())))) == scores).all()
    assert detector.contributions(frame(further)).shape == (50, 4)
    assert set(detector.predict(frame(further))) <= {-1, 1}


@pytest.mark.parametrize("frame", FRAMES)
def test_a_column_that_is_missing_or_renamed_is_named(of_flows, frame):
    further = flows(5)
    hops = further.pop("hops")
    with pytest.raises(InputError, match="the frame lacks the column 'hops' that the model was trained on"):
        of_flows.score_samples(frame(further))
    with pytest.raises(InputError, match=r"lacks the column 'hops'.* did you mean 'hop'"):
        of_flows.predict(frame({**further, "hop": hops}))


def test_a_value_other_than_the_only_one_is_an_alarm(of_flows):
    further = flows(50, seed=2)
    usual = -of_flows.score_samples(pa.table(further))
    changed = -of_flows.score_samples(pa.table({**further, "version": [6] * 50}))
    assert (changed > usual + 3).all()
    assert (of_flows.predict(pa.table({**further, "version": [6] * 50})) == -1).all()
    assert all(
        "version = 6, expected 4" in said for said in of_flows.reasons(pa.table({**further, "version": [6] * 50}))
    )


def test_a_data_set_is_scored_by_the_names_of_its_columns_and_without_a_warning():
    random = np.random.default_rng(0)
    table = pa.table({name: random.normal(size=200) for name in "abc"})
    detector = AnomalyDetector(FAST).fit(read(table))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = detector.score_samples(read(table))
        assert (detector.score_samples(read(table.select(["c", "a", "b"]))) == scores).all()
    with pytest.raises(InputError, match="lacks the column 'b'"):
        detector.score_samples(read(table.select(["c", "a"])))
