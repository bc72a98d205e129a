"""Layers in whole numbers that take activations one by one, or an example's together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from math import isqrt, prod
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.coding.exact import (
    EXACT,
    LIMIT,
    STEP,
    Arrays,
    Layer,
    Shape,
    check_sums,
    check_whole,
    described,
    half,
    layers_from,
    rounded,
    shapes_along,
)
from narrows.coding.functions import exactly
from narrows.errors import InputError

_REACH = 16  # where silu ends to be a table: it is 0 below, and x above
_TABLE_STEPS = 256  # to a unit
_BETWEEN = (1 << STEP) // _TABLE_STEPS
_FINE = 16  # bits of a value of the table after the point


class Rectify(Layer, kind="rectify"):
    """``max(x, 0)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, *shape)."""
        return x.clamp_min(0)


class Flatten(Layer, kind="flatten"):
    """The numbers of an example in a row."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, *shape) -> (n, numbers)."""
        return x.flatten(1)

    def shape_after(self, shape: Shape) -> Shape:
        """A row."""
        return (prod(shape),)


class Reshape(Layer, kind="reshape"):
    """The same numbers in another shape.

    Parameters
    ----------
    shape : sequence of int
        Of one example.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.settings = {"shape": [check_whole("a side", side, 1, LIMIT) for side in shape]}

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, *shape)."""
        return x.reshape(len(x), *self.settings["shape"])

    def shape_after(self, shape: Shape) -> Shape:
        """The shape asked for, if it holds as many numbers."""
        after = tuple(self.settings["shape"])
        self.expect(prod(shape) == prod(after), shape)
        return after


class Scale(Layer, kind="scale"):
    """``floor((g x + b) / 2^shift + 1/2)``, with one g and one b along each index of the first axis.

    Parameters
    ----------
    gain, offset : array of whole numbers, shape (first axis,)
        One number serves an axis of any length.
    shift : int
        From 0 to 40.
    """

    gain: Tensor
    offset: Tensor

    def __init__(self, gain: NDArray[Any], offset: NDArray[Any], shift: int) -> None:
        super().__init__()
        if gain.ndim != 1:
            raise InputError(f"a layer of a codec has gains of shape {gain.shape}; a row is wanted")
        check_sums(gain, offset, shift)
        self.take(gain=gain, offset=offset)
        self.settings = {"shift": shift}

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, *shape)."""
        shift = self.settings["shift"]
        along = (-1, *(1 for _ in x.shape[2:]))
        return rounded((x * self.gain.view(along)).add_((self.offset + half(shift)).view(along)), shift)

    def shape_after(self, shape: Shape) -> Shape:
        """The same, if the first axis is as long as there are gains."""
        self.expect(len(shape) > 0 and len(self.gain) in (1, shape[0]), shape)
        return shape


class Normalise(Layer, kind="normalise"):
    """Layer normalisation, ``(x - mean) / sqrt(variance + floor 2^-24)``, over the numbers (width,) of an example.

    Parameters
    ----------
    floor : int
        What is added to the variance, in steps of 2^-24; at least 1.
    """

    def __init__(self, floor: int) -> None:
        super().__init__()
        self.settings = {"floor": check_whole("floor", floor, 1, LIMIT)}

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width)."""
        width = torch.full_like(x[:, :1], x.shape[1])
        # Never divided by a plain number: for that, some devices multiply by a rounded reciprocal.
        mean = (x.sum(1, keepdim=True) / width).add_(0.5).floor_()
        apart = (x - mean).clamp_(-_farthest(x.shape[1]), _farthest(x.shape[1]))
        variance = (apart.square().sum(1, keepdim=True) / width).floor_() + self.settings["floor"]
        # A small variance is taken 2^24 times, so that its root has 15 bits at least.
        small = variance < 1 << 28
        root = _root(torch.where(small, variance * (1 << 24), variance))
        ones = torch.where(small, 1 << 24, 1 << 12).to(x.dtype)
        return (apart * ones / root).add_(0.5).floor_().clamp_(-LIMIT, LIMIT)

    def shape_after(self, shape: Shape) -> Shape:
        """The same, if it is a row."""
        self.expect(len(shape) == 1, shape)
        return shape


class Silu(Layer, kind="silu"):
    """``x / (1 + exp(-x))`` by a table of 256 steps to a unit, linear between them; beyond 16 units 0 and x."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, *shape)."""
        edge = _REACH << STEP
        inside = x.clamp(-edge, edge - 1)
        value = torch.from_numpy(_silu()).to(x.device)[(inside + edge).long()]
        # Beyond the table, from 16 on, it rises as x does.
        return (x - inside).clamp_min_(0).add_(value)


class Residual(Layer, kind="residual"):
    """``x + layers(x)``.

    Parameters
    ----------
    layers : sequence of Layer
        They end in the shape in which they began.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, *shape)."""
        return (x + self.layers(x)).clamp_(-LIMIT, LIMIT)

    def shape_after(self, shape: Shape) -> Shape:
        """The same, if the layers keep it."""
        self.expect(shapes_along(self.layers, shape)[-1] == shape, shape)
        return shape

    def description(self) -> dict[str, Any]:
        """Kind, and the layers' descriptions."""
        return {"kind": self.kind, "layers": described(self.layers)}

    @classmethod
    def restored(cls, settings: Mapping[str, Any], arrays: Arrays) -> Self:
        """Make the layers, and of them the whole."""
        (description,) = settings.values()
        return cls(layers_from(description, {name.removeprefix("layers."): own for name, own in arrays.items()}))


def _farthest(width: int) -> int:
    """The largest number of which ``width`` squares have an exact sum."""
    return isqrt((EXACT - 1) // width)


def _root(x: Tensor) -> Tensor:
    """The largest whole number whose square is at most x, a whole number below 2^53."""
    root = x.sqrt().floor_()
    # Some libraries' roots are off in the last bit, so that it may be one too much or too little.
    root = root - (root * root > x).to(x.dtype)
    return root + ((root + 1) * (root + 1) <= x).to(x.dtype)


@lru_cache
def _silu() -> NDArray[np.float32]:
    """2^12 silu at 2^-12 from -16 to 16, linear between steps of 2^-8; float32 holds such numbers, and is in cache."""
    last = _REACH * _TABLE_STEPS

    def silu(i: int) -> Decimal:
        x = Decimal(i) / _TABLE_STEPS
        return (x / (1 + (-x).exp())) * (1 << _FINE)

    above = exactly(silu, range(last + 1))
    below = above - np.arange(last + 1, dtype=np.int64) * ((1 << _FINE) // _TABLE_STEPS)  # silu(-x) = silu(x) - x
    steps: NDArray[np.int64] = np.concatenate([below[:0:-1], above])[:, None]
    between = np.arange(_BETWEEN, dtype=np.int64)
    lines = steps[:-1] * (_BETWEEN - between) + steps[1:] * between
    shift = _FINE - STEP + _BETWEEN.bit_length() - 1
    return ((lines + half(shift)) >> shift).ravel().astype(np.float32)
