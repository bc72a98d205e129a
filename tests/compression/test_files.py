"""Codec files: what is loaded is what was saved, whoever brings the file."""

import copy
import io
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from narrows.coding.container import Reader, Writer
from narrows.coding.framing import MAGIC
from narrows.compression.compressor import Work
from narrows.compression.files import (
    COMPRESSORS,
    codec_bytes,
    compressor_for,
    fingerprint,
    load_codec,
    open_compressor,
    save_codec,
)
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.model import Model
from narrows.presets import choose


def saved(path, content):
    path.write_bytes(content)
    return path


def test_what_is_loaded_is_what_was_saved(codec, golden, tmp_path):
    path = tmp_path / "it.codec"
    assert save_codec(codec, path) == path.stat().st_size == len(codec_bytes(codec))
    again = load_codec(path)
    assert type(again) is type(codec)
    assert again.schema == codec.schema
    assert fingerprint(again) == fingerprint(codec)
    assert codec_bytes(again) == path.read_bytes()
    x = golden.images(5)
    assert again.encode(x, Work()) == codec.encode(x, Work())


def test_a_file_is_much_smaller_than_its_numbers(codec):
    numbers = sum(array.size for array in codec.arrays().values())
    header = Reader.open(codec_bytes(codec)).header
    assert len(codec_bytes(codec)) < 2 * numbers + 3 * len(json.dumps(header))


@pytest.mark.parametrize("preset", ["compressor", "variational"])
def test_a_model_file_and_its_codec_file_are_the_same_codec(preset, tmp_path):
    from narrows.persist import Fitted, save

    schema = Schema((1, 12, 12), 0.0, 255.0, 1.0, "hw")
    model = Model(choose(preset, schema), schema, seed=0)
    model.adapt(np_tensor(np.arange(144 * 20).reshape(20, 1, 12, 12) % 256))
    save(Fitted(model.eval(), preset), tmp_path / "m.safetensors")
    converted = open_compressor(tmp_path / "m.safetensors")
    save_codec(converted, tmp_path / "m.codec")
    assert fingerprint(open_compressor(tmp_path / "m.codec")) == fingerprint(converted)
    assert fingerprint(converted) == fingerprint(compressor_for(model))


def np_tensor(array):
    import torch

    return torch.from_numpy(array)


def test_a_fingerprint_tells_of_all_that_decoding_depends_on(codec):
    prints = {fingerprint(codec)}
    for name in codec.arrays():
        changed = {key: array.copy() for key, array in codec.arrays().items()}
        flat = changed[name].reshape(-1)
        flat[0] += 1 if flat[0] < 100 else -1
        prints.add(fingerprint(with_parts(codec, arrays=changed)))
    for schema in (Schema((1, 8, 8), 0.0, 510.0, 2.0), Schema((1, 8, 8), 1.0, 256.0, 1.0)):
        prints.add(fingerprint(with_parts(codec, schema=schema)))
    assert len(prints) == 3 + len(codec.arrays())
    # Names and the layout of the user's arrays do not matter.
    assert fingerprint(with_parts(codec, schema=Schema((1, 8, 8), 0.0, 255.0, 1.0, "chw"))) == fingerprint(codec)


def with_parts(codec, schema=None, arrays=None):
    """The same kind of codec, with parts that need not fit each other."""
    other = copy.copy(codec)
    other.schema = schema or codec.schema
    other.arrays = lambda: codec.arrays() if arrays is None else arrays
    return other


# --- Foreign, damaged and forged -------------------------------------------------------------------------------------


def test_foreign_and_missing_files_are_refused(codec, golden, tmp_path):
    data = io.BytesIO()
    golden.write(data, codec, Work())
    with pytest.raises(InputError, match="holds data and no codec; give the codec file"):
        load_codec(saved(tmp_path / "data.nrw", data.getvalue()))
    with pytest.raises(InputError, match=r"does not begin as a \.nrw file does"):
        load_codec(saved(tmp_path / "text", b"some text"))
    for content in (b"", b"some text", MAGIC[:5]):
        with pytest.raises(InputError):
            open_compressor(saved(tmp_path / "text", content))
    with pytest.raises(InputError):
        open_compressor(tmp_path / "nothing")


def test_damage_is_found(codec, tmp_path):
    whole = codec_bytes(codec)
    r = np.random.default_rng(0)
    for _ in range(150):
        at = int(r.integers(len(whole)))
        content = [whole[:at], whole[:at] + bytes([whole[at] ^ 1 << int(r.integers(8))]) + whole[at + 1 :]]
        for some in content:
            with pytest.raises(InputError):
                load_codec(saved(tmp_path / "it.codec", some))


def forged(codec, header, payload=None):
    """A file with a sound container, whatever its header says."""
    honest = Reader.open(codec_bytes(codec))
    file = io.BytesIO()
    with Writer(file, honest.header | header) as writer:
        writer.add(honest.read(0).payload if payload is None else payload, examples=1, size=1)
    return file.getvalue()


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=4),
        st.sampled_from([-1, 0, 1e308, 1e-308, 1 << 62]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=6,
)


@given(data=st.data())
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_forged_headers_are_refused(codec, tmp_path, data):
    """Any part of the header replaced by any JSON."""
    header = copy.deepcopy(Reader.open(codec_bytes(codec)).header)
    places = list(paths(header))
    *way, last = data.draw(st.sampled_from(places))
    inner = header
    for step in way:
        inner = inner[step]
    before = inner[last]
    inner[last] = data.draw(JSON)
    path = saved(tmp_path / "it.codec", forged(codec, header))
    try:
        found = load_codec(path)
    except InputError as error:
        check(str(error))
        return
    assert inner[last] == before or (*way, last) in (("schema", "layout"), ("schema", "names"))
    assert fingerprint(found) == fingerprint(codec)


def paths(record, way=()):
    """Ways to everything in nested JSON values."""
    inside = {dict: dict.items, list: enumerate}.get(type(record))
    for key, value in inside(record) if inside else ():
        yield (*way, key)
        yield from paths(value, (*way, key))


def check(sentence):
    assert "\n" not in sentence
    assert "; " in sentence or ": " in sentence


@pytest.mark.parametrize("ends", [{"step": 1e-308}, {"low": -1e308, "high": 1e308}, {"high": None}, {"step": 0.0}])
def test_a_grid_that_cannot_be_is_refused(codec, tmp_path, ends):
    schema = codec.schema.to_json() | ends
    with pytest.raises(InputError):
        load_codec(saved(tmp_path / "it.codec", forged(codec, {"schema": schema})))


@pytest.mark.parametrize("part", ["kind", "schema", "settings", "arrays", "fingerprint", "what"])
def test_a_part_that_is_not_there_is_missed(codec, tmp_path, part):
    honest = Reader.open(codec_bytes(codec))
    file = io.BytesIO()
    with Writer(file, {name: value for name, value in honest.header.items() if name != part}) as writer:
        writer.add(honest.read(0).payload, examples=1, size=1)
    with pytest.raises(InputError, match=r"export it again|give the codec file"):
        load_codec(saved(tmp_path / "it.codec", file.getvalue()))


def test_another_payload_is_another_codec(codec, tmp_path):
    other = {name: array.copy() for name, array in codec.arrays().items()}
    name = next(name for name, array in other.items() if array.size > 50)
    other[name].reshape(-1)[7] ^= 1
    payload = Reader.open(codec_bytes(with_parts(codec, arrays=other))).read(0).payload
    with pytest.raises(InputError, match="is not the codec that it says it is"):
        load_codec(saved(tmp_path / "it.codec", forged(codec, {}, payload)))
    for payload in (b"", bytes(7), bytes(4000)):
        with pytest.raises(InputError):
            load_codec(saved(tmp_path / "it.codec", forged(codec, {}, payload)))


def test_a_codec_of_another_kind_is_refused(codec, tmp_path):
    for kind in {"nothing", *COMPRESSORS} - {codec.kind}:
        with pytest.raises(InputError, match="export it again"):
            load_codec(saved(tmp_path / "it.codec", forged(codec, {"kind": kind})))


# --- Models of which there is no codec -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "settings", "says"),
    [
        ("autoencoder", {}, "latent point has none; train with preset variational"),
        ("variational", {"likelihood": "gaussian"}, "likelihood gaussian scores something else"),
        ("vq", {}, "latent vq has none"),
    ],
)
def test_models_without_a_codec_are_refused_with_a_way_out(preset, settings, says):
    schema = Schema((1, 12, 12), 0.0, 255.0, 1.0, "hw")
    with pytest.raises(InputError, match=says):
        compressor_for(Model(choose(preset, schema, settings), schema, seed=0))
