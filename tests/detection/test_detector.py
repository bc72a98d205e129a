"""The sum of views: additive, the same in any batch, and the same again from its file."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from narrows.data.schema import Column, Schema, infer_schema
from narrows.detection.detector import Detector
from narrows.detection.files import load_detector, save_detector
from narrows.detection.fit import calibration_rows, fit_detector
from narrows.detection.reasons import Typical, cell_name, number
from narrows.errors import InputError
from narrows.persist import read_tensors, write_tensors


def table(n=300, seed=0):
    random = np.random.default_rng(seed)
    latent = random.normal(size=(n, 2))
    return (latent @ random.normal(size=(2, 5)) + 0.1 * random.normal(size=(n, 5))).astype(np.float32)


FAST = "detector-without-network"  # where what is shown does not hang on the network
MIXED = Schema(
    (3,),
    0.0,
    0.0,
    names=("bytes", "service", "flag"),
    columns=(
        Column("bytes", "numeric"),
        Column("service", "category", ("dns", "ftp", "http")),
        Column("flag", "binary", ("0", "1")),
    ),
)


def mixed(n=300, seed=0):
    random = np.random.default_rng(seed)
    service = random.choice([0.0, 2.0], n, p=[0.3, 0.7])
    cells = np.stack([np.exp(random.normal(size=n) + 3 * service), service, (service > 1) * 1.0], 1)
    cells[random.random((n, 3)) < 0.05] = np.nan
    return cells.astype(np.float32)


@pytest.fixture(scope="module", params=["vector", "mixed", "images", "contaminated", "fast"])
def fitted(request):
    if request.param == "images":
        values = np.random.default_rng(0).integers(0, 256, (120, 6, 5), dtype=np.uint8)
        schema = infer_schema(values)
        return fit_detector(schema.from_user(values), schema), schema.from_user(values)
    values = table() if request.param == "vector" else mixed()
    schema = infer_schema(values) if request.param == "vector" else MIXED
    preset = "detector-fast" if request.param == "fast" else "detector"
    return fit_detector(values, schema, preset, contaminated=request.param == "contaminated"), values


def test_contributions_add_up_to_the_score(fitted):
    detector, rows = fitted[0].detector, torch.from_numpy(fitted[1])
    scores = detector.scores(rows)
    shares = detector.contributions(rows)
    assert shares.shape == (len(rows), detector.schema.size)
    torch.testing.assert_close(shares.sum(1), scores, rtol=1e-6, atol=1e-9)


def test_a_row_scores_the_same_alone_and_in_any_batch(fitted):
    detector, rows = fitted[0].detector, torch.from_numpy(fitted[1])
    scores = detector.scores(rows)
    alone = torch.cat([detector.scores(row[None]) for row in rows[:40]])
    torch.testing.assert_close(alone, scores[:40], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(detector.scores(rows.flip(0)).flip(0), scores, rtol=1e-6, atol=1e-9)


def test_a_file_brings_back_the_same_scores(fitted, tmp_path):
    path = tmp_path / "detector.safetensors"
    save_detector(fitted[0], path)
    again = load_detector(path)
    rows = torch.from_numpy(fitted[1])
    torch.testing.assert_close(again.detector.scores(rows), fitted[0].detector.scores(rows), rtol=1e-12, atol=1e-12)
    assert torch.equal(again.detector.calibration, fitted[0].detector.calibration)
    assert again.record == fitted[0].record
    assert again.schema == fitted[0].schema


def test_equal_seeds_fit_equal_detectors():
    first, second = (fit_detector(table(), infer_schema(table()), seed=3) for _ in range(2))
    for name, tensor in first.detector.state_dict().items():
        torch.testing.assert_close(second.detector.state_dict()[name], tensor, rtol=1e-12, atol=0)


def test_anomalies_stand_out():
    values = table(2000)
    fitted = fit_detector(values[:1000], infer_schema(values), FAST)
    random = np.random.default_rng(1)
    broken = np.stack([random.permutation(column) for column in values[1000:].T], 1)  # each column as ever, alone
    normal, strange = (fitted.detector.scores(torch.from_numpy(rows)) for rows in (values[1000:], broken))
    assert roc_auc_score([0] * len(normal) + [1] * len(strange), torch.cat([normal, strange])) > 0.9


def test_unseen_categories_and_gaps_raise_the_score():
    fitted = fit_detector(mixed(), MIXED, FAST)
    usual = torch.tensor([[400.0, 2.0, 1.0]])
    score = fitted.detector.scores(usual)
    for cell, value in ((1, 3.0), (1, 1.0), (2, 2.0)):  # none of the known; known but not in training; not 0 or 1
        changed = usual.clone()
        changed[0, cell] = value
        assert fitted.detector.scores(changed) > score
        assert fitted.detector.contributions(changed).argmax(1).item() == cell


def test_training_rows_and_calibration_rows_are_apart():
    """A detector of copies of a row scores the copies 0, and the one row that was held out above them."""
    values = np.arange(40, dtype=np.float32)[:, None] * np.ones(2, np.float32)
    fitted = fit_detector(values, infer_schema(values), FAST)
    assert (fitted.detector.calibration > 0).all()


@pytest.mark.parametrize(("n", "rows"), [(2, 1), (10, 1), (100, 10), (995, 99), (5000, 500), (10**6, 10_000)])
def test_calibration_rows(n, rows):
    assert calibration_rows(n) == rows


def test_a_group_of_anomalies_among_the_training_rows_is_found():
    random = np.random.default_rng(0)
    group = (random.normal(size=(20, 5)) * 0.05 + 4).astype(np.float32)
    values = np.concatenate([random.normal(size=(400, 5)).astype(np.float32), group])
    schema = infer_schema(values)
    labels = [0] * 400 + [1] * 20
    found = {}
    for contaminated in (False, True):
        fitted = fit_detector(values, schema, FAST, contaminated=contaminated)
        found[contaminated] = roc_auc_score(labels, fitted.detector.scores(torch.from_numpy(values)))
    assert found[True] > 0.99 > 0.9 > found[False]


def test_contaminated_training_takes_the_views_meant_for_it():
    values = table(60)
    for preset in (FAST, "detector-contaminated-without-network"):
        fitted = fit_detector(values, infer_schema(values), preset, contaminated=True)
        assert [view["kind"] for view in fitted.detector.spec()] == ["marginal", "covariance"]
        assert fitted.preset == preset
    fitted = fit_detector(values, infer_schema(values), FAST)
    assert [view["kind"] for view in fitted.detector.spec()] == ["local-linear", "neighbour"]


def test_refuses_a_single_row():
    with pytest.raises(InputError, match="1 row "):
        fit_detector(table(1), infer_schema(table(2)))


class TestFiles:
    def test_refuses_a_file_whose_tensors_are_others(self, tmp_path):
        path = tmp_path / "detector.safetensors"
        save_detector(fit_detector(table(), infer_schema(table()), FAST), path)
        tensors, header = read_tensors(path, what="detector")
        del tensors["detector.views.0.inverse"]
        write_tensors(path, tensors, {**header, "what": "detector"})
        with pytest.raises(InputError, match="does not hold the detector that it describes"):
            load_detector(path)

    def test_refuses_unknown_views(self, tmp_path):
        path = tmp_path / "detector.safetensors"
        save_detector(fit_detector(table(), infer_schema(table()), FAST), path)
        tensors, header = read_tensors(path, what="detector")
        write_tensors(path, tensors, {**header, "what": "detector", "views": [{"kind": "crystal-ball"}]})
        with pytest.raises(InputError, match="cannot build"):
            load_detector(path)

    def test_its_header_is_json(self, tmp_path):
        fitted = fit_detector(table(), infer_schema(table()), FAST)
        assert json.loads(json.dumps(fitted.record)) == fitted.record


class TestReasons:
    def typical(self):
        typical = Typical(MIXED)
        typical.fit(torch.from_numpy(mixed(1000)))
        return typical

    def test_names_cells_with_what_was_expected(self):
        said = self.typical().sentence(torch.tensor([9.1e6, 1.0, 1.0]), torch.tensor([5.0, 3.0, 0.1]))
        assert said.startswith("bytes = 9.1e6, expected ")
        assert said.endswith("; service = ftp, expected http or dns")

    def test_a_usual_value_is_blamed_beside_the_rest(self):
        assert self.typical().sentence(torch.tensor([300.0, 0.0, 1.0]), torch.tensor([5.0, 0.0, 0.0])) == (
            "bytes = 300, unusual beside the rest"
        )
        said = self.typical().sentence(torch.tensor([300.0, 0.0, 1.0]), torch.tensor([0.0, 5.0, 0.0]))
        assert said == "service = dns, unusual beside the rest"

    def test_a_rare_category_is_not_expected(self):
        rows = mixed(1000)
        rows[:, 1] = 0
        rows[:20, 1] = 1
        typical = Typical(MIXED)
        typical.fit(torch.from_numpy(rows))
        said = typical.sentence(torch.tensor([300.0, 1.0, 1.0]), torch.tensor([0.0, 5.0, 0.0]))
        assert said == "service = ftp, expected dns"

    def test_gaps_and_unseen_categories(self):
        said = self.typical().sentence(torch.tensor([torch.nan, 3.0, 1.0]), torch.tensor([5.0, 5.0, 0.0]))
        assert "bytes is missing" in said
        assert "service = a value not seen in training, expected http or dns" in said

    def test_pixels_have_names(self):
        grey, colour = Schema((1, 4, 3), 0, 255, 1, "hw"), Schema((3, 4, 3), 0, 255, 1, "hwc")
        assert cell_name(grey, 5) == "pixel 1,2"
        assert cell_name(colour, 17) == "pixel 1,2 of channel 1"
        assert cell_name(Schema((4,), 0, 1), 2) == "c2"

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            *((0, "0"), (4300, "4,300"), (0.0123, "0.0123"), (9.1e6, "9.1e6"), (-2.5, "-2.5"), (1e-7, "1e-7")),
            *((3, "3"), (999.7, "1,000"), (-123456.7, "-123,457"), (1.5e-5, "1.5e-5"), (2e6, "2e6")),
        ],
    )
    def test_numbers_for_a_person(self, value, written):
        assert number(value) == written

    @given(st.floats(-3.4e38, 3.4e38))
    def test_a_written_number_is_right_in_the_digits_shown(self, value):
        text = number(value).replace(",", "")
        mantissa, _, exponent = text.partition("e")
        unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
        assert float(text) == pytest.approx(value, rel=0.05, abs=0)
        assert abs(float(text) - value) <= 0.5 * unit * (1 + 1e-9)


def test_an_empty_batch_has_no_scores():
    fitted = fit_detector(table(), infer_schema(table()), FAST)
    assert fitted.detector.scores(torch.zeros(0, 5)).shape == (0,)
    assert isinstance(fitted.detector, Detector)
