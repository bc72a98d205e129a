"""The doctor finds what is wrong with a run, names a remedy, and finds nothing in a healthy one."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from narrows.data.schema import infer_schema
from narrows.data.transforms import Transform
from narrows.doctor import about_data, broken, examine, first_bad_term
from narrows.fit import fit
from narrows.model import Model
from narrows.plan import Plan
from narrows.presets import choose
from narrows.values import Finding


def digits() -> np.ndarray:
    return load_digits().data[:600].astype("uint8")


def table(n: int = 400, noise: float = 0.3) -> np.ndarray:
    random = np.random.default_rng(0)
    clean = random.normal(size=(n, 3)) @ random.normal(size=(3, 12))
    return (clean + noise * random.normal(size=(n, 12))).astype("float32")


def findings(rows: np.ndarray, preset: str = "autoencoder", settings=None, kind=None, **plan) -> dict[str, dict]:
    """What the doctor found of a short training, by name."""
    plan = Plan(**{"epochs": 15, "batch_size": 32, "rate": 5e-3, "precision": "float32"} | plan)
    schema = infer_schema(rows, kind=kind)
    fitted = fit(rows, schema, preset, {"network.width": 32, "latent.size": 3} | (settings or {}), plan)
    return {finding["name"]: finding for finding in fitted.record["findings"]}


HEALTHY = {
    "autoencoder": {},
    "denoising": {},
    "variational": {},
    "iwae": {},
    "sparse": {"latent.size": 6, "latent.k": 3},
    "autoencoder, l1": {"latent": "l1", "latent.weight": 0.01, "latent.size": 4},
    "autoencoder, kl-sparse": {"latent": "kl-sparse", "latent.rho": 0.3},
}


@pytest.mark.parametrize("name", HEALTHY)
def test_finds_nothing_in_a_healthy_run(name):
    assert findings(table(), name.partition(",")[0], HEALTHY[name]) == {}


def test_finds_nothing_in_healthy_images():
    assert findings(digits(), "variational", {"latent.size": 4}, kind="levels") == {}


def test_a_collapsed_code_is_found():
    found = findings(table(), "variational", {"objective.beta": 1000.0})
    assert found.keys() == {"collapse"}
    assert found["collapse"]["what"] == "3 of 3 code units do not move with the data"
    assert "objective.beta" in found["collapse"]["remedy"]
    assert "objective.warm_up" in found["collapse"]["remedy"]


@pytest.mark.parametrize("settings", [{}, {"latent": "sphere"}])
def test_a_code_larger_than_the_rows_is_found(settings):
    found = findings(table()[:, :3], settings={"latent.size": 4, **settings})
    assert found["wide code"]["what"] == "a code of 4 numbers for the 3 that are seen of a row need leave nothing out"


@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        ("denoising", {}),
        ("sparse", {"latent.k": 2}),
        ("autoencoder", {"latent": "kl-sparse"}),
        ("variational", {}),
        ("autoencoder", {"latent.size": 3}),
    ],
)
def test_a_code_that_has_to_leave_something_out_may_be_of_any_size(preset, settings):
    assert "wide code" not in findings(table()[:, :3], preset, {"latent.size": 4, **settings})


def test_some_idle_units_are_not_called_collapse():
    found = findings(table(), "variational", {"latent.size": 12}, epochs=40)
    assert found.keys() == {"idle units"}
    idle = int(found["idle units"]["what"].split()[0])
    assert found["idle units"]["what"] == f"{idle} of 12 code units do not move with the data"
    assert 1 <= idle <= 9  # the table has three factors


def test_dead_units_of_a_sparse_code_are_found():
    found = findings(table(), settings={"latent": "l1", "latent.weight": 100.0})
    assert found.keys() == {"collapse"}
    assert "latent.weight" in found["collapse"]["remedy"]


def test_entries_of_a_codebook_that_are_never_picked_are_found():
    settings = {"latent.vectors": 2, "latent.dim": 2, "latent.entries": 200}
    rows = table(60)
    plan = Plan(epochs=3, precision="float32", validation=0.0)
    fitted = fit(rows, infer_schema(rows), "vq", {"network.width": 16, **settings}, plan)
    (finding,) = fitted.record["findings"]
    # 60 rows of two vectors pick at most 120 of the 200 entries.
    assert finding["name"] == "idle units"
    assert 80 <= int(finding["what"].split()[0]) < 200
    assert "latent.entries" in finding["remedy"]


def test_sigma_at_its_floor_is_found_where_a_point_code_fits_exactly():
    """Whole numbers that one factor explains: sigma falls to that of rounding, below which nothing can be told."""
    random = np.random.default_rng(0)
    rows = np.repeat(random.integers(0, 5, (300, 1)), 6, axis=1).astype("float32")
    settings = {"network.depth": 0, "latent.size": 1, "likelihood": "gaussian"}
    found = findings(rows, settings=settings, kind="levels", epochs=60, rate=0.03, patience=100)
    assert found.keys() == {"sigma at its floor"}
    assert f"{1 / np.sqrt(12) / rows.std():.2g} standard deviations" in found["sigma at its floor"]["what"]
    assert "likelihood.sigma" in found["sigma at its floor"]["remedy"]
    fixed = {**settings, "likelihood.sigma": 0.1}
    assert findings(rows, settings=fixed, kind="levels", epochs=20) == {}
    noisy = random.integers(0, 5, (300, 6)).astype("float32")
    assert findings(noisy, settings=settings, kind="levels", epochs=20) == {}


def test_sigma_of_real_values_rests_on_a_thousandth_of_their_deviation():
    schema = infer_schema(table())
    model = Model(choose("autoencoder", schema, {"network.depth": 0, "latent.size": 3}), schema)
    model.adapt(torch.from_numpy(table()))
    for log_sigma, names in ((-9.0, ["sigma at its floor"]), (-5.0, [])):
        with torch.no_grad():
            model.likelihood.log_sigma.fill_(log_sigma)
        assert [finding.name for finding in examine(model, torch.from_numpy(table(50)))] == names


# --- The data --------------------------------------------------------------------------------------------------------


def told_of(rows: np.ndarray, names: tuple[str, ...] | None = None) -> list[Finding]:
    transform = Transform(infer_schema(rows, names=names), grid=False)
    transform.fit(torch.from_numpy(rows))
    return list(about_data(transform))


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6 / 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constant_columns_are_named_whatever_their_value(value, dtype):
    """The mean of many equal numbers need not equal them to the last bit."""
    rows = table().astype(dtype)
    rows[:, [1, 4]] = value
    (finding,) = told_of(rows, tuple("abcdefghijkl"))
    assert (finding.name, finding.what) == ("constant columns", "b, e never change in the training rows")
    assert "--ignore" in finding.remedy
    rows[:, 4] = table()[:, 4]
    (finding,) = told_of(rows)
    assert finding.what == "column 1 never changes in the training rows"
    rows[:, 2:8] = value
    (finding,) = told_of(rows)
    assert finding.what.startswith("column 1, column 2, column 3 and 4 more never change")


def test_units_far_apart_are_told_and_those_alike_are_not():
    assert told_of(table()) == []
    assert told_of(table() * 1e6 + 5e6) == []
    rows = table()
    rows[:, 3] *= 1e4
    (finding,) = told_of(rows)
    assert finding.name == "units"
    low, high = rows.std(0).min(), rows.std(0).max()
    assert f"from {low:.2g} to {high:.2g}" in finding.what
    # One column that never changes is not one of a tiny unit.
    rows = table()
    rows[:, 3] = 0.1
    assert [finding.name for finding in told_of(rows)] == ["constant columns"]


def test_a_constant_channel_of_images_is_called_one():
    images = np.random.default_rng(0).integers(0, 255, (30, 8, 8, 3)).astype("float32") + 0.5
    images[..., 2] = 7
    schema = infer_schema(images)
    transform = Transform(schema, grid=False)
    transform.fit(torch.from_numpy(np.ascontiguousarray(schema.from_user(images))))
    (finding,) = about_data(transform)
    assert finding.what == "channel 2 never changes in the training rows"


def test_one_row_is_looked_at_without_a_complaint():
    rows = table()
    schema = infer_schema(rows)
    model = Model(choose("variational", schema, {"network.width": 4, "latent.size": 2}), schema)
    model.adapt(torch.from_numpy(rows))
    assert examine(model, torch.from_numpy(rows[:1])) == []


# --- What is no longer a number --------------------------------------------------------------------------------------

GOOD = [3.0, 2.0, 1.0]
nan, inf = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("rows", "term"),
    [
        ([GOOD, [nan, nan, 1.0], [nan, nan, nan]], "reconstruction term"),
        ([GOOD, [inf, inf, 1.0]], "reconstruction term"),
        ([[nan, 2.0, inf], [nan, nan, nan]], "rate (KL or price of the code)"),
        ([GOOD, GOOD, [nan, nan, nan], [nan, nan, 1.0]], "gradient, which spoilt the weights"),
        ([GOOD, GOOD], "gradient, which spoilt the weights"),
        ([GOOD, [inf, 2.0, 1.0]], "objective"),
    ],
)
def test_names_the_term_that_failed_first(rows, term):
    table = torch.tensor(rows).T
    assert first_bad_term(table) == term
    finding = broken(table, 0.25)
    assert finding.name == "not a number"
    assert finding.what == f"training stopped because the {term} stopped being finite; the last good weights are kept"
    assert "--rate 0.03" in finding.remedy or "--rate 0.02" in finding.remedy
