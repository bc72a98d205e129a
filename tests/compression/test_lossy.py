"""The lossy codec: what is kept comes out, the same however the work is done, and no worse than the step allows."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from payloads import TWINS

from narrows.compression import lossy
from narrows.compression.compressor import Work
from narrows.compression.lossy import QuantisedCompressor
from narrows.compression.quality import squared_errors
from narrows.data.named import load
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.fit import fit
from narrows.likelihoods.quantised import in_levels, in_steps, step_of
from narrows.model import Model
from narrows.plan import Plan
from narrows.presets import choose

SMALL = {"likelihood": "quantised", "likelihood.width": 16, "likelihood.depth": 2, "likelihood.components": 2}


def model(shape, levels=256, seed=0):
    """An untrained model whose weights are large enough that neighbours and the step matter."""
    schema = Schema(shape, 0.0, levels - 1.0, 1.0, layout="chw")
    made = Model(choose("compressor", schema, SMALL), schema, seed=seed)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
    return made.eval()


MODELS = {
    "grey": model((1, 9, 8)),
    "colour": model((3, 5, 6)),
    "few levels": model((1, 6, 7), 12),
    "pixel": model((2, 1, 1)),
}
CODECS = {name: QuantisedCompressor.from_model(made) for name, made in MODELS.items()}


@pytest.fixture(scope="module")
def clothes():
    """A model of clothes, trained a little, its codec, and images that it has not seen."""
    images = load("fashion-sample", "train")
    rows = images.examples.values[:, None]
    fitted = fit(rows[:800], images.schema, "compressor", SMALL, Plan(epochs=15, seed=1))
    return fitted.model, QuantisedCompressor.from_model(fitted.model), rows[800:825]


def examples(codec, n, seed=0):
    r = np.random.default_rng(seed)
    return r.integers(0, codec.schema.levels, (n, *codec.schema.shape)).astype(np.uint8)


@pytest.mark.parametrize("name", CODECS)
@given(
    n=st.sampled_from([0, 1, 2, 20]),
    seed=st.integers(0, 2**32 - 1),
    kind=st.integers(0, 2),
    q=st.sampled_from([1, 50, 100]),
)
@settings(max_examples=8)
def test_what_is_kept_comes_out_of_any_codec_of_the_model(name, n, seed, kind, q):
    codec = CODECS[name].at_quality(q)
    x = examples(codec, n, seed)
    coded = codec.coded([x, np.zeros_like(x), np.full_like(x, codec.schema.levels - 1)][kind], Work())
    out = CODECS[name].decode(coded.payload, n, Work())
    assert out.dtype == np.uint8
    assert out.shape == x.shape
    assert out.tobytes() == coded.kept.tobytes()
    assert codec.encode([x, np.zeros_like(x), np.full_like(x, codec.schema.levels - 1)][kind], Work()) == coded.payload


@pytest.mark.parametrize("name", CODECS)
def test_however_the_work_is_done_the_bytes_are_the_same(name):
    codec, x = CODECS[name], examples(CODECS[name], 9)
    usual = codec.coded(x, Work())
    for compiled in TWINS:
        for batch in (1, 4):
            work = Work(batch, compiled)
            coded = codec.coded(x, work)
            assert coded.payload == usual.payload
            assert coded.kept.tobytes() == usual.kept.tobytes()
            assert codec.decode(usual.payload, 9, work).tobytes() == usual.kept.tobytes()


def in_floats(likelihood, x, near):
    """Bits and restored levels of the model in floats, where each level becomes the coarse one nearest to it."""
    n, step, levels = len(x), float(step_of(near)), torch.from_numpy(x).float()
    p = likelihood._at(torch.full((1, n), step))
    pixels = torch.arange(math.prod(x.shape[2:])).expand(n, -1)
    with torch.no_grad():
        restored = likelihood.restored(in_steps(levels, step), p.steps[0], pixels).view(levels.shape)
        return p.parts(levels)[0].sum().item() / math.log(2), restored.clamp(0, likelihood.levels - 1).numpy()


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("quality", [1, 40, 100])
def test_whole_numbers_restore_what_the_model_restores(name, quality, monkeypatch):
    monkeypatch.setattr(lossy, "WEIGHT", 1e9)
    codec = CODECS[name].at_quality(quality)
    x = examples(codec, 40)
    _, restored = in_floats(MODELS[name].likelihood, x, codec.near)
    np.testing.assert_allclose(codec.coded(x, Work()).kept, restored, atol=1.1)


@pytest.mark.parametrize("quality", [1, 40, 100])
def test_whole_numbers_take_as_many_bits_as_the_model_says(clothes, quality, monkeypatch):
    monkeypatch.setattr(lossy, "WEIGHT", 1e9)
    model, codec, x = clothes
    codec = codec.at_quality(quality)
    bits, _ = in_floats(model.likelihood, x, codec.near)
    coded = codec.coded(x, Work())
    assert coded.bits == pytest.approx(bits, rel=0.004)
    assert coded.bits < 8 * len(coded.payload) < coded.bits * 1.003 + 8 + 32 * 3


def chosen(codec, x, weight, monkeypatch):
    monkeypatch.setattr(lossy, "WEIGHT", weight)
    coarse = codec._coarse_codec(codec.near)
    return codec._chosen(coarse, x, Work())[0], coarse


def test_where_error_is_all_the_nearest_coarse_level_is_chosen_and_where_it_is_nothing_the_cheaper_one(
    clothes, monkeypatch
):
    _, codec, x = clothes
    codec, step = codec.at_quality(30), step_of(codec.at_quality(30).near)
    usual = lossy.WEIGHT
    nearest, _ = chosen(codec, x, 1e9, monkeypatch)
    between, coarse = chosen(codec, x, usual, monkeypatch)
    cheapest, _ = chosen(codec, x, 0.0, monkeypatch)
    assert (nearest == in_steps(x.astype(int), step)).all()
    for q in (between, cheapest):
        assert (np.abs(in_levels(q.astype(int), step, 256) - x.astype(int)) <= step).all()
    bits = [coarse.bound(q, Work()) for q in (nearest, between, cheapest)]
    assert bits[0] > 1.02 * bits[1] > 1.1 * bits[2]


def test_a_choice_is_the_better_of_two_given_those_before_it(clothes):
    """Rate and error of the first row of pixels, added up one by one, are those of the whole choice."""
    _, codec, x = clothes
    codec, x = codec.at_quality(20), x[:6]
    coarse, step = codec._coarse_codec(codec.near), step_of(codec.near)
    q = codec._chosen(coarse, x, Work())[0]
    for place in [(0, 9), (5, 5), (14, 14), (27, 20)]:
        other = q.copy()
        row, column = place
        level = x[:, 0, row, column].astype(int)
        other[:, 0, row, column] = np.where(
            q[:, 0, row, column] == level // step,
            np.minimum(level // step + 1, coarse.schema.levels - 1),
            level // step,
        )
        # The numbers of the law depend on what is before the place alone, so they are those of either choice.
        canvas = coarse.network.canvas(6)
        for r in range(28):
            places = [(r, c) for c in range(28)]
            seen = coarse.network.seen(torch.from_numpy(q[:, 0, r].T.astype(np.int64)))
            canvas[coarse.network.cells(0, places)] = seen
        params = coarse.network(canvas, 0, [place])
        costs = []
        for levels in (q, other):
            own = levels[:, 0, row, column].astype(int)
            freqs = coarse.law.ranges(params, own)[1]
            costs.append(-np.log(freqs / 2**16) + lossy.WEIGHT * (own - level / step) ** 2)
        assert (costs[0] <= costs[1]).all()


def test_a_finer_quality_takes_more_bits_and_comes_nearer(clothes):
    _, codec, x = clothes
    coded = [codec.at_quality(quality).coded(x, Work()) for quality in (1, 35, 70, 100)]
    bits = [one.bits for one in coded]
    errors = [squared_errors(x, one.kept).mean() for one in coded]
    assert bits == sorted(bits)
    assert errors == sorted(errors, reverse=True)
    assert codec.at_quality(1).near == codec.coarsest == 48
    assert codec.at_quality(100).near == codec.finest == 4
    assert errors[-1] < 9**2 / 12


def test_bits_are_met_by_the_finest_step_that_meets_them(clothes):
    _, codec, x = clothes
    found = codec.at_bits(1.0, x, Work())
    assert found.bound(x, Work()) <= x.size
    finer = codec._at(found.near - 1)
    assert finer.bound(x, Work()) > x.size
    assert codec.at_bits(100.0, x, Work()).near == codec.finest
    with pytest.raises(InputError, match=r"take 0\.\d+ bits a cell at the coarsest step; give at least that"):
        codec.at_bits(0.01, x, Work())


@pytest.mark.parametrize("quality", [0, 101])
def test_a_quality_that_is_none_is_refused(quality):
    with pytest.raises(InputError, match="quality"):
        CODECS["grey"].at_quality(quality)


@pytest.mark.parametrize("name", CODECS)
def test_it_is_made_again_from_its_arrays(name):
    codec, x = CODECS[name], examples(CODECS[name], 5)
    described = json.loads(json.dumps(codec.settings(), allow_nan=False))
    again = QuantisedCompressor.from_arrays(codec.schema, described, codec.arrays())
    assert all(array.dtype.kind == "i" for array in codec.arrays().values())
    assert again.encode(x, Work()) == codec.encode(x, Work())


@pytest.mark.parametrize(
    ("settings", "arrays"),
    [
        ({"finest": -1}, {}),
        ({"finest": 49}, {}),
        ({"coarsest": 128}, {}),
        ({"coarsest": "many"}, {}),
        ({"local": None}, {}),
        ({"local": {}}, {}),
        ({"restoring": [{"kind": "rectify"}]}, {}),
        ({"restoring": None}, {}),
        ({"more": 1}, {}),
        ({}, {"by_step": np.zeros((3, 16), np.int32)}),
        ({}, {"by_step": np.zeros((2, 16))}),
        ({}, {"restoring.0.weight": np.zeros((64, 3), np.int32)}),
    ],
)
def test_a_codec_that_cannot_be_is_refused(settings, arrays):
    codec = CODECS["grey"]
    with pytest.raises(InputError):
        QuantisedCompressor.from_arrays(codec.schema, codec.settings() | settings, codec.arrays() | arrays)


@given(st.data())
@settings(max_examples=40)
def test_damaged_images_are_refused_or_are_images(data):
    codec = CODECS["grey"]
    payload = bytearray(codec.encode(examples(codec, 3), Work()))
    kind = data.draw(st.sampled_from(["flip", "cut", "any"]))
    if kind == "flip":
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        payload = (
            payload[: data.draw(st.integers(0, len(payload)))] if kind == "cut" else data.draw(st.binary(max_size=90))
        )
    try:
        out = codec.decode(bytes(payload), 3, Work())
    except InputError:
        return
    assert out.shape == (3, *codec.schema.shape)


def test_it_serves_likelihood_quantised_alone():
    schema = MODELS["grey"].schema
    assert QuantisedCompressor.serves(MODELS["grey"])
    assert not QuantisedCompressor.serves(Model(choose("compressor", schema), schema))
