"""Files from a process with plain instructions alone are those of this one, and each decodes what the other wrote."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from narrows.cli import run
from narrows.coding.container import CODED, Reader
from narrows.data.schema import Schema
from narrows.model import Model
from narrows.persist import Fitted, save
from narrows.presets import choose

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = {"likelihood.reach": 1, "likelihood.width": 8, "likelihood.depth": 2}


@pytest.fixture(scope="module")
def identity():
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("codec_identity", BENCHMARKS / "codec_identity.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for it
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(BENCHMARKS))
    del sys.modules[spec.name]


@pytest.fixture
def images(identity, here):
    """Four smooth images and two pairs, in a folder; a model of them as it begins."""
    schema = Schema((1, 8, 8), 0.0, 255.0, 1.0, "hw")
    model = Model(choose("compressor", schema, SMALL), schema, seed=0)
    save(Fitted(model.eval(), "compressor"), here / "m.safetensors")
    steps = np.random.default_rng(0).integers(-9, 10, (8, 8, 8))
    identity.save_images((128 + np.cumsum(steps, axis=2)).astype(np.uint8), here / "data")
    return here / "data"


def test_a_process_with_plain_instructions_writes_and_reads_the_same(identity, images, here):
    plain = identity.WAYS["plain instructions, one thread, batch 1, NumPy"]
    assert run(["compress", str(here / "m.safetensors"), str(images), "-o", str(here / "1.nrw")]) == 0
    assert plain.compress(here / "m.safetensors", images, here / "2.nrw") == identity.digest(here / "1.nrw")
    reader = Reader.open((here / "1.nrw").read_bytes())
    assert [reader.read(i).frame.method for i in range(len(reader.entries))] == [CODED, CODED]
    back = plain.decompress(here / "m.safetensors", here / "1.nrw", here / "2")
    assert back == identity.pixels(images)
    (here / "data" / "00000.png").write_bytes((here / "data" / "00001.png").read_bytes())
    assert back != identity.pixels(images)


def test_the_settings_take_hold(identity):
    assert set(identity.PLAIN) >= {"ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA"}
    said = identity.WAYS["plain instructions"].in_force()
    assert (said["torch"], said["threads"]) == ("DEFAULT", 2)
