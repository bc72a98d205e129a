"""Likelihood local with a code: what goes in comes out, whichever way pays, the same bytes from any work."""

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from payloads import CHANGES, TWINS, damaged, images_of, some

from narrows.coding.framing import VERSION
from narrows.compression.compressor import Work
from narrows.compression.files import compressor_for, load_codec, save_codec
from narrows.compression.latent import LatentCompressor
from narrows.compression.local import LocalCompressor
from narrows.compression.local_bits import LEFT_OUT, LocalBitsBack
from narrows.errors import InputError
from narrows.model import Model, Recipe

SPEC = {"latent": {"kind": "gaussian", "size": 2}, "corruption": "none", "objective": "elbo", "gradient": "pathwise"}
MLP = {"kind": "mlp", "width": 6}
# Of the payload of 20 golden images by the golden codec, where codes are left out.
WITHOUT_SHA256 = "e1a1c49cbea33f298657d90467b4134f4b8f093cff64f4b072806a8b9a670612"
CONV = {"kind": "conv", "channels": 2, "hidden": 4}
GOLDEN = Path(__file__).parents[1] / "golden" / f"local-bits-back-v{VERSION}.codec"


def untrained(shape, levels=256, told=3, network=MLP, seed=0):
    """A model in which neighbours and codes matter, though nothing has told it how."""
    likelihood = {"kind": "local", "told": told, "width": 6, "depth": 2, "components": 2, "reach": 2}
    spec = {**SPEC, "network": network, "likelihood": likelihood}
    model = Model(Recipe.from_spec(spec), images_of(shape, levels), seed=seed)
    model.adapt(torch.from_numpy(np.random.default_rng(seed).integers(0, levels, (20, *shape))))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=torch.manual_seed(seed))
    return model.eval()


@cache
def made(*given, **more):
    return LocalBitsBack.from_model(untrained(*given, **more))


@pytest.fixture(scope="module")
def trained():
    """The golden codec: its images are stripes, of which a code says which."""
    return load_codec(GOLDEN)


SHAPES = [((1, 6, 5), 256), ((3, 5, 4), 256), ((2, 6, 1), 17), ((1, 1, 1), 256), ((1, 7, 9), 2)]


@given(
    shape=st.sampled_from(SHAPES),
    n=st.sampled_from([0, 1, 4]),
    kind=st.integers(0, 2),
    seed=st.integers(0, 99),
    twin=st.sampled_from(TWINS),
)
@settings(max_examples=10)
def test_what_goes_in_comes_out_with_codes_and_without(shape, n, kind, seed, twin):
    codec = made(*shape)
    x = some(codec, n, seed, kind)
    work, other = Work(compiled=twin), Work(compiled=not twin if len(TWINS) > 1 else False)
    payloads = both(codec, x, work)
    assert codec.encode(x, other) == payloads[len(payloads[1]) < 0.999 * len(payloads[0])]
    for payload in payloads:
        back = codec.decode(payload, n, other)
        assert (back.shape, back.dtype) == (x.shape, np.uint8)
        assert np.array_equal(back, x)
        assert n or len(payload) == 4


def test_a_code_that_saves_a_thousandth_is_left_out_and_one_that_saves_more_is_not(monkeypatch):
    codec, x = made((1, 6, 5), 256), np.zeros((1, 1, 6, 5), np.uint8)
    stacks = {}

    class Stack:
        def __init__(self, *given):
            self.name = len(stacks)
            stacks[self.name] = self

        def push(self, *given):
            pass

        def push_uniform(self, mark, bits):
            assert (list(mark), bits) == ([self.name], 1)

        def to_bytes(self):
            return bytes(lengths[self.name])

    monkeypatch.setattr(codec, "stack", Stack)
    monkeypatch.setattr(codec, "push", lambda *given: None)
    for lengths, note in (((1000, 999), LEFT_OUT), ((1000, 998), ""), ((9, 9), LEFT_OUT), ((9, 8), "")):
        stacks.clear()
        coded = codec.coded(x, Work())
        assert (coded.note, len(coded.payload)) == (note, lengths[note == ""])


def both(codec, x, work):
    """The payloads without codes and with them."""
    stacks = [codec.stack(len(x), work) for _ in range(2)]
    codec.local.codec(codec.left_out(len(x), work), work).push(stacks[0], x)
    codec.push(stacks[1], x, work)
    for mark, ans in enumerate(stacks):
        ans.push_uniform([mark], 1)
    return [ans.to_bytes() for ans in stacks]


def test_a_convolutional_decoder_tells_every_channel():
    codec = LocalBitsBack.from_model(untrained((3, 13, 12), network=CONV))
    x = some(codec, 3)
    assert np.array_equal(codec.decode(codec.encode(x, Work()), 3, Work()), x)


def test_however_the_work_is_done_the_bytes_are_the_same(trained, golden):
    threads = torch.get_num_threads()
    try:
        for x in (golden.images(8), golden.noise(1)):
            made = trained.coded(x, Work())
            for count, batch, compiled in [(1, 1, False), (2, 1024, TWINS[-1]), (1, 3, TWINS[-1])]:
                torch.set_num_threads(count)
                again = trained.coded(x, Work(batch, compiled))
                assert (again.payload, again.note) == (made.payload, made.note)
                assert np.array_equal(trained.decode(made.payload, len(x), Work(batch, compiled)), x)
    finally:
        torch.set_num_threads(threads)


def test_numbers_told_are_those_of_the_model():
    """And so is what is made of them, for the images and codes that the model would draw."""
    model = untrained((2, 6, 5))
    codec = LocalBitsBack.from_model(model)
    x, u = some(codec, 30), np.random.default_rng(1).integers(0, 1024, (30, 2))
    with torch.no_grad():
        z = torch.from_numpy(codec.bins.bins.centres[u] / 4096).float()
        p = model.decode(z[None])
        floats = -float(p.log_prob(torch.from_numpy(x).float()).double().sum()) / np.log(2)
        told = model.network.decode(z).numpy()
    whole = codec.told(codec.bins.bins.centres[u], Work())
    assert np.abs(whole.reshape(30, -1) / 64 - told).max() < 0.02
    assert codec.bits_given(u, x, Work()) < 1.005 * floats


# --- The code is left out where it does not pay ----------------------------------------------------------------------


def test_a_code_that_pays_is_kept_and_the_payload_is_as_long_as_its_bound(trained, golden):
    x = golden.images(200)
    without, with_codes = both(trained, x, Work())
    made = trained.coded(x, Work())
    assert (made.payload, made.note) == (with_codes, "")
    assert len(with_codes) < 0.9 * len(without)
    assert made.bits == LatentCompressor.bound(trained, x, Work()) == trained.bound(x, Work())
    # The first image gives no bits of its code back, and what codes are drawn differs.
    assert abs(8 * len(made.payload) / made.bits - 1) < 0.01 + (20 + 32) / made.bits


def test_a_code_that_says_nothing_is_left_out():
    """As that of a decoder that gives the same whatever it is told: the rate is that of the neighbours alone."""
    model = untrained((1, 8, 8))
    with torch.no_grad():
        model.network.decoder[-1].weight.zero_()
    codec = compressor_for(model)
    x = some(codec, 40)
    without, with_codes = both(codec, x, Work())
    made = codec.coded(x, Work())
    assert (made.payload, made.note) == (without, LEFT_OUT)
    assert len(without) < len(with_codes)
    with torch.no_grad():
        floats = -float(model.decode(torch.zeros(1, 40, 2)).log_prob(torch.from_numpy(x).float()).sum()) / np.log(2)
    assert made.bits < 1.005 * floats
    assert made.bits < 8 * len(made.payload) < 1.005 * made.bits + 32


def test_payloads_of_this_version_are_these(trained, golden):
    """With codes the golden file has them; these are without."""
    payload = both(trained, golden.images(20), Work())[0]
    assert hashlib.sha256(payload).hexdigest() == WITHOUT_SHA256
    assert np.array_equal(trained.decode(payload, 20, Work()), golden.images(20))


# --- Kept and restored, damaged and forged ---------------------------------------------------------------------------


def test_a_codec_is_made_again_from_plain_values(tmp_path):
    codec = made((2, 6, 1), 17)
    plain = json.loads(json.dumps(codec.settings()))
    again = LocalBitsBack.from_arrays(codec.schema, plain, codec.arrays())
    save_codec(codec, tmp_path / "it.codec")
    x = some(codec, 9)
    assert again.encode(x, Work()) == load_codec(tmp_path / "it.codec").encode(x, Work()) == codec.encode(x, Work())
    assert all(array.dtype.kind == "i" and array.dtype.itemsize <= 4 for array in codec.arrays().values())


@given(data=st.data())
@settings(max_examples=60)
def test_forged_arrays_are_refused(data):
    codec = made((3, 5, 4), 256)
    arrays = codec.arrays()
    name = data.draw(st.sampled_from(sorted(arrays)))
    array = arrays[name]
    changes = {
        "gone": None,
        "flat": array.ravel(),
        "longer": np.concatenate([array, array[:1]]),
        "wider": np.concatenate([array, array[:, :1]], 1) if array.ndim == 2 else array[:, None],
        "floats": array.astype(float),
    }
    changed = changes[data.draw(st.sampled_from(sorted(changes)))]
    assume(changed is None or changed.dtype != array.dtype or not np.array_equal(changed, array))
    forged = {key: held for key, held in arrays.items() if key != name} | ({} if changed is None else {name: changed})
    with pytest.raises(InputError):
        LocalBitsBack.from_arrays(codec.schema, codec.settings(), forged)


def test_forged_settings_are_refused():
    codec = made((3, 5, 4), 256)
    plain, arrays = codec.settings(), codec.arrays()
    bad = [{}, {**plain, "more": 1}, *({**plain, name: None} for name in plain)]
    bad += [{**plain, "local": {**plain["local"], "reach": 3}}, {**plain, "code_bits": 15}]
    bad += [{**plain, "decoder": plain["encoder"]}, {**plain, "decoder": plain["decoder"][:-2]}]
    for settings_given in bad:
        with pytest.raises(InputError):
            LocalBitsBack.from_arrays(codec.schema, settings_given, arrays)
    with pytest.raises(InputError, match="unknown part of a codec"):
        LocalBitsBack.from_arrays(codec.schema, plain, arrays | {"x": np.zeros(3, int)})
    for schema in (images_of((3, 4, 5)), images_of((3, 5, 4), 257), images_of((1, 5, 4))):
        with pytest.raises(InputError):
            LocalBitsBack.from_arrays(schema, plain, arrays)


@given(
    n=st.sampled_from([1, 4]),
    way=st.integers(0, 1),
    changes=CHANGES,
    twin=st.sampled_from(TWINS),
)
@settings(max_examples=30)
def test_a_damaged_payload_is_refused_or_gives_other_levels_and_no_more(n, way, changes, twin):
    codec = made((2, 6, 1), 17)
    payload, n = damaged(both(codec, some(codec, n), Work())[way], n, changes)
    try:
        values = codec.decode(payload, n, Work(compiled=twin))
    except InputError:
        return
    assert (values.shape, values.dtype) == ((n, *codec.schema.shape), np.uint8)


def test_something_left_over_is_refused(trained, golden):
    for payload in both(trained, golden.images(3), Work()):
        with pytest.raises(InputError, match=r"left over|too large|end before|not those"):
            trained.decode(payload, 1, Work())


# --- What cannot be converted ----------------------------------------------------------------------------------------


def test_which_models_are_its_own():
    model = untrained((1, 8, 8))
    assert isinstance(compressor_for(model), LocalBitsBack)
    assert not LocalCompressor.serves(model)


@pytest.mark.parametrize(("latent", "gradient"), [("point", "pathwise"), ("bernoulli", "straight-through")])
def test_codes_that_bits_back_cannot_draw_are_refused_with_a_way_out(latent, gradient):
    spec = {**SPEC, "network": MLP, "likelihood": "local", "latent": latent, "gradient": gradient}
    model = Model(Recipe.from_spec(spec), images_of((1, 4, 4)), seed=0)
    with pytest.raises(InputError, match=f"latent {latent} has none; train with preset variational"):
        compressor_for(model)


def test_weights_too_large_or_no_numbers_are_refused():
    for large in (1e9, float("nan"), float("inf")):
        model = untrained((1, 4, 4))
        with torch.no_grad():
            model.likelihood.from_code[0, 0] = large
        with pytest.raises(InputError):
            LocalBitsBack.from_model(model)
