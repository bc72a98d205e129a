"""Under Ray a verb writes what it writes without: the same outputs, byte for byte, or to the last digits of codes."""

from pathlib import Path

import numpy as np
import pytest

from narrows import read
from narrows.apps import engines

SHARDS = 2
ENGINE = ("--engine", "ray", "--workers", "1")


@pytest.fixture(scope="module")
def ray():
    """One Ray for all tests: it takes long to start, and a verb starts none where there is one."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'narrows[ray]'")
    with engines._cluster(2, None):
        yield


@pytest.fixture
def shards(here):
    """A folder of arrays of images."""
    (here / "shards").mkdir()
    for place, images in enumerate(np.split(read("digits:test").values[:8], SHARDS)):
        np.save(here / "shards" / f"part-{place}.npy", images)
    return here / "shards"


def outputs(folder: str) -> dict[str, Path]:
    return {path.name: path for path in Path(folder).glob("part-*")}


def run_twice(done, *words: object) -> tuple[dict[str, Path], dict[str, Path]]:
    """Outputs by a verb in this process, and under Ray."""
    done(*words, "-o", "here")
    done(*words, "-o", "there", *ENGINE)
    here, there = outputs("here"), outputs("there")
    assert len(here) == SHARDS
    assert here.keys() == there.keys()
    return here, there


def test_codes_are_the_same(ray, models, shards, done):
    here, there = run_twice(done, "embed", models / "digits.safetensors", shards)
    for name, path in here.items():
        np.testing.assert_allclose(np.load(there[name]), np.load(path), rtol=1e-6, atol=1e-6)


def test_compressed_files_are_the_same(ray, models, shards, done):
    here, there = run_twice(done, "compress", models / "digits.safetensors", shards, "--plain")
    for name, path in here.items():
        assert there[name].read_bytes() == path.read_bytes()


def test_clean_images_are_the_same(ray, shards, done):
    words = ("--epochs", "1", "--set", "corruption=gaussian", "network=mlp", "network.width=8", "latent.size=4")
    done("train", "digits", "-o", "m.safetensors", *words)
    here, there = run_twice(done, "denoise", "m.safetensors", shards)
    for name, path in here.items():
        assert there[name].read_bytes() == path.read_bytes()
