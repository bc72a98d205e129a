"""The scikit-learn face of the detector."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from narrows import AnomalyDetector, InputError


@parametrize_with_checks([AnomalyDetector(), AnomalyDetector("detector-without-network", contaminated=True)])
def test_scikit_learn_s_contract(estimator, check):
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
