"""One file a model: it comes back bit for bit, holds no pickle, and is refused in one line when anything is wrong."""

import copy
import json
import os
import pickle
import resource
import runpy
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from narrows import persist
from narrows.baseline import fit_baseline
from narrows.checkpoint import FILE, Best, save_checkpoint
from narrows.data.schema import infer_schema
from narrows.data.transforms import Transform
from narrows.errors import InputError
from narrows.evaluate import evaluate
from narrows.inference import bounds, codes, reconstructed, samples
from narrows.model import Model, Recipe
from narrows.noise import Noise
from narrows.persist import Fitted, load, read_tensors, save, write_tensors
from narrows.presets import choose
from narrows.records import plain
from narrows.values import Clock

GOLDEN = Path(__file__).parent / "golden"


def table(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, 5)).astype("float32")


def levels(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 5)).astype("uint8")


def counts(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).poisson(3.0, (n, 5)).astype("float32")


def images(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 12, 14, 3)).astype("uint8")


KINDS = {
    "autoencoder": (table, None, "none", {"network.width": 4}),
    "sparse": (levels, None, "none", {"network.width": 4, "latent.size": 4}),
    "variational": (table, None, "none", {"network.width": 4, "likelihood.by_cell": True}),
    "iwae": (counts, "counts", "none", {"network.width": 4}),
    "vq": (levels, None, "none", {"network.width": 4, "latent.entries": 8, "likelihood": "categorical"}),
    "discrete": (levels, None, "threshold", {"network.width": 4}),
    "beta": (table, None, "none", {"network.residual": True, "network.width": 4}),
    "denoising": (table, None, "none", {"network.width": 4, "latent": "kl-sparse"}),
    "convolutional": (images, None, "none", {"network.channels": 2, "network.hidden": 8}),
}


def made(preset: str = "variational") -> tuple[Fitted, torch.Tensor]:
    data, kind, binarize, settings = KINDS[preset]
    rows = data()
    schema = infer_schema(rows, kind=kind, names=tuple("abcde") if rows.ndim == 2 else None)
    values = torch.from_numpy(np.ascontiguousarray(schema.from_user(rows)))
    recipe = choose(preset, Transform(schema, grid=True, binarize=binarize).modelled, settings)
    model = Model(recipe, schema, binarize=binarize)
    model.adapt(values)
    baseline = fit_baseline([model.transform.comparable(model.transform(values).x)], 2)
    record = {"plan": {"seed": 0}, "history": [{"nats": 1.5}], "findings": []}
    return Fitted(model.eval(), preset, baseline, record), values


# --- There and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", KINDS)
def test_a_model_comes_back_bit_for_bit(preset, tmp_path):
    fitted, values = made(preset)
    save(fitted, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    functions = [codes, reconstructed, bounds]
    if fitted.model.latent.random:
        functions.append(lambda model, _: samples(model, 5, seed=0, draw=True))
    for function in functions:
        assert torch.equal(function(again.model, values), function(fitted.model, values))
    assert evaluate(again, values) == evaluate(fitted, values)
    assert (again.preset, again.record, again.schema) == (fitted.preset, fitted.record, fitted.schema)
    assert again.model.recipe.spec() == fitted.model.recipe.spec()
    assert again.model.transform.binarize == fitted.model.transform.binarize
    assert torch.equal(again.baseline.components, fitted.baseline.components)
    assert not again.model.training


@pytest.mark.parametrize("preset", KINDS)
def test_a_model_that_came_back_can_be_trained_on(preset, tmp_path):
    fitted, values = made(preset)
    save(fitted, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    surrogates = []
    for model in (fitted.model.train(), again.model.train()):
        surrogate, _ = model.loss(values, Noise(0), Clock())
        surrogate.backward()
        surrogates.append(surrogate)
    assert torch.equal(*surrogates)
    for (name, parameter), other in zip(again.model.named_parameters(), fitted.model.parameters(), strict=True):
        assert parameter.requires_grad
        assert torch.equal(parameter.grad, other.grad), name


def test_a_model_without_a_baseline_comes_back_without_one(tmp_path):
    fitted, _ = made()
    save(Fitted(fitted.model, "variational"), tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.baseline is None
    assert again.record == {}


def test_the_golden_file_of_every_format_answers_as_it_did():
    paths = sorted(GOLDEN.glob("model-v*.safetensors"))
    assert [path.name for path in paths] == [f"model-v{n + 1}.safetensors" for n in range(persist.FORMAT)]
    for path in paths:
        assert path.stat().st_size < 10_000
        fitted, expected = load(path), json.loads(path.with_suffix(".json").read_text())
        given = runpy.run_path(str(GOLDEN / "make.py"))["answers"](fitted)
        assert given.keys() == expected.keys()
        for name in ("codes", "reconstructed", "bounds", "samples"):
            np.testing.assert_allclose(given[name], expected[name], rtol=1e-4, atol=1e-5)
        for name, value in expected["evaluation"].items():
            assert given["evaluation"][name] == (
                value if isinstance(value, str) else pytest.approx(value, rel=1e-3, abs=1e-5)
            )
        for name in ("preset", "schema", "findings"):
            assert given[name] == expected[name]
        # Parameters that are younger than the file have their defaults.
        assert given["parts"] == Recipe.from_spec(expected["parts"]).spec()


# --- What is in the file ---------------------------------------------------------------------------------------------


def by_hand(path: Path) -> tuple[dict, dict[str, bytes]]:
    """Read a file with nothing but json and slices."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = json.loads(header.pop("__metadata__")["narrows"])
    data = content[8 + length :]
    assert sum(end - begin for begin, end in (entry["data_offsets"] for entry in header.values())) == len(data)
    return metadata, {name: data[slice(*entry["data_offsets"])] for name, entry in header.items()}


def test_a_file_is_json_and_numbers_and_nothing_else(tmp_path):
    fitted, _ = made()
    save(fitted, tmp_path / "m.safetensors")
    metadata, tensors = by_hand(tmp_path / "m.safetensors")
    expected = {f"model.{name}": tensor for name, tensor in fitted.model.state_dict().items()}
    expected |= {f"baseline.{name}": tensor for name, tensor in fitted.baseline.tensors().items()}
    assert {name: tensor.numpy().tobytes() for name, tensor in expected.items()} == tensors
    assert metadata["what"] == "model"
    assert metadata["format"] == persist.FORMAT
    assert metadata["schema"]["names"] == list("abcde")


def test_nothing_is_ever_unpickled(tmp_path, monkeypatch):
    fitted, _ = made()
    save(fitted, tmp_path / "m.safetensors")

    def refuse(*_, **__):
        raise AssertionError("unpickled")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    load(tmp_path / "m.safetensors")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_has_the_rights_that_a_persons_files_have(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        save(made()[0], tmp_path / "m.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "m.safetensors").stat().st_mode & 0o777 == mode


def test_a_full_disk_leaves_the_file_before_and_nothing_beside_it(tmp_path):
    path = tmp_path / "m.safetensors"
    save(made()[0], path)
    content = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large") as error:
            save(made()[0], path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error.value.filename == str(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_not_written_where_there_is_no_folder(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        save(made()[0], tmp_path / "none" / "m.safetensors")
    with pytest.raises(InputError, match="is a folder"):
        save(made()[0], tmp_path)


def test_numbers_that_json_does_not_have_are_not_written(tmp_path):
    fitted, _ = made()
    with pytest.raises(ValueError, match="JSON"):
        save(Fitted(fitted.model, "variational", None, {"nats": float("nan")}), tmp_path / "m.safetensors")
    assert plain({"nats": float("nan")}) == {"nats": None}
    assert list(tmp_path.iterdir()) == []


# --- What is refused -------------------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    whole = (GOLDEN / "model-v1.safetensors").read_bytes()
    (header,) = struct.unpack("<Q", whole[:8])
    path = tmp_path / "m.safetensors"
    for length in (0, 1, 7, 8, 9, 100, header, header + 7, header + 8, header + 9, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "is not a narrows model file, or was cut short" in refusal(path), length
    path.write_bytes(whole + b"\0")
    refusal(path)


def test_a_file_with_one_flipped_bit_is_refused_wherever_it_is(tmp_path):
    whole = (GOLDEN / "model-v1.safetensors").read_bytes()
    path = tmp_path / "m.safetensors"
    places = np.random.default_rng(0).choice(len(whole) * 8, 400, replace=False)
    for place in places.tolist():
        spoilt = bytearray(whole)
        spoilt[place // 8] ^= 1 << place % 8
        path.write_bytes(spoilt)
        refusal(path)
    (header,) = struct.unpack("<Q", whole[:8])
    spoilt = bytearray(whole)
    spoilt[header + 8 + 20] ^= 1  # the last bit of a number
    path.write_bytes(spoilt)
    assert "was altered after it was written" in refusal(path)


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    foreign = {
        "text": b"not a model\n" * 50,
        "zeros": bytes(500),
        "pickle": pickle.dumps({"weights": [1.0]}),
        "safetensors of another program": safetensors.torch.save({"w": torch.ones(3)}),
        "with other metadata": safetensors.torch.save({"w": torch.ones(3)}, {"format": "pt"}),
        "metadata that is no JSON": safetensors.torch.save({"w": torch.ones(3)}, {"narrows": "{"}),
        "metadata that nests deep": safetensors.torch.save({"w": torch.ones(3)}, {"narrows": "[" * 100_000}),
        "metadata that is a list": safetensors.torch.save({"w": torch.ones(3)}, {"narrows": "[]"}),
        "metadata with a number JSON has not": safetensors.torch.save(
            {"w": torch.ones(3)}, {"narrows": '{"what": "model", "x": NaN}'}
        ),
        "metadata with a number too large": safetensors.torch.save(
            {"w": torch.ones(3)}, {"narrows": '{"what": "model", "x": 1e999}'}
        ),
        "a format that is no number": safetensors.torch.save(
            {"w": torch.ones(0)}, {"narrows": '{"what": "model", "format": "two"}'}
        ),
    }
    for name, content in foreign.items():
        path.write_bytes(content)
        said = refusal(path)
        assert "is not a narrows model file" in said or "was altered" in said, name
    assert "there is no file" in refusal(tmp_path / "none.safetensors")
    assert "is a folder" in refusal(tmp_path)


def test_a_checkpoint_is_no_model(tmp_path):
    class Stub:
        def state(self):
            return {"noise": torch.zeros(3)}, {"step": 1}

    save_checkpoint(tmp_path, Stub(), Best(), [], {})
    assert "is a checkpoint, not a narrows model file" in refusal(tmp_path / FILE)


def test_a_newer_format_asks_for_an_upgrade(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    with monkeypatch.context() as later:
        later.setattr(persist, "FORMAT", persist.FORMAT + 1)
        later.setattr("narrows.__version__", "9.9")
        save(made()[0], path)
    said = refusal(path)
    assert "9.9" in said
    assert "upgrade" in said


# --- Headers that lie, with a fingerprint that fits ------------------------------------------------------------------


def forged(path: Path, change) -> Path:
    """The golden file with its header and tensors changed, and a new fingerprint."""
    tensors, header = read_tensors(GOLDEN / "model-v1.safetensors", what="model")
    tensors, header = dict(tensors), copy.deepcopy(header)
    change(tensors, header)
    write_tensors(path, tensors, {name: value for name, value in header.items() if name not in ("format", "version")})
    return path


def set_in(header: dict, dotted: str, value: object) -> None:
    *way, last = dotted.split(".")
    for name in way:
        header = header[name]
    header[last] = value


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to see the memory in use")
@pytest.mark.parametrize("value", [10**8, 2**40])
@pytest.mark.parametrize("name", ["spec.network.width", "spec.latent.size"])
def test_a_header_that_asks_for_a_huge_network_gets_no_memory(name, value, tmp_path):
    path = forged(tmp_path / "m.safetensors", lambda tensors, header: set_in(header, name, value))
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 200 * 2**20, hard))
    try:
        said = refusal(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    # It was built, without memory, and found to differ from the tensors that the file brings.
    assert "does not hold the model that it describes" in said


LIES = [
    ("spec.network.width", 10**30),
    ("spec.network.width", 2**62),
    ("spec.network.width", -1),
    ("spec.network.width", "wide"),
    ("spec.network.depth", 10**9),
    ("spec.network.kind", "mlpp"),
    ("spec.network.kind", "conv"),
    ("spec.network", 5),
    ("spec.latent.kind", []),
    ("spec", []),
    ("schema", []),
    ("schema.shape", [6]),
    ("schema.shape", [-5]),
    ("schema.shape", [2**40, 2**40, 2**40]),
    ("schema.shape", "abc"),
]


@pytest.mark.parametrize(("name", "value"), LIES)
def test_a_header_that_does_not_fit_is_refused(name, value, tmp_path):
    said = refusal(forged(tmp_path / "m.safetensors", lambda tensors, header: set_in(header, name, value)))
    assert "describes a model that this version cannot build" in said or "does not hold the model" in said
    if value == "mlpp":
        assert "did you mean 'mlp'" in said


@pytest.mark.parametrize("name", ["spec", "schema", "binarize", "preset", "record"])
def test_a_header_with_a_part_missing_is_refused(name, tmp_path):
    refusal(forged(tmp_path / "m.safetensors", lambda tensors, header: header.pop(name)))


WEIGHT = "model.network.encoder.0.weight"
SWAPS = {
    "missing": lambda tensors, _: tensors.pop(WEIGHT),
    "one too many": lambda tensors, _: tensors.update({"model.extra": torch.zeros(1)}),
    "another shape": lambda tensors, _: tensors.update({WEIGHT: tensors[WEIGHT].T.contiguous()}),
    "whole numbers": lambda tensors, _: tensors.update({WEIGHT: tensors[WEIGHT].to(torch.int32)}),
    "another precision": lambda tensors, _: tensors.update({WEIGHT: tensors[WEIGHT].double()}),
    "a baseline of something else": lambda tensors, _: tensors.update({"baseline.extra": torch.zeros(1)}),
    "half a baseline": lambda tensors, _: tensors.pop("baseline.mean"),
}


@pytest.mark.parametrize("swap", SWAPS)
def test_tensors_that_are_not_the_models_are_refused(swap, tmp_path):
    refusal(forged(tmp_path / "m.safetensors", SWAPS[swap]))
