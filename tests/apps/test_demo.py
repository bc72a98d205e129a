"""The demo, on the smallest images and for a moment."""

import json
import math

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from narrows import load


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("narrows.apps.demo.DATA", "digits")


def test_demo_puts_a_model_through_every_verb(small, here, done):
    told = json.loads(done("demo", "--minutes", "0.01", "-o", "out/demo", "--json"))
    folder = here / "out" / "demo"
    written = ["codes.parquet", "model.safetensors", "reconstructed.npy", "samples.png", "sheet.png"]
    assert sorted(path.name for path in folder.iterdir()) == written
    assert load(folder / "model.safetensors").preset == "variational"
    assert np.load(folder / "reconstructed.npy").shape == (360, 8, 8)
    assert pyarrow.parquet.read_table(folder / "codes.parquet").num_rows == 360
    for name in ("samples.png", "sheet.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 200
    assert (told["training_images"], told["test_images"]) == (1437, 360)
    assert told["log_likelihood_bits_per_dim"] > 0
    assert 0 <= told["active_units"] <= told["code_size"]
    assert all(math.isfinite(value) for value in told.values() if isinstance(value, float))


def test_refused(here, refused):
    (here / "demo").write_text("a file")
    refused("demo", says="could not read or write demo: File exists")
    refused("demo", "--minutes", "-1", says="minutes was given as -1.0")
