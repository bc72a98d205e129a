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


def put_shards(images: np.ndarray) -> str:
    """Write images into a folder of arrays; return its name."""
    Path("shards").mkdir()
    for place, some in enumerate(np.split(images, SHARDS)):
        np.save(f"shards/part-{place}.npy", some)
    return "shards"


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


def test_codes_are_the_same(ray, models, done):
    shards = put_shards(np.load(models / "bits.npy")[:8])
    here, there = run_twice(done, "embed", models / "bits.safetensors", shards)
    for name, path in here.items():
        np.testing.assert_allclose(np.load(there[name]), np.load(path), rtol=1e-6, atol=1e-6)


def test_compressed_files_are_the_same(ray, models, done):
    shards = put_shards(np.load(models / "bits.npy")[:8])
    here, there = run_twice(done, "compress", models / "bits.safetensors", shards, "--plain")
    for name, path in here.items():
        assert there[name].read_bytes() == path.read_bytes()


def test_clean_images_are_the_same(ray, done):
    words = ("--epochs", "1", "--set", "corruption=gaussian", "network=mlp", "network.width=8", "latent.size=4")
    done("train", "digits", "-o", "m.safetensors", *words)
    here, there = run_twice(done, "denoise", "m.safetensors", put_shards(read("digits:test").values[:8]))
    for name, path in here.items():
        assert there[name].read_bytes() == path.read_bytes()
