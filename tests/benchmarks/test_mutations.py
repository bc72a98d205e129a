"""A few hundred mutations of compressed files, all told rightly, and a judge that would tell if one were not."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from narrows.coding.container import Reader
from narrows.coding.framing import VERSION
from narrows.coding.salvage import salvage
from narrows.compression.files import load_codec

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GOLDEN = Path(__file__).parents[1] / "golden"


def module_of(path):
    spec = importlib.util.spec_from_file_location(f"of_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mutations():
    sys.path.insert(0, str(BENCHMARKS))
    yield module_of(BENCHMARKS / "mutations.py")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module", params=["local", "bits-back"])
def case(request, mutations):
    """A golden codec, and the same with one weight changed."""
    codec = load_codec(GOLDEN / f"{request.param}-v{VERSION}.codec")
    arrays = {name: array.copy() for name, array in codec.arrays().items()}
    next(iter(arrays.values())).reshape(-1)[0] ^= 1
    other = type(codec).from_arrays(codec.schema, codec.settings(), arrays)
    return mutations.Case.of(codec, other, module_of(GOLDEN / "make_codecs.py").images(72), 8)


def test_no_mutation_ends_wrongly(mutations, case):
    found = mutations.measure(case, 84, seed=1)
    assert found["faults"] == 0
    assert found["chunks"] == 4
    ends = {sort: dict(ended["decoded"]) for sort, ended in found["ended"].items()}
    assert ends["another model"] == ends["cut"] == {"refused": 12}
    assert all(sum(ended.values()) == 12 for ended in ends.values())
    salvaged = {sort: ended["salvaged"] for sort, ended in found["ended"].items()}
    assert salvaged["chunks swapped"] == {"recovered": 12}
    assert min(salvaged[sort]["recovered"] for sort in ("bits flipped", "deleted", "spliced", "inserted")) > 6


def test_the_judge_tells_what_must_not_be(mutations, case, monkeypatch):
    judge, file = mutations.Judge(case), case.whole.file

    def ended(reading=Reader.open, **changes):
        trial = mutations.tried(case.codec, file, reading)
        for name, value in changes.items():
            setattr(trial, name, value)
        return trial

    assert judge.decoded(ended()) == "right"
    assert judge.salvaged(ended(salvage), file, case.codec) == "recovered"
    other = [block ^ (np.arange(block.size) == 7).reshape(block.shape) for block in ended().blocks]
    assert judge.decoded(ended(blocks=other)) == "wrong"
    assert judge.decoded(ended(blocks=ended().blocks[:-1])) == "wrong"
    assert judge.decoded(ended(error=IndexError())) == "crashed: IndexError"
    assert judge.decoded(ended(seconds=1e3)) == "slow"
    assert judge.decoded(ended(peak=3 * judge.honest_peak)) == "large"
    # Salvage that finds fewer chunks than are there, or gives out what another model makes of them.
    entry = Reader.open(file).entries[1]
    short = file[: entry.offset] + file[entry.offset + entry.length :]
    assert judge.salvaged(mutations.tried(case.codec, short, salvage), file, case.codec) == "missed"
    assert judge.salvaged(ended(salvage), file, case.other) == "wrong"
