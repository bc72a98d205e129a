"""Networks in whole numbers: the same on every machine, for any batch, order of summing and number of threads.

Whole numbers are held in float64. Activations are in steps of 2^-12 and never beyond `LIMIT`; a layer is refused when
it is made if a partial sum could reach 2^53, below which every sum is exact in whatever order it is taken. Beside sums
there are only single operations on float64, which IEEE 754 rounds in one way, and whose results are rounded down.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import prod
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from narrows.coding.products import full_precision
from narrows.errors import InputError, unknown

STEP = 12
"""Activations are whole numbers of 2^-12."""
LIMIT = (1 << 23) - 1
"""The largest activation: nearly 2048, in steps of 2^-12."""
EXACT = 1 << 53
"""Below it, float64 holds every whole number."""

_LARGEST_SHIFT = 40
_WIDEST = 1 << 22
_NUMBERS_AT_ONCE = 1 << 20

Shape = tuple[int, ...]
Arrays = Mapping[str, NDArray[Any]]


class Layer(nn.Module):
    """A map from whole numbers to whole numbers, both held in float64 and from -LIMIT to LIMIT.

    The constructor takes arrays of whole numbers, which become buffers of the same names, and plain values, which it
    keeps in ``settings``: from both together the layer can be made again.
    """

    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type[Layer]]] = {}

    settings: Mapping[str, Any] = {}

    def __init_subclass__(cls, *, kind: str) -> None:
        super().__init_subclass__()
        cls.kind = kind
        Layer.kinds[kind] = cls

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map activations (n, *shape)."""

    def shape_after(self, shape: Shape) -> Shape:
        """Shape of one example after the layer; `InputError` if it does not take examples of such a shape."""
        return shape

    def description(self) -> dict[str, Any]:
        """Kind and settings, in plain JSON values."""
        return {"kind": self.kind, **self.settings}

    @classmethod
    def restored(cls, settings: Mapping[str, Any], arrays: Arrays) -> Self:
        """Make it again."""
        return cls(**settings, **arrays)

    def take(self, **arrays: NDArray[Any]) -> None:
        """Keep arrays of whole numbers, each exactly, as buffers."""
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(array.astype(np.float64)))

    def expect(self, fits: bool, shape: Shape) -> None:
        """Refuse examples of a shape that does not fit."""
        if not fits:
            raise InputError(f"a layer {self.kind} of a codec does not take examples of shape {shape}; export it again")


class IntegerNetwork:
    """Layers one after the other.

    Parameters
    ----------
    layers : iterable of Layer
    shape : tuple of int
        Of one example before the first.

    Raises
    ------
    InputError
        If the layers do not fit each other.
    """

    def __init__(self, layers: Iterable[Layer], shape: Shape) -> None:
        self.layers = nn.Sequential(*layers)
        shapes = shapes_along(self.layers, shape)
        self.shape, self.shape_after = shape, shapes[-1]
        self.widest = max(prod(shape) for shape in shapes)
        if self.widest > _WIDEST:
            raise InputError(f"a network with {self.widest} numbers side by side is too large to be a codec")

    def __call__(self, x: NDArray[Any], batch: int = 1024, device: torch.device | str = "cpu") -> NDArray[np.int32]:
        """Map whole numbers (n, *shape) to (n, *shape_after), at most ``batch`` examples at a time."""
        y = np.empty((len(x), *self.shape_after), dtype=np.int32)
        rows = max(1, min(batch, _NUMBERS_AT_ONCE // self.widest))
        layers = self.layers.to(device)
        with full_precision():
            for low in range(0, len(x), rows):
                some = torch.from_numpy(x[low : low + rows].astype(np.float64)).to(device)
                y[low : low + rows] = layers(some).cpu().numpy()
        return y

    def description(self) -> list[dict[str, Any]]:
        """Kind and settings of each layer, in plain JSON values."""
        return described(self.layers)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, whole numbers in as few bytes as hold them."""
        return {name: _narrowed(buffer.cpu().numpy()) for name, buffer in self.layers.state_dict().items()}

    @classmethod
    def restored(cls, description: Any, arrays: Arrays, shape: Shape) -> IntegerNetwork:
        """Make it again from what a file says, whatever that is.

        Raises
        ------
        InputError
            If it is not what `description` and `arrays` of a network for such examples give.
        """
        try:
            return cls(layers_from(description, arrays), shape)
        except InputError:
            raise
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            raise InputError(f"a codec describes a network that cannot be ({error}); export it again") from None


def described(layers: nn.Sequential) -> list[dict[str, Any]]:
    """Kind and settings of each layer; the inverse is `layers_from`."""
    return [layer.description() for layer in cast(Iterable[Layer], layers)]


def layers_from(description: Sequence[Mapping[str, Any]], arrays: Arrays) -> list[Layer]:
    """Make layers from their descriptions and arrays, named by the layer's place, a point and their own name."""
    own: dict[str, dict[str, NDArray[Any]]] = {str(place): {} for place in range(len(description))}
    for name, array in arrays.items():
        place, _, rest = name.partition(".")
        own[place][rest] = array
    layers = []
    for entry, held in zip(description, own.values(), strict=True):
        settings = dict(entry)
        kind = settings.pop("kind")
        if kind not in Layer.kinds:
            raise unknown("layer of a codec", kind, Layer.kinds)
        layers.append(Layer.kinds[kind].restored(settings, held))
    return layers


def shapes_along(layers: nn.Sequential, shape: Shape) -> list[Shape]:
    """Shapes of one example before the first layer, between layers and after the last one; `InputError` if none fit."""
    return list(accumulate(layers, lambda before, layer: cast(Layer, layer).shape_after(before), initial=shape))


def rounded(sums: Tensor, shift: int) -> Tensor:
    """``floor(sums / 2^shift)``, held to -LIMIT..LIMIT; in place. Half a step belongs into the sums."""
    return sums.mul_(2.0**-shift).floor_().clamp_(-LIMIT, LIMIT)


def half(shift: int) -> int:
    """Half a step of what is left after a shift."""
    return 1 << shift >> 1


def check_sums(weights: NDArray[Any], bias: NDArray[Any], shift: int) -> None:
    """Check that the sums of weights and activations that go into each output are exact.

    Parameters
    ----------
    weights : array of whole numbers, shape (outputs, ...)
        All that meet activations on their way into an output.
    bias : array of whole numbers, shape (outputs,)
    shift : int
        From 0 to 40.

    Raises
    ------
    InputError
        If a partial sum could reach 2^53, or something is of another type or shape.
    """
    for array in (weights, bias):
        if array.dtype.kind not in "iu" or array.dtype.itemsize > 8 or not array.size:
            raise InputError("a layer of a codec has weights that are no whole numbers, or none; export it again")
    if bias.shape != weights.shape[:1]:
        raise InputError(f"a layer of a codec has weights for {len(weights)} outputs and {bias.shape} offsets")
    check_whole("shift", shift, 0, _LARGEST_SHIFT)
    if not exact_sums(weights, bias):
        raise InputError(
            "weights are too large for sums of whole numbers below 2^53; train with smaller ones, for example with "
            "fewer epochs or a lower rate"
        )


def exact_sums(weights: NDArray[Any], bias: NDArray[Any]) -> bool:
    """Whether the partial sums of each output stay below 2^53."""
    # In float64: too large a sum may be rounded, but it does not become small by it.
    sums = np.abs(weights.astype(np.float64)).reshape(len(weights), -1).sum(1) * LIMIT + np.abs(bias.astype(np.float64))
    return bool((sums < EXACT / 2).all())


def check_whole(name: str, value: Any, low: int, high: int) -> int:
    """Check a plain whole number that a file brings."""
    if type(value) is not int or not low <= value <= high:
        raise InputError(f"a layer of a codec has {name} {value!r}; allowed are whole numbers from {low} to {high}")
    return value


def _narrowed(numbers: NDArray[np.float64]) -> NDArray[Any]:
    """Whole numbers in the smallest signed type."""
    most = int(np.abs(numbers).max())
    return numbers.astype(next(t for t in (np.int8, np.int16, np.int32, np.int64) if most <= np.iinfo(t).max))
