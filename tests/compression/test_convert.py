"""From floats to whole numbers: near to the float network, rounded in one way only, refused with a way out."""

import numpy as np
import pytest
import torch
from torch import nn

from narrows.coding.exact import EXACT, LIMIT, IntegerNetwork
from narrows.compression.convert import converted, in_whole_numbers, layers_for, sides, standardised
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.model import Model, Recipe
from narrows.networks.conv import Conv
from narrows.networks.mlp import Mlp


def built(network, shape, code=5, outputs=None, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.build(shape, 2 * code, code, outputs or 2 * int(np.prod(shape)))
        for parameter in network.parameters():  # residual blocks begin as the identity, which tells nothing
            parameter.data += 0.05 * torch.randn_like(parameter)
    return network.eval()


NETWORKS = [
    (Mlp(width=64, depth=2), (1, 6, 6)),
    (Mlp(depth=0), (7,)),
    (Mlp(width=64, depth=2, residual=True), (9,)),
    (Conv(channels=4), (1, 28, 28)),
    (Conv(channels=4, hidden=0), (3, 13, 9)),
    (Conv(channels=4, stages=3), (3, 1, 30)),
]


@pytest.mark.parametrize(("network", "shape"), NETWORKS, ids=lambda value: getattr(value, "kind", None))
def test_networks_in_whole_numbers_are_near_to_those_in_floats(network, shape):
    network = built(network, shape)
    encoding, decoding = sides(network)
    r = torch.Generator().manual_seed(0)
    for modules, inputs, run in (
        (encoding, torch.randn(40, *shape, generator=r), network.encode),
        (decoding, torch.randn(40, 5, generator=r), network.decode),
    ):
        whole = (inputs * 4096).round()
        with torch.no_grad():
            known = run(whole / 4096).flatten(1).numpy()
        found = IntegerNetwork(converted(modules), tuple(inputs.shape[1:]))(whole.numpy()) / 4096
        assert np.abs(found - known).max() < 0.02 * known.std()


def test_the_standardised_input_is_that_of_the_transform():
    spec = {"network": "mlp", "latent": "gaussian", "likelihood": "logistic", "corruption": "none"}
    spec |= {"objective": "elbo", "gradient": "pathwise"}
    model = Model(Recipe.from_spec(spec), Schema((3, 4, 4), 0.0, 255.0, 1.0, layout="hwc"))
    raw = torch.from_numpy(np.random.default_rng(0).integers(0, [[[[40]], [[200]], [[3]]]], (200, 3, 4, 4))).to(
        torch.uint8
    )
    model.adapt(raw)
    found = IntegerNetwork([standardised(model.transform)], (3, 4, 4))(raw.numpy()) / 4096
    assert np.abs(found - model.transform(raw).seen.numpy()).max() < 0.6 / 4096


def test_weights_are_rounded_times_a_power_of_two_and_that_is_all():
    weight = torch.tensor([[0.3, -1.7], [0.001, 0.5]])
    whole, bias, shift = in_whole_numbers(weight, torch.tensor([0.25, -3.0]), bits=10)
    assert shift == 9  # 1.7 takes one bit before the point
    assert whole.tolist() == [[154, -870], [1, 256]]
    assert bias.tolist() == [1 << 19, -3 << 21]


def test_the_power_gives_way_where_sums_would_not_be_exact():
    weight = torch.full((1, 100_000), 1.0)
    whole, _, shift = in_whole_numbers(weight, None, bits=20)
    assert shift < 19
    assert (whole.sum() * LIMIT) < EXACT / 2 <= 2 * whole.sum() * LIMIT


@pytest.mark.parametrize("offset", [0.4, 100.0, 5e4, -5e5])
def test_numbers_fit_into_32_bits_where_that_is_possible(offset):
    weight = torch.tensor([[1e-3, -2e-3]])
    whole, bias, shift = in_whole_numbers(weight, torch.tensor([offset]), bits=24)
    assert abs(bias[0]) < 1 << 31
    assert bias[0] / 2 ** (shift + 12) == pytest.approx(offset, rel=1e-3)
    assert np.abs(whole / 2.0**shift - weight.numpy()).max() <= 2.0 ** -(shift + 1)
    assert abs(bias[0]) >= 1 << 29 or shift == 32


@pytest.mark.parametrize("weight", [torch.zeros(2, 3), torch.full((2, 3), 1e-30), torch.full((2, 3), 1e-45)])
def test_weights_next_to_nothing_are_nothing(weight):
    whole, _, shift = in_whole_numbers(weight, None)
    assert 0 <= shift <= 40
    assert np.abs(whole).max() <= 1


@pytest.mark.parametrize("large", [1e12, 1e30])
def test_weights_too_large_are_refused(large):
    for layer in (nn.Linear(2, 2), nn.Conv2d(1, 1, 2), nn.ConvTranspose2d(1, 1, 2)):
        nn.init.constant_(layer.weight, large)
        with pytest.raises(InputError, match=r"below 2\^53"):
            layers_for(layer)


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(odd):
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.bias, odd)
    with pytest.raises(InputError, match="infinite or undefined"):
        layers_for(layer)


def test_other_modules_and_networks_are_refused_with_a_way_out():
    with pytest.raises(InputError, match="Tanh has no form in whole numbers; train with network=mlp"):
        converted([nn.Sequential(nn.Linear(2, 2), nn.Tanh())])
    with pytest.raises(InputError, match="network factors has no form in whole numbers; train with network=mlp"):
        sides(Recipe.from_spec({**SPEC, "network": "factors"}).network)


SPEC = {
    "latent": "gaussian",
    "likelihood": "columns",
    "corruption": "none",
    "objective": "elbo",
    "gradient": "pathwise",
}


def test_threads_change_no_weight():
    threads = torch.get_num_threads()
    made = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            network = IntegerNetwork(converted(sides(built(Conv(channels=4), (1, 28, 28)))[0]), (1, 28, 28))
            made.append(network.arrays())
    finally:
        torch.set_num_threads(threads)
    assert made[0].keys() == made[1].keys()
    assert all((made[0][name] == made[1][name]).all() for name in made[0])
