"""Networks in whole numbers, against Python's own: every layer, any order of summing, what files may bring."""

import json
from decimal import Decimal
from fractions import Fraction
from math import isqrt, prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.coding.elementwise import Flatten, Normalise, Rectify, Reshape, Residual, Scale, Silu
from narrows.coding.exact import EXACT, LIMIT, IntegerNetwork
from narrows.coding.linear import Convolution, Dense, TransposedConvolution
from narrows.errors import InputError

seeds = st.integers(0, 2**32 - 1)


def shifted(total, shift):
    """floor(total / 2^shift + 1/2), held to the range, in Python's own numbers."""
    return max(-LIMIT, min(LIMIT, (int(total) + (1 << shift >> 1)) >> shift))


def ran(layer, x):
    return IntegerNetwork([layer], x.shape[1:])(x)


def numbers(r, shape, most):
    """As many ends of the range as other numbers."""
    some = r.integers(-most, most + 1, shape)
    return np.where(r.random(shape) < 0.3, np.sign(some) * most, some)


def weights_for(r, shape, bits, inputs):
    """Weights whose sums come near to 2^52, which is as far as they may go."""
    return numbers(r, shape, min(1 << bits, EXACT // 2 // LIMIT // inputs - 200))


@given(seed=seeds, shift=st.integers(0, 40), bits=st.integers(0, 29))
def test_dense_is_what_python_computes(seed, shift, bits):
    r = np.random.default_rng(seed)
    n, inputs, outputs = r.integers(1, 9, 3)
    weight = weights_for(r, (outputs, inputs), bits, inputs)
    bias = numbers(r, outputs, 1 << 20)
    x = numbers(r, (n, inputs), LIMIT)
    known = [
        [
            shifted(sum(int(w) * int(a) for w, a in zip(row, one, strict=True)) + int(b), shift)
            for row, b in zip(weight, bias, strict=True)
        ]
        for one in x
    ]
    assert ran(Dense(weight, bias, shift), x).tolist() == known


@st.composite
def windows(draw):
    """Numbers, kernel, stride and padding that fit each other."""
    r = np.random.default_rng(draw(seeds))
    kernel, stride = (tuple(draw(st.integers(1, 4)) for _ in range(2)) for _ in range(2))
    padding = tuple(draw(st.integers(0, size - 1)) for size in kernel)
    sides = tuple(draw(st.integers(max(1, size - 2 * pad), 6)) for size, pad in zip(kernel, padding, strict=True))
    before, after = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    x = numbers(r, (2, before, *sides), LIMIT)
    weight = weights_for(r, (after, before, *kernel), 29, before * prod(kernel))
    return x, weight, numbers(r, after, 1 << 30), stride, padding


@given(case=windows(), shift=st.integers(0, 40))
def test_convolution_is_what_python_computes(case, shift):
    x, weight, bias, stride, padding = case
    wide = np.pad(x, ((0, 0), (0, 0), (padding[0], padding[0]), (padding[1], padding[1]))).astype(object)
    layer = Convolution(weight, bias, shift, stride, padding)
    found = ran(layer, x)
    kernel = weight.shape[2:]
    for n, c, row, column in np.ndindex(found.shape):
        window = wide[n, :, row * stride[0] :, column * stride[1] :][:, : kernel[0], : kernel[1]]
        assert found[n, c, row, column] == shifted((window * weight[c].astype(object)).sum() + int(bias[c]), shift)


@given(case=windows(), shift=st.integers(0, 40), extra=st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_transposed_convolution_is_what_python_computes(case, shift, extra):
    x, weight, bias, stride, padding = case
    weight = weight.swapaxes(0, 1)
    extra = tuple(min(e, s - 1) for e, s in zip(extra, stride, strict=True))
    kernel = weight.shape[2:]
    whole = [(x.shape[2 + i] - 1) * stride[i] + kernel[i] + extra[i] for i in (0, 1)]
    sums = np.zeros((2, weight.shape[1], *whole), dtype=object)
    for n, c, row, column in np.ndindex(x.shape):
        at = (n, slice(None), *(slice(p * s, p * s + k) for p, s, k in zip((row, column), stride, kernel, strict=True)))
        sums[at] += int(x[n, c, row, column]) * weight[c].astype(object)
    sums = sums[:, :, padding[0] : whole[0] - padding[0], padding[1] : whole[1] - padding[1]]
    layer = TransposedConvolution(weight, bias, shift, stride, padding, extra)
    if 0 in sums.shape:
        with pytest.raises(InputError, match="does not take"):
            ran(layer, x)
        return
    found = ran(layer, x)
    assert found.shape == sums.shape
    for place in np.ndindex(found.shape):
        assert found[place] == shifted(sums[place] + int(bias[place[1]]), shift)


@given(seed=seeds, shift=st.integers(0, 40))
def test_scale_is_what_python_computes(seed, shift):
    r = np.random.default_rng(seed)
    x = numbers(r, (3, 2, 5), LIMIT)
    gain, offset = numbers(r, 2, 1 << 28), numbers(r, 2, 1 << 50)
    found = ran(Scale(gain, offset, shift), x)
    for n, c, i in np.ndindex(found.shape):
        assert found[n, c, i] == shifted(int(x[n, c, i]) * int(gain[c]) + int(offset[c]), shift)


@given(seed=seeds, spread=st.integers(0, 23), width=st.sampled_from([1, 2, 7, 64, 300]))
def test_layer_normalisation_is_what_fractions_say(seed, spread, width):
    r = np.random.default_rng(seed)
    x = np.clip(r.integers(-LIMIT, LIMIT) + numbers(r, (4, width), min(1 << spread, LIMIT)), -LIMIT, LIMIT)
    found = ran(Normalise(168), x)
    farthest = isqrt((EXACT - 1) // width)
    for one, given_out in zip(x.tolist(), found.tolist(), strict=True):
        mean = (Fraction(sum(one), width) + Fraction(1, 2)).__floor__()
        apart = [max(-farthest, min(farthest, a - mean)) for a in one]
        variance = sum(a * a for a in apart) // width + 168
        more = 12 if variance < 1 << 28 else 0
        root = isqrt(variance << 2 * more)
        assert given_out == [(Fraction(a << 12 + more, root) + Fraction(1, 2)).__floor__() for a in apart]


def test_layer_normalisation_comes_near_to_that_of_torch():
    x = (
        torch.randn(50, 200, generator=torch.Generator().manual_seed(0)).double() * torch.logspace(-2, 2, 50)[:, None]
        + 3
    )
    found = ran(Normalise(168), (x * 4096).round().numpy()) / 4096
    known = torch.nn.functional.layer_norm((x * 4096).round() / 4096, (200,)).numpy()
    # Half a step in the mean is 2^-13 beside a deviation of 0.01.
    assert np.abs(found - known)[0].max() < 0.02
    assert np.abs(found - known)[15:].max() < 0.001


def test_silu_is_within_a_step_of_decimal():
    x = np.concatenate([np.arange(-70000, 70000, 37), [-LIMIT, LIMIT, -65536, 65535, 65536, -65537, 0, 1, -1]])
    found = ran(Silu(), x[:, None])[:, 0]
    for a, y in zip(x.tolist(), found.tolist(), strict=True):
        known = Decimal(a) / (1 + (Decimal(-a) / 4096).exp()) if a > -(1 << 17) else 0
        assert abs(y - known) < Decimal("0.6")


def test_rectify_flatten_reshape_residual():
    x = np.array([[[3, -4], [-LIMIT, LIMIT]]])
    assert ran(Rectify(), x).tolist() == [[[3, 0], [0, LIMIT]]]
    assert ran(Flatten(), x).tolist() == [[3, -4, -LIMIT, LIMIT]]
    assert ran(Reshape([4, 1]), x).tolist() == [[[3], [-4], [-LIMIT], [LIMIT]]]
    twice = Scale(np.array([2]), np.array([1]), 0)
    assert ran(Residual([twice]), x).tolist() == [[[10, -11], [-LIMIT, LIMIT]]]


def example(seed=0):
    """A network with every kind of layer, its weights as large as they may be."""
    r = np.random.default_rng(seed)
    layers = [
        Scale(r.integers(1, 1 << 20, 2), r.integers(-1 << 20, 1 << 20, 2), 6),
        Convolution(weights_for(r, (3, 2, 4, 3), 20, 24), r.integers(-1 << 20, 1 << 20, 3), 24, (2, 1), (1, 1)),
        Rectify(),
        Flatten(),
        Dense(weights_for(r, (12, 45), 20, 45), r.integers(-1 << 30, 1 << 30, 12), 23),
        Residual(
            [
                Normalise(168),
                Scale(np.array([4096]), np.array([0]), 12),
                Silu(),
                Dense(weights_for(r, (12, 12), 9, 12), np.zeros(12, int), 8),
            ]
        ),
        Reshape([3, 2, 2]),
        TransposedConvolution(weights_for(r, (3, 2, 3, 4), 20, 36), r.integers(-9, 9, 2), 22, (1, 2), (1, 1), (0, 1)),
    ]
    return IntegerNetwork(layers, (2, 6, 5)), r.integers(0, 256, (20, 2, 6, 5))


def test_batches_threads_and_order_change_nothing():
    network, x = example()
    known = network(x)
    assert len(np.unique(known)) > 100
    order = np.random.default_rng(1).permutation(len(x))
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            for batch in (1, 7, 1000):
                assert (network(x, batch) == known).all()
            assert (network(x[order]) == known[order]).all()
    finally:
        torch.set_num_threads(threads)


@given(seed=seeds)
@settings(max_examples=20)
def test_the_order_of_the_terms_of_a_sum_changes_nothing(seed):
    r = np.random.default_rng(seed)
    weight, bias = weights_for(r, (40, 300), 29, 300), r.integers(-9, 9, 40)
    x = numbers(r, (50, 300), LIMIT)
    order = r.permutation(300)
    known = ran(Dense(weight, bias, 30), x)
    assert (ran(Dense(weight[:, order], bias, 30), x[:, order]) == known).all()


def test_sums_that_could_reach_two_to_the_53_are_refused():
    largest = EXACT // 2 // LIMIT
    Dense(np.array([[largest - 1]]), np.array([0]), 0)
    for weight, bias in ((largest + 1, 0), (1, EXACT), (-largest - 1, 0), (1 << 62, 0)):
        with pytest.raises(InputError, match=r"below 2\^53"):
            Dense(np.array([[weight]]), np.array([bias]), 0)
        with pytest.raises(InputError, match=r"below 2\^53"):
            Convolution(np.array([[[[weight]]]]), np.array([bias]), 0, (1, 1), (0, 0))
        with pytest.raises(InputError, match=r"below 2\^53"):
            TransposedConvolution(np.array([[[[weight]]]]), np.array([bias]), 0, (1, 1), (0, 0), (0, 0))
        with pytest.raises(InputError, match=r"below 2\^53"):
            Scale(np.array([weight]), np.array([bias]), 0)


def test_a_network_is_made_again_from_plain_values():
    network, x = example()
    description = json.loads(json.dumps(network.description()))
    again = IntegerNetwork.restored(description, network.arrays(), (2, 6, 5))
    assert (again(x) == network(x)).all()
    assert again.description() == network.description()
    assert all(array.dtype.kind == "i" for array in network.arrays().values())


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from(["dense", "silu", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "shift", "layers"]), inner),
    max_leaves=6,
)


@given(data=st.data())
@settings(max_examples=200)
def test_what_a_file_may_bring_is_made_or_refused(data):
    network, _ = example()
    description, arrays = json.loads(json.dumps(network.description())), network.arrays()
    for _ in range(data.draw(st.integers(1, 2))):
        what = data.draw(st.sampled_from(["setting", "entry", "array", "lost", "dtype", "whole"]))
        place = data.draw(st.integers(0, len(description) - 1))
        name = data.draw(st.sampled_from(sorted(arrays)))
        if what == "whole":
            description = data.draw(plain)
            break
        if what == "setting" and isinstance(description[place], dict) and description[place]:
            description[place][data.draw(st.sampled_from(sorted(description[place])))] = data.draw(plain)
        elif what == "entry":
            description[place] = data.draw(plain)
        elif what == "array":
            shape = tuple(data.draw(st.lists(st.integers(0, 5), max_size=5)))
            arrays[name] = np.full(shape, data.draw(st.integers(-(2**63), 2**63 - 1)))
        elif what == "dtype":
            arrays[name] = arrays[name].astype(data.draw(st.sampled_from(["f4", "U3", "M8[s]", "?", "u8", "c8"])))
        else:
            arrays[data.draw(st.sampled_from(["0.weight", "x", "99.bias", "-1.weight", "5.layers.3.weight"]))] = (
                arrays.pop(name)
            )
    try:
        made = IntegerNetwork.restored(description, arrays, (2, 6, 5))
    except InputError:
        return
    made(np.zeros((1, 2, 6, 5)))


def test_layers_that_do_not_fit_each_other_are_refused():
    dense = Dense(np.ones((3, 2), int), np.zeros(3, int), 0)
    for layers, shape in (
        ([dense, dense], (2,)),
        ([dense], (2, 1)),
        ([Flatten(), Reshape([5])], (2, 3)),
        ([Residual([dense])], (2,)),
        ([Normalise(1)], (2, 2)),
        ([Scale(np.ones(3, int), np.zeros(3, int), 0)], (2,)),
        ([Convolution(np.ones((1, 1, 3, 3), int), np.zeros(1, int), 0, (1, 1), (0, 0))], (1, 2, 2)),
    ):
        with pytest.raises(InputError, match="does not take examples of shape"):
            IntegerNetwork(layers, shape)
    grown = TransposedConvolution(np.ones((1, 1, 1, 1), int), np.zeros(1, int), 0, (64, 64), (0, 0), (0, 0))
    with pytest.raises(InputError, match="too large"):
        IntegerNetwork([grown, grown], (1, 10, 10))
