"""A model file and a detector file, made once."""

from pathlib import Path

import pytest
from small import TABLE, table, untrained

from narrows.detection.files import save_detector
from narrows.detection.fit import fit_detector


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
