"""Convolutions as products of matrices are the ones of kernel 4 and stride 2."""

import pytest
import torch
from torch import Tensor, nn

from narrows.networks.flattening import channels_last
from narrows.networks.halving import Doubling, Halving

SIZES = [(28, 28), (6, 10), (7, 8), (1, 4)]


def layer_and_maps(kind: type[nn.Module], channels: int, size: tuple[int, int]) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    if kind is Halving:
        return Halving(channels, 5, size).double(), torch.randn(2, channels, *size, dtype=torch.float64)
    half = [max(side // 2, 1) for side in size]
    return Doubling(5, channels, size).double(), torch.randn(2, 5, *half, dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("kind", [Halving, Doubling])
def test_training_computes_what_use_computes(kind: type[nn.Module], channels: int, size: tuple[int, int]) -> None:
    layer, maps = layer_and_maps(kind, channels, size)
    maps.requires_grad_()
    found = []
    for training in (True, False):
        out = layer.train(training)(maps)
        weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
        found.append((out, *torch.autograd.grad((out * weights).sum(), (maps, *layer.parameters()))))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("kind", [Halving, Doubling])
def test_few_channels_learn_by_a_product_and_many_do_not(
    kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    import narrows.networks.lowering as lowering

    whole = lowering.lowered if kind is Halving else lowering.raised
    monkeypatch.setattr(lowering, whole.__name__, lambda *args: asked.append(1) or whole(*args))
    for channels, training, by_product in ((1, True, 1), (4, True, 1), (5, True, 0), (1, False, 0)):
        layer, maps = layer_and_maps(kind, channels, (8, 8))
        asked.clear()
        layer.train(training)(maps)
        assert len(asked) == by_product


@pytest.mark.parametrize("kind", [Halving, Doubling])
def test_a_product_for_few_channels_stays_in_float32(kind: type[nn.Module]) -> None:
    layer, maps = layer_and_maps(kind, 1, (8, 8))
    layer, maps = layer.float(), maps.float()
    expected = layer(maps)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(maps)
    assert torch.equal(found, expected)
    found.square().sum().backward()
    assert layer.weight.grad.dtype == torch.float32


def test_a_map_and_its_slope_are_laid_out_alike() -> None:
    maps = torch.randn(2, 3, 4, 5, requires_grad=True)
    laid_out = channels_last(maps)
    assert torch.equal(laid_out, maps)
    assert laid_out.is_contiguous(memory_format=torch.channels_last)
    slopes: list[Tensor] = []
    laid_out.register_hook(slopes.append)
    (slope,) = torch.autograd.grad(laid_out, maps, torch.ones(2, 3, 4, 5))
    assert slope.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(slope, torch.ones_like(slope))
