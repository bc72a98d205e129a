"""A model file and a detector file, made once."""

from pathlib import Path

import pytest
from small import HELD, IMAGES, TABLE, images, packed, table, untrained

from narrows.cli import run
from narrows.detection.files import save_detector
from narrows.detection.fit import fit_detector
from narrows.export import export_graphs
from narrows.model import Model


@pytest.fixture(scope="session")
def plain(tmp_path_factory) -> Path:
    """A small autoencoder of a table."""
    path = tmp_path_factory.mktemp("plain") / "m.safetensors"
    untrained(path, "autoencoder", TABLE, table(0), "latent.size=2", "network.width=8")
    return path


@pytest.fixture(scope="session")
def detector(tmp_path_factory) -> Path:
    """A detector of a table."""
    path = tmp_path_factory.mktemp("detector") / "d.safetensors"
    save_detector(fit_detector(table(0).numpy(), TABLE, "detector-without-network", seed=0), path)
    return path


@pytest.fixture(scope="session")
def exported(tmp_path_factory, detector) -> Path:
    """A folder of the detector's graph, with a page that nothing runs."""
    here = tmp_path_factory.mktemp("exported")
    line = ["export", str(detector), "-o", str(here / "graphs"), "--web", str(packed(here / "package.tgz", HELD))]
    assert run(line) == 0
    return here / "graphs"


@pytest.fixture(scope="session")
def of_images(tmp_path_factory) -> tuple[Model, Path]:
    """A small model of images, and the folder of its graphs."""
    here = tmp_path_factory.mktemp("of_images")
    changes = ("latent.size=2", "network=mlp", "network.width=8")
    model = untrained(here / "m.safetensors", "variational", IMAGES, images(0), *changes)
    export_graphs(here / "m.safetensors", here / "graphs")
    return model, here / "graphs"
