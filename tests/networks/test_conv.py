"""The convolutional network: exactly the input's shape back, for any image."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.networks import Conv

SIDE = st.integers(1, 40)


def built(shape, params=1, **settings):
    network = Conv(**{"channels": 2, "hidden": 0, **settings})
    network.build(shape, features=6, code=3, outputs=params * math.prod(shape))
    return network


@given(height=SIDE, width=SIDE, channels=st.integers(1, 4), stages=st.integers(0, 6), params=st.integers(1, 3))
def test_any_image_comes_back_in_its_own_shape(height, width, channels, stages, params):
    shape = (channels, height, width)
    network = built(shape, params, stages=stages)
    assert network.encode(torch.randn(2, *shape)).shape == (2, 6)
    assert network.decode(torch.randn(2, 3)).shape == (2, params * math.prod(shape))


@given(height=SIDE, width=SIDE, stages=st.integers(0, 6))
def test_every_pixel_counts_and_is_reached(height, width, stages):
    network = built((1, height, width), stages=stages).double()
    with torch.no_grad():  # positive weights, so that no gradient can cancel or meet a closed relu
        for parameter in network.parameters():
            parameter.copy_(parameter.abs() + 0.01)
    seen = torch.ones(1, 1, height, width, dtype=torch.float64, requires_grad=True)
    network.encode(seen).sum().backward()
    reached = network.decode(torch.ones(1, 3, dtype=torch.float64))
    assert (seen.grad > 0).all()
    assert (reached > 0).all()


@pytest.mark.parametrize(
    ("side", "stages"), [(1, 1), (7, 1), (8, 1), (14, 1), (15, 1), (16, 2), (28, 2), (31, 2), (32, 3)]
)
def test_by_default_the_longer_side_is_halved_to_seven_or_less(side, stages):
    network = built((1, side, 1))
    assert len(network.encoder) == 2 * stages
    assert network.small_shape[1] <= 7


@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 1), (2, 1, 1)])
def test_every_weight_gets_a_gradient(shape, hidden):
    network = built(shape, hidden=hidden, channels=4, params=2)
    torch.manual_seed(0)
    (
        network.encode(torch.randn(32, *shape)).square().sum() + network.decode(torch.randn(32, 3)).square().sum()
    ).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_channels_double_up_to_eightfold():
    network = built((1, 40, 40), stages=6, channels=3)
    assert [layer.out_channels for layer in network.encoder[::2]] == [3, 6, 12, 24, 24, 24]


def test_vectors_are_refused():
    assert "take network=mlp" in Conv().refuses(Schema((6,), 0.0, 1.0))
    assert Conv().refuses(Schema((1, 6, 6), 0.0, 1.0)) is None


@pytest.mark.parametrize("wrong", [{"channels": 0}, {"stages": -1}, {"stages": 17}, {"hidden": -1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=f"network.{next(iter(wrong))} was given as"):
        Conv(**wrong)
