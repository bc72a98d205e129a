"""The fully connected network, plain, residual and linear."""

import math

import pytest
import torch
from torch import nn

from narrows.errors import InputError
from narrows.networks import Mlp

SHAPES = [(1,), (6,), (2, 3, 4)]


def built(shape=(6,), **settings):
    torch.manual_seed(0)
    network = Mlp(**{"width": 16, **settings})
    network.build(shape, features=5, code=3, outputs=2 * math.prod(shape))
    return network


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize("residual", [False, True])
def test_shapes(shape, depth, residual):
    network = built(shape, depth=depth, residual=residual)
    assert network.encode(torch.randn(4, *shape)).shape == (4, 5)
    assert network.decode(torch.randn(7, 3)).shape == (7, 2 * math.prod(shape))


@pytest.mark.parametrize("residual", [False, True])
def test_without_depth_both_sides_are_affine(residual):
    network = built(depth=0, residual=residual)
    assert sum(isinstance(module, nn.Linear) for module in network.modules()) == 2
    a, b = torch.randn(2, 4, 6)
    torch.testing.assert_close(network.encode((a + b) / 2), (network.encode(a) + network.encode(b)) / 2)
    a, b = torch.randn(2, 4, 3)
    torch.testing.assert_close(network.decode((a + b) / 2), (network.decode(a) + network.decode(b)) / 2)


def test_the_plain_network_is_its_formula():
    network = built(depth=2)
    w0, b0, w1, b1, w2, b2 = network.encoder.parameters()
    x = torch.randn(4, 6)
    h = (x @ w0.T + b0).relu()
    torch.testing.assert_close(network.encode(x), (h @ w1.T + b1).relu() @ w2.T + b2)


def test_residual_blocks_begin_as_the_identity():
    network = built(depth=3, residual=True)
    x = torch.randn(4, 6)
    first, *_, norm, silu, last = network.encoder
    torch.testing.assert_close(network.encode(x), last(silu(norm(first(x)))))


def test_a_residual_block_is_its_formula():
    network = built(depth=1, residual=True)
    block = network.encoder[1]
    nn.init.normal_(block.change[-1].weight)
    h = torch.randn(4, 16)
    norm, inner, _, outer = block.change
    torch.testing.assert_close(block(h), h + outer(nn.functional.silu(inner(norm(h)))))


@pytest.mark.parametrize("settings", [{"depth": 0}, {"depth": 2}, {"depth": 2, "residual": True}])
def test_every_weight_gets_a_gradient(settings):
    network = built(**settings)
    with torch.no_grad():  # the last map of a residual block begins at zero and hides the one before it
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    (network.encode(torch.randn(32, 6)).square().sum() + network.decode(torch.randn(32, 3)).square().sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("wrong", [{"width": 0}, {"depth": -1}, {"depth": 1001}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=f"network.{next(iter(wrong))} was given as"):
        Mlp(**wrong)
