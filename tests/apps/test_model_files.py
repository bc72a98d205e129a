"""Model files that are torn, altered, foreign, newer or forged: refused in one line, and quickly."""

import json
import random
import subprocess
import sys

import pytest
import safetensors.torch
import torch

from narrows import InputError, load
from narrows.persist import FORMAT, HEADER_KEY, fingerprint, read_tensors


@pytest.fixture
def model(models, here):
    """A copy to be spoilt."""
    path = here / "m.safetensors"
    path.write_bytes((models / "point.safetensors").read_bytes())
    return path


def forge(path, change, tensors=None):
    """Change the header of a model file and give it the fingerprint that fits."""
    own, header = read_tensors(path, what="model")
    tensors = own if tensors is None else tensors(own)
    change(header)
    header["fingerprint"] = fingerprint(tensors, header)
    safetensors.torch.save_file(tensors, path, metadata={HEADER_KEY: json.dumps(header)})


def parts_of(path):
    """Where the header of the format ends, our header stands, and the numbers begin."""
    whole = path.read_bytes()
    return whole, 8 + int.from_bytes(whole[:8], "little")


def test_the_untouched_copy_is_taken(model, done):
    assert json.loads(done("evaluate", model, "digits:test", "--rows", 5, "--json"))["rows"] == 5


@pytest.mark.parametrize("kept", [0, 1, 8, 100, -5000, -1])
def test_torn(model, refused, kept):
    whole, _ = parts_of(model)
    model.write_bytes(whole[:kept])
    refused("evaluate", model, "digits", says="is not a narrows model file, or was cut short")


def test_one_bit_flipped_anywhere(model):
    whole, begins = parts_of(model)
    luck = random.Random(0)
    places = [*range(9), *(luck.randrange(begins) for _ in range(150)), *range(begins, len(whole), 997), len(whole) - 1]
    for place in places:
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << luck.randrange(8)
        model.write_bytes(spoilt)
        with pytest.raises(InputError, match=r"is not a narrows model file|was altered after it was written"):
            load(model)


@pytest.mark.parametrize("where", ["size", "header", "numbers", "last"])
def test_one_bit_flipped(model, refused, where):
    whole, begins = parts_of(model)
    spoilt = bytearray(whole)
    place = {"size": 0, "header": whole.index(b"latent") + 1, "numbers": begins + 50, "last": len(whole) - 1}[where]
    spoilt[place] ^= 4
    model.write_bytes(spoilt)
    refused("embed", model, "digits", "-o", "codes.csv", says="m.safetensors ")


def test_foreign(here, refused):
    (here / "text.safetensors").write_text("no model at all\n" * 50)
    safetensors.torch.save_file({"weight": torch.ones(3)}, here / "other.safetensors")
    safetensors.torch.save_file({"weight": torch.ones(3)}, here / "tagged.safetensors", metadata={HEADER_KEY: "[1]"})
    for name in ("text", "other", "tagged"):
        refused("generate", f"{name}.safetensors", "-o", "s.png", says="is not a narrows model file")


def test_checkpoint_for_a_model(here, done, refused):
    small = ["--epochs", "1", "--set", "network=mlp", "network.width=8"]
    done("train", "digits", "-o", "m.safetensors", "--checkpoint", "kept", *small)
    refused("evaluate", "kept/checkpoint.safetensors", "digits", says="is a checkpoint, not a narrows model file")
    (here / "kept" / "checkpoint.safetensors").write_bytes((here / "m.safetensors").read_bytes())
    words = ["train", "digits", "-o", "n.safetensors", "--checkpoint", "kept", "--resume", *small]
    refused(*words, says="is not a narrows checkpoint file")


def test_newer_format(model, refused):
    forge(model, lambda header: header.update(format=FORMAT + 1, version="9.9"))
    refused("evaluate", model, "digits", says=f"is of format {FORMAT + 1}, written by narrows 9.9")


def put(*path, value):
    def change(header):
        for name in path[:-1]:
            header = header[name]
        header[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("spec", "latent", "size", value=-1),
        put("spec", "latent", "size", value="many"),
        put("spec", "latent", "kind", value="gaussian"),
        put("spec", "latent", "kind", value="no such"),
        put("spec", "latent", value=5),
        put("spec", value={}),
        put("schema", value=[]),
        put("schema", value={}),
        put("schema", "shape", value=[8, 8]),
        put("schema", "shape", value=[-1, 8, 8]),
        put("schema", "shape", value="8x8"),
        put("schema", "high", value="high"),
        put("schema", "low", value=None),
        put("schema", "step", value=0),
        put("schema", "names", value=5),
        put("schema", "bogus", value=1),
    ],
)
def test_forged_headers(model, refused, change):
    forge(model, change)
    refused("evaluate", model, "digits", says="m.safetensors d")


@pytest.mark.parametrize("name", ["spec", "schema", "binarize", "preset", "record"])
def test_headers_that_lack_something(model, refused, name):
    forge(model, lambda header: header.pop(name))
    refused("evaluate", model, "digits", says=f"describes a model that this version cannot build ('{name}')")


@pytest.mark.parametrize(
    "header", ["{}", "5", "[" * 10**5, '{"what": "model", "x": NaN}', '{"what": "model", "x": 1e999}', "{torn"]
)
def test_headers_that_are_no_header(model, refused, header):
    tensors, _ = read_tensors(model, what="model")
    safetensors.torch.save_file(tensors, model, metadata={HEADER_KEY: header})
    refused("evaluate", model, "digits", says="m.safetensors ")


@pytest.mark.parametrize(
    "tensors",
    [
        lambda own: {**own, "model.transform.scale": own["model.transform.scale"].double()},
        lambda own: {**own, "model.transform.scale": torch.ones(7)},
        lambda own: {name: tensor for name, tensor in own.items() if name != "model.transform.scale"},
        lambda own: {**own, "model.more": torch.ones(7)},
        lambda own: {**own, "baseline.more": torch.ones(7)},
    ],
)
def test_forged_numbers(model, refused, tensors):
    forge(model, lambda header: None, tensors)
    refused("evaluate", model, "digits", says="m.safetensors d")


HUGE = (
    ("latent", {"kind": "point", "size": 10**11}),
    ("latent", {"kind": "point", "size": 10**30}),
    ("latent", {"kind": "vq", "vectors": 1000, "dim": 1000, "entries": 10**9, "commitment": 0.25}),
    ("network", {"kind": "mlp", "width": 10**10, "depth": 3, "residual": True}),
    ("network", {"kind": "mlp", "width": 10, "depth": 10**12, "residual": False}),
    ("network", {"kind": "conv", "channels": 10**8, "stages": 16, "hidden": 0}),
    ("likelihood", {"kind": "logistic", "components": 10**12}),
)


def test_sizes_that_a_header_asks_for_take_no_memory(models, here):
    """In a process that may not have 2 GiB: the smallest of these would need 400 GiB."""
    pytest.importorskip("resource")
    for place, (axis, spec) in enumerate(HUGE):
        path = here / f"{place}.safetensors"
        path.write_bytes((models / "point.safetensors").read_bytes())
        forge(path, put("spec", axis, value=spec))
    script = """
import resource, sys, time
import narrows.persist
from narrows.cli import run
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 0
resource.setrlimit(resource.RLIMIT_AS, (used + 2**31, resource.RLIM_INFINITY))
for path in sys.argv[1:]:
    assert run(["generate", path, "-o", "s.png"]) == 2
"""
    paths = sorted(map(str, here.iterdir()))
    line = [sys.executable, "-c", script, *paths]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False, cwd=here)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert len(ended.stderr.splitlines()) == len(HUGE)
    for said in ended.stderr.splitlines():
        assert "does not hold the model that it describes" in said or "that this version cannot build" in said
