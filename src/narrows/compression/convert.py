"""From a trained network in floating point to one in whole numbers, which is the same wherever it is made.

Each weight is multiplied by a power of two and rounded, and that is all: nothing is fitted, no float is summed. The
power is one for all weights of a layer, such that the largest has `WEIGHT_BITS` bits, or as many as leave sums exact
and offsets within 32 bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.axes import Network
from narrows.coding.elementwise import Flatten, Normalise, Rectify, Reshape, Residual, Scale, Silu
from narrows.coding.exact import STEP, Layer, exact_sums
from narrows.coding.linear import Convolution, Dense, TransposedConvolution
from narrows.data.transforms import Transform
from narrows.errors import InputError
from narrows.networks.conv import Conv
from narrows.networks.factors import Factors
from narrows.networks.mlp import Mlp, ResidualBlock

WEIGHT_BITS = 10
_GAIN_BITS = 24
_LARGEST = float(1 << 62)

Ints = NDArray[np.int64]


@singledispatch
def sides(network: Network) -> tuple[list[nn.Module], list[nn.Module]]:
    """Modules of the encoder and of the decoder in their order, from and to rows; `InputError` if it is not made so."""
    raise InputError(f"network {network.kind} has no form in whole numbers; train with network=mlp or network=conv")


@sides.register
def _(network: Mlp) -> tuple[list[nn.Module], list[nn.Module]]:
    return [nn.Flatten(), network.encoder], [network.decoder]


@sides.register
def _(network: Conv) -> tuple[list[nn.Module], list[nn.Module]]:
    encoder = [network.encoder, nn.Flatten(), network.to_features]
    return encoder, [network.from_code, nn.Unflatten(1, network.small_shape), network.decoder, nn.Flatten()]


# It has weights of its own, although it is a kind of the first.
sides.register(Factors, sides.dispatch(Network))


def standardised(transform: Transform) -> Scale:
    """From whole numbers on the grid to standardised activations."""
    # The grid is in steps of 1 and not of 2^-12.
    return Scale(*in_whole_numbers(transform.gain.flatten() * (1 << STEP), transform.offset.flatten(), _GAIN_BITS))


def converted(modules: Iterable[nn.Module]) -> list[Layer]:
    """Layers in whole numbers for modules one after the other; `InputError` if there is none for one of them."""
    return [layer for module in modules for layer in layers_for(module)]


@singledispatch
def layers_for(module: nn.Module) -> list[Layer]:
    """Layers in whole numbers that do what a module does."""
    raise InputError(f"a {type(module).__name__} has no form in whole numbers; train with network=mlp or network=conv")


@layers_for.register
def _(module: nn.Sequential) -> list[Layer]:
    return converted(module)


@layers_for.register
def _(module: nn.Linear) -> list[Layer]:
    return [Dense(*in_whole_numbers(module.weight, module.bias))]


@layers_for.register
def _(module: nn.Conv2d) -> list[Layer]:
    numbers = in_whole_numbers(module.weight, module.bias)
    return [Convolution(*numbers, module.stride, _numbers(module.padding))]


@layers_for.register
def _(module: nn.ConvTranspose2d) -> list[Layer]:
    numbers = in_whole_numbers(module.weight, module.bias, outputs=1)
    return [TransposedConvolution(*numbers, module.stride, _numbers(module.padding), module.output_padding)]


@layers_for.register
def _(_: nn.ReLU) -> list[Layer]:
    return [Rectify()]


@layers_for.register
def _(_: nn.SiLU) -> list[Layer]:
    return [Silu()]


@layers_for.register
def _(module: nn.LayerNorm) -> list[Layer]:
    floor = max(1, round(module.eps * (1 << 2 * STEP)))
    return [Normalise(floor), Scale(*in_whole_numbers(module.weight, module.bias, _GAIN_BITS))]


@layers_for.register
def _(module: ResidualBlock) -> list[Layer]:
    return [Residual(converted(module.change))]


@layers_for.register
def _(_: nn.Flatten) -> list[Layer]:
    return [Flatten()]


@layers_for.register
def _(module: nn.Unflatten) -> list[Layer]:
    return [Reshape(list(module.unflattened_size))]


def in_whole_numbers(
    weight: Tensor, bias: Tensor | None, bits: int = WEIGHT_BITS, outputs: int = 0
) -> tuple[Ints, Ints, int]:
    """Round weights and offsets times a power of two.

    Parameters
    ----------
    weight : Tensor
        Axis ``outputs`` is that of the outputs.
    bias : Tensor or None, shape (outputs,)
    bits : int
        Of the largest weight.

    Returns
    -------
    weight, bias : arrays of int64
        Times 2^shift, and 2^(shift + 12).
    shift : int
    """
    w = _in_float64(weight)
    b = np.zeros(w.shape[outputs]) if bias is None else _in_float64(bias)
    shift = bits - int(np.frexp(np.abs(w).max())[1])
    shift = min(max(shift, 0), bits + STEP)
    while True:
        whole, offset = _rounded(w, shift), _rounded(b, shift + STEP)
        if shift == 0 or (_fit(whole, offset) and exact_sums(np.moveaxis(whole, outputs, 0), offset)):
            return whole, offset, shift
        shift -= 1


def _fit(*arrays: Ints) -> bool:
    """Whether all numbers fit into 32 bits, as those of codec files do."""
    return all(np.abs(array).max() < 1 << 31 for array in arrays)


def _rounded(numbers: NDArray[np.float64], power: int) -> Ints:
    """Numbers times 2^power as whole ones, halves to even."""
    return np.clip(np.rint(np.ldexp(numbers, power)), -_LARGEST, _LARGEST).astype(np.int64)


def _in_float64(numbers: Tensor) -> NDArray[np.float64]:
    values: NDArray[np.float64] = numbers.detach().cpu().to(torch.float64).numpy()
    if not np.isfinite(values).all():
        raise InputError("the model has weights that are infinite or undefined; train again, at a lower rate")
    return values


def _numbers(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    """Padding as numbers, as all of our networks give it."""
    if isinstance(padding, str):
        raise InputError(f"a convolution padded {padding!r} has no form in whole numbers; give its padding as numbers")
    return padding
