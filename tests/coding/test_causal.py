"""The network over the causal neighbourhood: the whole numbers of a loop in plain Python, in any batch and order."""

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from narrows.coding.causal import (
    CEILING,
    MOST_SHIFT,
    MOST_TOLD,
    CausalNetwork,
    First,
    Sums,
    arrays_of,
    layers_of,
    window,
)
from narrows.coding.products import full_precision
from narrows.errors import InputError

SHAPES = [(1, 5, 6), (3, 4, 3), (1, 1, 1), (4, 2, 5), (1, 7, 1), (2, 1, 6)]


def drawn(r, outputs, inputs, largest, room=1 << 24):
    """Sums as large as may be: half of the room is for weights, a quarter for the bias."""
    most = max(room // 2 // (largest * inputs), 1)
    weights = r.integers(-most, most + 1, (outputs, inputs), np.int32)
    bias, shifts = r.integers(-room // 8, room // 8, outputs, np.int32), r.integers(6, 20, outputs, np.int8)
    return Sums(weights, bias, shifts)


@cache
def network(shape, levels=256, reach=2, width=6, depth=2, components=2, seed=0, told=0):
    r = np.random.default_rng(seed)
    channels, height, width_of_image = shape
    firsts = [
        First(
            drawn(
                r,
                width + 1,
                len(window(channel, channels, reach)) + told,
                max(levels - 1, MOST_TOLD * (told > 0)),
                1 << 22,
            ),
            *(r.integers(-6, 7, (side, width)).astype(np.int32) for side in (height, width_of_image)),
        )
        for channel in range(channels)
    ]
    hidden = [drawn(r, width, width, CEILING) for _ in range(depth - 1)]
    last = drawn(r, 3 * components, width, CEILING)
    return CausalNetwork(shape, levels, reach, firsts, hidden, last, components, told)


def images(shape, levels, n, seed=1):
    return np.random.default_rng(seed).integers(0, levels, (n, *shape))


def canvas_of(net, values):
    canvas = net.canvas(len(values))
    for channel in range(net.shape[0]):
        for row in range(net.shape[1]):
            for column in range(net.shape[2]):
                cell = net.cells(channel, [(row, column)])
                canvas[cell] = net.seen(torch.from_numpy(values[:, channel, row, column]))
    return canvas


def everywhere(net, values, batch=None, told=None):
    """Numbers of the law of every level, (n, c, rows, columns, P), all places at once."""
    n, (channels, height, width) = len(values), net.shape
    places = [(row, column) for row in range(height) for column in range(width)]
    canvas = canvas_of(net, values)
    if told is not None:
        net.tell(canvas, told)
    with full_precision():
        parts = [
            np.stack([net(some, c, places).reshape(height, width, some.shape[1], -1) for c in range(channels)])
            for some in canvas.split(batch or max(n, 1), 1)
        ]
    return np.concatenate(parts, 3).transpose(3, 0, 1, 2, 4)


def floored(total, shift):
    """Rounded down, in Python's whole numbers, which have no end."""
    return int(total) >> int(shift)


def told_of(net, image, channel, row, column, told=()):
    """What the docstring says, one number after the other."""
    first = net.firsts[channel]
    seen = []
    for c, up, side in window(channel, net.shape[0], net.reach):
        r, x = row + up, column + side
        inside = 0 <= r < net.shape[1] and 0 <= x < net.shape[2]
        seen.append(2 * int(image[c, r, x]) - net.levels + 1 if inside else 0)
    seen += [min(max(int(number[channel, row, column]), -1024), 1024) for number in told]

    def sums(layer, inputs):
        for weights, bias, shift in zip(layer.weights, layer.bias, layer.shifts, strict=True):
            yield floored(sum(int(w) * x for w, x in zip(weights, inputs, strict=True)) + int(bias), shift)

    *units, line = sums(first.sums, seen)
    units = [u + int(a) + int(b) for u, a, b in zip(units, first.rows[row], first.columns[column], strict=True)]
    for layer in net.hidden:
        units = list(sums(layer, [min(max(u, 0), CEILING) for u in units]))
    told = list(sums(net.last, [min(max(u, 0), CEILING) for u in units]))
    return [number + (line if place < net.components else 0) for place, number in enumerate(told)]


@pytest.mark.parametrize("levels", [2, 256])
@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_are_those_of_a_plain_loop(shape, levels):
    net, values = network(shape, levels), images(shape, levels, 2)
    found = everywhere(net, values)
    assert found.dtype == np.int32
    for place in np.ndindex(found.shape[:-1]):
        assert found[place].tolist() == told_of(net, values[place[0]], *place[1:])


@pytest.mark.parametrize(("reach", "depth", "components"), [(1, 1, 1), (3, 4, 3), (6, 2, 1)])
def test_other_sizes_of_window_and_network(reach, depth, components):
    shape = (1, 5, 6)
    net, values = network(shape, 256, reach, 5, depth, components), images(shape, 256, 1)
    found = everywhere(net, values)
    assert all(found[0, 0, r, c].tolist() == told_of(net, values[0], 0, r, c) for r, c in np.ndindex(5, 6))


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_code_tells_is_seen_beside_the_window(shape):
    net, values = network(shape, told=3), images(shape, 256, 2)
    told = np.random.default_rng(0).integers(-1500, 1500, (2, 3, *shape)).astype(np.int32)
    found, without = everywhere(net, values, told=told), everywhere(net, values)
    for place in np.ndindex(found.shape[:-1]):
        assert found[place].tolist() == told_of(net, values[place[0]], *place[1:], told[place[0]])
        assert without[place].tolist() == told_of(net, values[place[0]], *place[1:], 0 * told[place[0]])
    assert (found != without).any()
    one_by_one = everywhere(net, values[1:], told=told[1:])
    assert np.array_equal(one_by_one, found[1:])


def test_units_and_numbers_are_of_all_sizes():
    """Otherwise the tests here would say little."""
    net, values = network((1, 5, 6)), images((1, 5, 6), 256, 3)
    found = everywhere(net, values)
    assert len(np.unique(found)) > found.size / 4
    assert (found < 0).any()
    assert (found > 0).any()


def test_a_batch_and_a_number_of_threads_change_nothing():
    net, values = network((3, 4, 3), width=40), images((3, 4, 3), 256, 11)
    threads = torch.get_num_threads()
    whole = everywhere(net, values)
    try:
        for count, batch in ((1, 1), (2, 4), (2, 11), (1, 3)):
            torch.set_num_threads(count)
            assert np.array_equal(everywhere(net, values, batch), whole)
    finally:
        torch.set_num_threads(threads)
    assert net(net.canvas(0), 2, [(0, 0), (3, 2)]).shape == (0, 6)


def test_places_alone_tell_what_they_tell_together():
    net, values = network((1, 5, 6)), images((1, 5, 6), 256, 2)
    whole, canvas = everywhere(net, values), canvas_of(net, values)
    for places in net.wavefront():
        found = net(canvas, 0, places).reshape(len(places), 2, -1)
        assert all(np.array_equal(found[i], whole[:, 0, row, column]) for i, (row, column) in enumerate(places))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
@settings(max_examples=40)
def test_the_wavefront_comes_to_every_place_once_and_to_its_window_before(height, width, reach):
    net = network((2, height, width), 256, reach, 1, 1, 1)
    done = set()
    steps = list(net.wavefront())  # none of them empty, though an image may be narrower than the window
    for places in steps:
        assert places
        for row, column in places:
            for channel in range(2):
                for c, up, side in window(channel, 2, reach):
                    place = (row + up, column + side)
                    inside = 0 <= place[0] < height and 0 <= place[1] < width
                    # Channels of a place come in order.
                    assert not inside or place in done or (place == (row, column) and c < channel)
        assert done.isdisjoint(places)
        done.update(places)
    assert done == {(row, column) for row in range(height) for column in range(width)}
    assert len(steps) <= width + (reach + 1) * (height - 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_window_is_what_comes_before(channels):
    for channel in range(channels):
        near = window(channel, channels, 2)
        assert len(near) == len(set(near)) == channels * 12 + channel
        assert all((row, column, c) < (0, 0, channel) and row >= -2 and abs(column) <= 2 for c, row, column in near)


# --- What is refused -------------------------------------------------------------------------------------------------


def altered(net, **changes):
    """The network made again with some of its parts changed."""
    parts = ("shape", "levels", "reach", "firsts", "hidden", "last", "components", "told")
    return CausalNetwork(*({name: getattr(net, name) for name in parts} | changes).values())


def with_sums(layer, **changes):
    return dataclasses.replace(layer, **changes)


def one_weight(weight, bias, inputs=6):
    """A layer whose sums are at most 512 |weight| + |bias|."""
    weights = np.zeros((6, inputs), np.int32)
    weights[0, 0] = weight
    return Sums(weights, np.array([bias, 0, 0, 0, 0, 0], np.int32), np.zeros(6, np.int8))


def test_sums_up_to_what_float32_holds_are_exact_and_larger_ones_are_refused():
    net = network((1, 5, 6))
    values = np.full((1, 1, 5, 6), 255)
    most = (1 << 15) - 1  # 2^24 = 512 * 2^15
    for weight, bias in ((most, CEILING - 1), (-most, 1 - CEILING)):
        full = altered(net, last=one_weight(weight, bias))
        assert everywhere(full, values)[0, 0, 4, 5].tolist() == told_of(full, values[0], 0, 4, 5)
    for weight, bias in ((most, CEILING), (-most, -CEILING), (1 << 15, 0), (0, 1 << 24), (-(1 << 31), 0)):
        with pytest.raises(InputError, match="sums that float32 cannot hold"):
            altered(net, last=one_weight(weight, bias))
        with pytest.raises(InputError, match="sums that float32 cannot hold"):
            altered(net, hidden=[one_weight(weight, bias)])


def test_what_a_code_tells_counts_as_well():
    net = network((1, 5, 6), told=1)
    near = net.firsts[0].sums.weights.shape[1] - 1
    for weight, bias in (((1 << 14) - 1, 1023), (1 - (1 << 14), -1023)):  # 2^24 = 2^10 * 2^14
        weights, shifts = np.zeros((7, near + 1), np.int32), np.full(7, 4, np.int8)
        weights[2, near] = weight
        rows, columns = np.zeros((5, 6), np.int32), np.zeros((6, 6), np.int32)
        first = First(Sums(weights, np.full(7, bias, np.int32), shifts), rows, columns)
        full, values = altered(net, firsts=[first]), np.zeros((1, 1, 5, 6), int)
        for told in (np.full((1, 1, 1, 5, 6), 1 << 20, np.int32), np.full((1, 1, 1, 5, 6), -(1 << 31), np.int32)):
            assert everywhere(full, values, told=told)[0, 0, 4, 5].tolist() == told_of(
                full, values[0], 0, 4, 5, told[0]
            )
        more = dataclasses.replace(first, sums=with_sums(first.sums, bias=np.full(7, bias + np.sign(bias), np.int32)))
        with pytest.raises(InputError, match="sums that float32 cannot hold"):
            altered(net, firsts=[more])
    for told in (0, 2):
        with pytest.raises(InputError, match="export it again"):
            altered(net, told=told)


def test_offsets_by_position_count_as_well():
    net = network((1, 5, 6))
    first = net.firsts[0]
    inputs = first.sums.weights.shape[1]
    nothing = Sums(np.zeros((7, inputs), np.int32), np.zeros(7, np.int32), np.full(7, 4, np.int8))
    rows, columns = np.zeros((5, 6), np.int32), np.zeros((6, 6), np.int32)
    rows[2, 3], columns[1, 3] = (1 << 19), -(1 << 19) + 1
    altered(net, firsts=[First(nothing, rows, columns)])
    columns[4, 3] = -(1 << 19)
    with pytest.raises(InputError, match="sums that float32 cannot hold"):
        altered(net, firsts=[First(nothing, rows, columns)])


LAST, FIRST = network((1, 5, 6)).last, network((1, 5, 6)).firsts[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"last": with_sums(LAST, weights=LAST.weights.astype(float))},
        {"last": with_sums(LAST, weights=LAST.weights[:, :-1])},
        {"last": with_sums(LAST, weights=LAST.weights[0])},
        {"last": with_sums(LAST, weights=np.zeros((0, 6), int))},
        {"last": with_sums(LAST, bias=LAST.bias[:-1])},
        {"last": with_sums(LAST, shifts=LAST.shifts[:, None])},
        {"last": with_sums(LAST, shifts=np.full(6, MOST_SHIFT + 1, np.int8))},
        {"last": with_sums(LAST, shifts=np.full(6, -1, np.int8))},
        {"hidden": [LAST, with_sums(LAST, weights=LAST.weights[:5], bias=LAST.bias[:5], shifts=LAST.shifts[:5])]},
        {"components": 3},
        {"firsts": []},
        {"firsts": [FIRST, FIRST]},
        {"firsts": [dataclasses.replace(FIRST, rows=FIRST.rows[:-1])]},
        {"firsts": [dataclasses.replace(FIRST, columns=FIRST.columns[:, :-1])]},
        {"firsts": [dataclasses.replace(FIRST, columns=FIRST.columns.astype(float))]},
        {"firsts": [dataclasses.replace(FIRST, sums=LAST)]},
        {"reach": 3},
        {"shape": (1, 6, 6)},
        {"shape": (2, 5, 6)},
    ],
)
def test_parts_that_do_not_fit_are_refused(changes):
    with pytest.raises(InputError, match="export it again"):
        altered(network((1, 5, 6)), **changes)


def test_layers_are_found_by_their_names():
    held = arrays_of(LAST, "last")
    assert sorted(held) == ["last.bias", "last.shifts", "last.weights"]
    assert layers_of(held, "last") == LAST
    with pytest.raises(InputError, match=r"weights of shape \(\)"):
        layers_of(held | {"last.weights": np.array(3)}, "last")
    del held["last.bias"]
    with pytest.raises(InputError, match=r"lacks its last\.bias"):
        layers_of(held, "last")
