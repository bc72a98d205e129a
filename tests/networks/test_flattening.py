"""Linear maps of whole maps: training computes what use computes, whichever order of cells it takes."""

import pytest
import torch
from torch import Tensor, nn

from narrows.networks.flattening import Flattening, Unflattening, channels_last

SHAPE = (3, 4, 5)
FEW, MANY = 2, 9  # rows, less and more than the units on the other side


def outputs_and_slopes(layer: nn.Module, rows: Tensor) -> list[Tensor]:
    out = layer(rows)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    return [out, *torch.autograd.grad((out * weights).sum(), (rows, *layer.parameters()))]


@pytest.mark.parametrize("n", [FEW, MANY])
def test_maps_are_flattened_alike(n: int) -> None:
    torch.manual_seed(0)
    layer, maps = Flattening(SHAPE, 6).double(), channels_last(torch.randn(n, *SHAPE, dtype=torch.float64))
    plain = nn.Sequential(nn.Flatten(), nn.Linear(60, 6).double())
    plain[1].load_state_dict(layer.state_dict())
    expected = outputs_and_slopes(plain, maps.requires_grad_())
    for training in (True, False):
        torch.testing.assert_close(outputs_and_slopes(layer.train(training), maps), expected)


@pytest.mark.parametrize("n", [FEW, MANY])
def test_rows_are_unflattened_alike(n: int) -> None:
    torch.manual_seed(0)
    layer, rows = Unflattening(6, SHAPE).double(), torch.randn(n, 6, dtype=torch.float64)
    plain = nn.Sequential(nn.Linear(6, 60).double(), nn.Unflatten(1, SHAPE))
    plain[0].load_state_dict(layer.state_dict())
    expected = outputs_and_slopes(plain, rows.requires_grad_())
    for training in (True, False):
        torch.testing.assert_close(outputs_and_slopes(layer.train(training), rows), expected)


@pytest.mark.parametrize("n", [FEW, MANY])
def test_maps_in_training_and_their_slopes_keep_the_channels_side_by_side(n: int) -> None:
    maps = Unflattening(6, SHAPE)(torch.randn(n, 6))
    assert maps.is_contiguous(memory_format=torch.channels_last) == (n == MANY)
    maps = channels_last(maps).detach().requires_grad_()
    (slope,) = torch.autograd.grad(Flattening(SHAPE, 6)(maps).square().sum(), maps)
    assert slope.is_contiguous(memory_format=torch.channels_last)
