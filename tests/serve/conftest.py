"""Small models in files, clients of them in this process, and one server in a process of its own."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
import torch
from served import IMAGES, TABLE, Server, images, rows
from starlette.testclient import TestClient

from narrows.data.schema import Schema
from narrows.detection.files import save_detector
from narrows.detection.fit import fit_detector
from narrows.model import Model
from narrows.persist import Fitted, save
from narrows.presets import choose
from narrows.serve import Limits
from narrows.serve.application import application
from narrows.serve.verbs import open_loaded


def _untrained(path: Path, preset: str, schema: Schema, raw: np.ndarray, *changes: str) -> None:
    torch.manual_seed(0)
    model = Model(choose(preset, schema, changes), schema)
    model.adapt(torch.from_numpy(schema.from_user(raw)))
    save(Fitted(model.eval(), preset), path)


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> Path:
    """A folder of models."""
    folder = tmp_path_factory.mktemp("served")
    detector = fit_detector(rows(0, 1000), TABLE, "detector-without-network", seed=0)
    save_detector(detector, folder / "detector.safetensors")
    small = ("network=mlp", "network.width=8", "latent.size=2")
    _untrained(folder / "table.safetensors", "variational", TABLE, rows(0), *small)
    _untrained(folder / "images.safetensors", "variational", IMAGES, images(0), *small)
    noise = ("network.channels=4", "network.stages=1")
    _untrained(folder / "denoiser.safetensors", "denoiser", IMAGES, images(0), *noise)
    hiding = ("corruption=mask", "corruption.rate=0.5")
    _untrained(folder / "filler.safetensors", "denoiser", IMAGES, images(0), *noise, *hiding)
    _untrained(folder / "compressor.safetensors", "compressor-fast", IMAGES, images(0))
    _untrained(folder / "sparse.safetensors", "sparse", IMAGES, images(0), "network=mlp", "network.width=8")
    numbers = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    plain = Schema((3,), -3.0, 3.0, names=("a", "b", "c"))
    _untrained(folder / "numbers.safetensors", "autoencoder", plain, numbers, *small)
    return folder


@pytest.fixture(scope="session")
def client(files):
    """Clients of a model by its name, in this process."""
    with contextlib.ExitStack() as stack:
        made = {}

        def of(name: str, limits: Limits | None = None, **options) -> TestClient:
            key = (name, limits, *options.items())
            if key not in made:
                app = application(open_loaded(files / f"{name}.safetensors"), limits, **options)
                made[key] = stack.enter_context(TestClient(app, raise_server_exceptions=False))
            return made[key]

        yield of


@pytest.fixture(scope="session")
def server(files):
    limits = ("--max-seconds", "3", "--max-body", "100000", "--max-connections", "100", "--max-rows", "1000")
    made = Server(files / "detector.safetensors", *limits)
    yield made
    assert made.stop() == (0, "")
