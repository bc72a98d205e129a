"""The bits-back codec: what goes in comes out, the same bytes however the work is done, as short as the elbo says."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from payloads import TWINS
from scipy.stats import logistic, norm

from narrows.compression.bits import BitsBack
from narrows.compression.compressor import Work
from narrows.compression.files import load_codec, save_codec
from narrows.data.named import load
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.fit import fit
from narrows.model import Model, Recipe
from narrows.noise import Noise
from narrows.plan import Plan

PLAIN = {"corruption": "none", "objective": "elbo", "gradient": "pathwise"}


def schema(shape, levels):
    return Schema(shape, 0.0, levels - 1.0, 1.0, layout="chw" if len(shape) == 3 else "vector")


def model(shape, levels, network, likelihood, size=4, seed=0):
    """An untrained model whose weights say a little of everything, fitted to nothing but the scale of its data."""
    spec = {**PLAIN, "network": network, "latent": {"kind": "gaussian", "size": size}, "likelihood": likelihood}
    made = Model(Recipe.from_spec(spec), schema(shape, levels), seed=seed)
    r = np.random.default_rng(seed)
    made.adapt(torch.from_numpy(r.integers(0, levels, (50, *shape))))
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    return made.eval()


MLP = {"kind": "mlp", "width": 24}
MODELS = {
    "bits": lambda: model((11,), 2, MLP, "bernoulli"),
    "levels": lambda: model((2, 5, 4), 7, {"kind": "mlp", "width": 16, "residual": True}, "logistic", size=9),
    "mixture": lambda: model((3, 13, 8), 256, {"kind": "conv", "channels": 2}, {"kind": "logistic", "components": 2}),
    "symbols": lambda: model((4,), 5, {"kind": "mlp", "depth": 0}, "categorical"),
    "one cell": lambda: model((1,), 256, MLP, "logistic", size=1),
}
CODECS = {name: BitsBack.from_model(make()) for name, make in MODELS.items()}


def examples(codec, n, seed=0):
    r = np.random.default_rng(seed)
    return r.integers(0, codec.schema.levels, (n, *codec.schema.shape)).astype(np.uint8)


@pytest.mark.parametrize("name", CODECS)
@given(n=st.sampled_from([0, 1, 2, 12]), seed=st.integers(0, 2**32 - 1), kind=st.integers(0, 2))
@settings(max_examples=8)
def test_what_goes_in_comes_out(name, n, seed, kind):
    codec = CODECS[name]
    x = examples(codec, n, seed)
    x = [x, np.zeros_like(x), np.full_like(x, codec.schema.levels - 1)][kind]
    payload = codec.encode(x, Work())
    assert codec.decode(payload, n, Work()).tobytes() == x.tobytes()
    assert n or len(payload) == 4


@pytest.mark.parametrize("name", CODECS)
def test_however_the_work_is_done_the_bytes_are_the_same(name):
    codec = CODECS[name]
    n = min(900 // codec.schema.size + 6, 40)
    x = examples(codec, n)
    payload = codec.encode(x, Work())
    threads = torch.get_num_threads()
    try:
        for count, batch, compiled in [(1, 1, False), (2, 1024, TWINS[-1]), (1, 7, TWINS[-1])]:
            torch.set_num_threads(count)
            work = Work(batch=batch, compiled=compiled)
            assert codec.encode(x, work) == payload
            assert (codec.decode(payload, n, work) == x).all()
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_is_made_again_from_plain_values(name):
    codec, x = CODECS[name], examples(CODECS[name], 20)
    plain = json.loads(json.dumps(codec.settings()))
    again = BitsBack.from_arrays(codec.schema, plain, codec.arrays())
    assert again.encode(x, Work()) == codec.encode(x, Work())
    assert all(array.dtype.kind == "i" and array.dtype.itemsize <= 4 for array in codec.arrays().values())


def test_a_codec_file_holds_it(tmp_path):
    codec, x = CODECS["levels"], examples(CODECS["levels"], 3)
    save_codec(codec, tmp_path / "c.codec")
    assert load_codec(tmp_path / "c.codec").encode(x, Work()) == codec.encode(x, Work())


@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_payload_is_refused_or_gives_other_values_and_no_more(data):
    codec = CODECS[data.draw(st.sampled_from(["bits", "levels", "symbols"]))]
    n = data.draw(st.sampled_from([1, 5, 20]))
    payload = bytearray(codec.encode(examples(codec, n), Work()))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(payload)))
        what = data.draw(st.sampled_from(["bit", "cut", "insert", "n"]))
        if what == "bit":
            payload[place % len(payload)] ^= 1 << data.draw(st.integers(0, 7))
        elif what == "cut" and place:
            del payload[place:]
        elif what == "insert":
            payload[place:place] = data.draw(st.binary(min_size=1, max_size=40))
        else:
            n = data.draw(st.integers(0, 30))
    try:
        values = codec.decode(bytes(payload), n, Work(compiled=data.draw(st.sampled_from(TWINS))))
    except InputError:
        return
    assert (values.shape, values.dtype) == ((n, *codec.schema.shape), np.uint8)


def test_bits_that_are_left_over_and_groups_that_are_too_large_are_refused():
    codec = CODECS["bits"]
    x = examples(codec, 9)
    payload = codec.encode(x, Work())
    with pytest.raises(InputError, match="left over"):
        codec.decode(payload[:4] + bytes(20) + payload[4:], 9, Work())
    with pytest.raises(InputError, match=r"too large|left over|end before"):
        codec.decode(payload, 3, Work())


@pytest.fixture(scope="module")
def trained():
    images = load("fashion-sample", "train")
    rows = images.examples.values[:, None]
    settings = {"network": "mlp", "network.width": 64, "latent.size": 12}
    return fit(rows[:500], images.schema, "variational", settings, Plan(epochs=6)).model.eval(), rows[:2000]


def minus_elbo_in_floats(trained, x, draws):
    nats = 0.0
    with torch.no_grad():
        for seed in range(draws):
            noise = Noise(seed, torch.device("cpu"))
            terms = trained.terms(trained.batch(torch.from_numpy(x), noise), 1, noise)
            nats += float((terms.kl - terms.log_px).mean())
    return nats / draws / math.log(2)


def minus_elbo_in_whole_numbers(codec, x, draws):
    """From the networks' whole numbers, by floats and scipy's distributions alone."""
    r = np.random.default_rng(0)
    bits = 0.0
    params = codec.posteriors(x, Work())
    mean, sigma = params[..., 0] / 4096, np.logaddexp(0, params[..., 1] / 64 + 0.5413248546129181) + 1e-4
    edges = norm.ppf(np.arange(1025) / 1024)
    levels = codec.schema.levels
    for _ in range(draws):
        u = np.searchsorted(edges, r.normal(mean, sigma)) - 1
        q = norm.cdf((edges[u + 1] - mean) / sigma) - norm.cdf((edges[u] - mean) / sigma)
        numbers = codec.params(u, Work()) / 64
        # 1/150 to 150 times a scale of a sixth of the range, as likelihood logistic has it.
        scale = (levels - 1) / 6 * np.exp(5 * np.tanh(numbers[..., 1] / 5))
        low = np.where(x == 0, -np.inf, (x - 0.5 - numbers[..., 0]) / scale)
        high = np.where(x == levels - 1, np.inf, (x + 0.5 - numbers[..., 0]) / scale)
        p = logistic.cdf(high) - logistic.cdf(low)
        bits += np.log2(1024 * q).sum() - np.log2(p).sum()
    return bits / draws / len(x)


def test_files_are_as_long_as_minus_the_elbo_of_either_model(trained):
    model, x = trained
    codec = BitsBack.from_model(model)
    floats, whole = minus_elbo_in_floats(model, x, 2), minus_elbo_in_whole_numbers(codec, x, 2)
    assert whole == pytest.approx(floats, rel=0.003)
    assert codec.bound(x, Work()) / len(x) == pytest.approx(whole, rel=0.003)
    # The first example gives no bits of its code back, and two bytes of a lane say nothing.
    overhead = (12 * 10 + 64) / len(x)
    net = 8 * len(codec.encode(x, Work())) / len(x)
    assert whole * 0.995 < net < whole * 1.005 + overhead


def test_bits_drawn_from_grey_values_are_coded_as_bits():
    images = load("fashion-sample", "train")
    rows = images.examples.values[:, None]
    settings = {"network": "mlp", "network.width": 32, "latent.size": 3}
    plan = Plan(epochs=10, batch_size=20, rate=0.003, binarize="draw")
    model = fit(rows[:200], images.schema, "variational", settings, plan).model.eval()
    codec = BitsBack.from_model(model)
    assert codec.schema.levels == 2
    bits = (np.random.default_rng(0).random((60, 1, 28, 28)) < rows[:60] / 255).astype(np.uint8)
    payload = codec.encode(bits, Work())
    assert (codec.decode(payload, 60, Work()) == bits).all()
    assert len(payload) < 0.8 * 60 * 28 * 28 / 8
    seen = model.transform.offset + model.transform.gain * torch.from_numpy(bits).float()
    with torch.no_grad():
        known = model.posterior(seen).mean.numpy()
    assert np.abs(codec.posteriors(bits, Work())[..., 0] / 4096 - known).max() < 0.01


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"latent": "point"}, "latent point has none; train with preset variational"),
        ({"latent": "full-gaussian"}, "latent full-gaussian has none; train with preset variational"),
        ({"latent": "bernoulli", "gradient": "straight-through"}, "latent bernoulli has none"),
        ({"likelihood": "gaussian"}, "likelihood gaussian scores something else"),
        ({"likelihood": "local"}, "likelihood local scores something else"),
    ],
)
def test_models_that_have_no_such_codec_are_refused_with_a_way_out(change, says):
    spec = {**PLAIN, "network": "mlp", "latent": "gaussian", "likelihood": "logistic", **change}
    with pytest.raises(InputError, match=says):
        BitsBack.from_model(Model(Recipe.from_spec(spec), schema((1, 4, 4), 256)))


def changed(settings, **changes):
    return {**settings, **changes}


def test_what_a_file_may_bring_is_refused_where_it_does_not_fit():
    codec = CODECS["levels"]
    given_out, arrays = codec.settings(), codec.arrays()
    for bad, own in (
        (changed(given_out, law="poisson"), arrays),
        (changed(given_out, law="bernoulli"), arrays),
        (changed(given_out, law=[]), arrays),
        (changed(given_out, components=0), arrays),
        (changed(given_out, components=True), arrays),
        (changed(given_out, code_bits=15), arrays),
        (changed(given_out, code_bits=None), arrays),
        (changed(given_out, more=1), arrays),
        (changed(given_out, encoder=given_out["decoder"]), arrays),
        (changed(given_out, decoder=None), arrays),
        ({}, arrays),
        (given_out, {}),
        (given_out, {**arrays, "x": arrays["encoder.2.weight"]}),
        (given_out, {**arrays, "encoder.2.weight": arrays["encoder.2.weight"][:, :-1]}),
    ):
        with pytest.raises(InputError):
            BitsBack.from_arrays(codec.schema, bad, own)
    with pytest.raises(InputError, match="does not take examples of shape"):
        BitsBack.from_arrays(schema((2, 5, 5), 7), given_out, arrays)
