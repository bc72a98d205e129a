"""Likelihood local as a codec: what goes in comes out, at the float model's rate, the same bytes from any work."""

import json

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from payloads import CHANGES, TWINS, damaged, images_of, some

from narrows.compression import local
from narrows.compression.compressor import Work
from narrows.compression.local import LocalCompressor
from narrows.data.named import load
from narrows.errors import InputError
from narrows.fit import fit
from narrows.model import Model, Recipe
from narrows.plan import Plan

SPEC = {"network": "none", "latent": "none", "corruption": "none", "objective": "elbo", "gradient": "pathwise"}
SMALL = {"width": 8, "depth": 2, "components": 2, "reach": 2}


def untrained(shape, levels=256, seed=0, **changes):
    """A model whose weights are large enough that neighbours matter."""
    likelihood = {"kind": "local", "told": 0, **SMALL, **changes}
    model = Model(Recipe.from_spec({**SPEC, "likelihood": likelihood}), images_of(shape, levels), seed=seed)
    with torch.no_grad():
        for parameter in model.likelihood.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=torch.manual_seed(seed))
    return model.eval()


def bits_in_floats(model, x):
    """-log2 p(x) of the trained network."""
    with torch.no_grad():
        p = model.likelihood(torch.empty(1, len(x), 0, *x.shape[1:]))
        return -float(p.log_prob(torch.from_numpy(x).float()).double().sum()) / np.log(2)


@pytest.fixture(scope="module")
def trained():
    """A model of the middle of the embedded images, and images that it has not seen."""
    rows = np.ascontiguousarray(load("fashion-sample", "train").examples.values[:400, None, 9:19, 9:19])
    settings = {f"likelihood.{name}": value for name, value in SMALL.items()}
    fitted = fit(rows[:300], images_of((1, 10, 10)), "compressor", settings, Plan(epochs=30, batch_size=16))
    return fitted.model.eval(), rows[300:]


def test_whole_numbers_cost_less_than_half_a_percent(trained):
    model, x = trained
    codec = LocalCompressor.from_model(model)
    floats, whole = bits_in_floats(model, x), codec.bound(x, Work())
    assert 4 * x.size < floats < 6.5 * x.size  # of 8 bits: it has learnt something
    assert abs(whole / floats - 1) < 0.005


@pytest.mark.parametrize(("shape", "levels"), [((3, 5, 4), 256), ((1, 8, 8), 2), ((2, 6, 5), 17)])
def test_levels_and_channels_cost_no_more(shape, levels):
    model = untrained(shape, levels)
    codec, x = LocalCompressor.from_model(model), some(LocalCompressor.from_model(model), 40)
    floats, whole = bits_in_floats(model, x), codec.bound(x, Work())
    # Weights that are drawn say of noise that it is unlikely, and there the least that each level is given counts.
    assert whole < 1.005 * floats


def test_a_payload_is_as_long_as_its_bound(trained, monkeypatch):
    model, x = trained
    codec = LocalCompressor.from_model(model)
    for cells_a_lane, lanes in ((local.CELLS_A_LANE, 1), (1000, 10)):
        monkeypatch.setattr(local, "CELLS_A_LANE", cells_a_lane)
        made = codec.coded(x, Work())
        payload, bits = made.payload, made.bits
        assert payload == codec.encode(x, Work())
        assert bits == codec.bound(x, Work())
        # Each lane begins with 32 bits, of which it ends up holding 16 at least; the coder's rounding is the rest.
        assert bits < 8 * len(payload) < 1.005 * bits + 32 * lanes


def test_however_the_work_is_done_the_bytes_are_the_same(trained, monkeypatch):
    model, x = trained
    monkeypatch.setattr(local, "CELLS_A_LANE", 300)  # several lanes
    codec, x = LocalCompressor.from_model(model), x[:12]
    payload = codec.encode(x, Work())
    threads = torch.get_num_threads()
    try:
        for count, batch, compiled in [(1, 1, False), (2, 1024, TWINS[-1]), (1, 7, TWINS[-1])]:
            torch.set_num_threads(count)
            work = Work(batch=batch, compiled=compiled)
            assert codec.encode(x, work) == payload
            assert np.array_equal(codec.decode(payload, len(x), work), x)
    finally:
        torch.set_num_threads(threads)


def test_conversion_does_not_depend_on_threads(trained):
    threads, made = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            made.append(LocalCompressor.from_model(trained[0]).arrays())
    finally:
        torch.set_num_threads(threads)
    assert made[0].keys() == made[1].keys()
    assert all(np.array_equal(made[0][name], made[1][name]) for name in made[0])


@given(
    shape=st.tuples(st.sampled_from([1, 1, 2, 3, 4]), st.integers(1, 8), st.integers(1, 8)),
    levels=st.sampled_from([2, 3, 200, 256]),
    reach=st.sampled_from([1, 2, 5]),
    n=st.integers(0, 3),
    kind=st.integers(0, 2),
    twin=st.sampled_from(TWINS),
)
@settings(max_examples=40)
def test_what_goes_in_comes_out(shape, levels, reach, n, kind, twin):
    codec = LocalCompressor.from_model(untrained(shape, levels, reach=reach))
    x = some(codec, n, levels, kind)
    payload = codec.encode(x, Work(compiled=twin))
    back = codec.decode(payload, n, Work(compiled=not twin if len(TWINS) > 1 else False))
    assert (back.shape, back.dtype) == (x.shape, np.uint8)
    assert np.array_equal(back, x)
    assert n or len(payload) == 4


# --- Kept and restored -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def codec():
    return LocalCompressor.from_model(untrained((2, 6, 5)))


def test_a_codec_is_made_again_from_plain_values(codec):
    x = some(codec, 20)
    plain = json.loads(json.dumps(codec.settings()))
    again = LocalCompressor.from_arrays(codec.schema, plain, codec.arrays())
    assert again.encode(x, Work()) == codec.encode(x, Work())
    assert all(array.dtype.kind == "i" and array.dtype.itemsize <= 4 for array in codec.arrays().values())


@given(data=st.data())
@settings(max_examples=150)
def test_forged_arrays_are_refused(codec, data):
    arrays, plain = codec.arrays(), codec.settings()
    name = data.draw(st.sampled_from(sorted(arrays)))
    array = arrays[name]
    changes = {
        "gone": None,
        "flat": array.ravel(),
        "number": np.array(1, np.int32),
        "longer": np.concatenate([array, array[:1]]),
        "turned": array.T.copy() if array.ndim == 2 and array.shape[0] != array.shape[1] else array[:, None],
        "large": np.full_like(array, np.iinfo(array.dtype).max if name.endswith("shifts") else 2**31 - 1, np.int32),
    }
    changed = changes[data.draw(st.sampled_from(sorted(changes)))]
    assume(changed is None or not np.array_equal(changed, array))
    arrays = {key: held for key, held in arrays.items() if key != name} | ({} if changed is None else {name: changed})
    with pytest.raises(InputError):
        LocalCompressor.from_arrays(codec.schema, plain, arrays)


FORGED = [("reach", value) for value in (3, 0, 33, 2.0, None)] + [("depth", value) for value in (0, 9, "2", 1 << 40)]


@pytest.mark.parametrize(("name", "value"), FORGED)
def test_forged_settings_are_refused(codec, name, value):
    with pytest.raises(InputError, match="export it again"):
        LocalCompressor.from_arrays(codec.schema, codec.settings() | {name: value}, codec.arrays())


@pytest.mark.parametrize("schema", [images_of((1, 6, 5)), images_of((2, 5, 6)), images_of((2, 6, 5), 257)])
def test_another_schema_is_refused(codec, schema):
    with pytest.raises(InputError):
        LocalCompressor.from_arrays(schema, codec.settings(), codec.arrays())


@given(n=st.sampled_from([1, 3]), changes=CHANGES, twin=st.sampled_from(TWINS))
@settings(max_examples=40)
def test_a_damaged_payload_is_refused_or_gives_other_levels_and_no_more(codec, n, changes, twin):
    payload, n = damaged(codec.encode(some(codec, n), Work()), n, changes)
    try:
        values = codec.decode(payload, n, Work(compiled=twin))
    except InputError:
        return
    assert (values.shape, values.dtype) == ((n, *codec.schema.shape), np.uint8)


def test_something_left_over_is_refused(codec):
    payload = codec.encode(some(codec, 2), Work())
    with pytest.raises(InputError, match="leave something over"):
        codec.decode(payload, 1, Work())
    with pytest.raises(InputError, match="coded"):
        codec.decode(payload, 3, Work())


# --- What cannot be converted ----------------------------------------------------------------------------------------


def test_a_likelihood_that_is_told_of_a_code_is_not_its_own():
    spec = {**SPEC, "network": {"kind": "conv", "channels": 2}, "latent": "gaussian"}
    likelihood = {"kind": "local", "told": 3, **SMALL}
    model = Model(Recipe.from_spec({**spec, "likelihood": likelihood}), images_of((1, 12, 12)), seed=0)
    assert not LocalCompressor.serves(model)
    assert LocalCompressor.serves(untrained((1, 4, 4)))


def test_weights_too_large_or_no_numbers_are_refused():
    for large in (1e9, float("nan"), float("inf")):
        model = untrained((1, 4, 4))
        with torch.no_grad():
            model.likelihood.last.weight[0, 0] = large
        with pytest.raises(InputError):
            LocalCompressor.from_model(model)
