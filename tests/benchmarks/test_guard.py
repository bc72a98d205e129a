"""The guard against lost speed: each pair of ours and a reference does its work."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAMES = ["train-1", "train-100", "train-512", "train-convolutional", "train-dictionary", "train-denoiser"]
NAMES += ["train-compressor", "train-lossy", "train-map", "train-score", "train-iwae", "train-imputing"]
NAMES += ["train-members", "train-stream", "fit-detector", "fit-detector-fast"]
NAMES += ["score", "score-fast", "explain", "embed", "embed-sparse", "embed-map", "validate", "evaluate", "likelihood"]
NAMES += ["anneal", "generate", "measure-samples", "fit-prior", "impute", "denoise"]
NAMES += ["compress", "decompress", "compress-lossy", "compress-bits-back", "compress-table"]
NAMES += ["read-table", "unpack-table", "detect-table", "read-images", "read-batches", "checkpoint"]
NAMES += ["stream", "serve", "explore", "report"]


@pytest.fixture(scope="module")
def guard():
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("guard")
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or ".").parent == BENCHMARKS:
            del sys.modules[name]


def test_every_pair_is_here(guard):
    assert list(guard.PAIRS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_both_of_a_pair_do_as_much_work(guard, name):
    pair = guard.PAIRS[name]()
    assert pair.ours() > 0
    assert pair.reference() > 0
