"""A network over the causal neighbourhood of a pixel, in whole numbers that float32 holds exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.coding.products import WHOLE
from narrows.errors import InputError

ACTIVATION = 7  # units are whole numbers of 2^-7
CEILING = 4 << ACTIVATION  # the largest: 4
MOST_SHIFT = 30
TOLD = 6  # what a code tells is in steps of 2^-6
MOST_TOLD = 16 << TOLD  # and held to 16
_EXACT = WHOLE[torch.float32]

Ints = NDArray[Any]
Place = tuple[int, int]
Cell = tuple[int, int, int]


@dataclass(frozen=True)
class Sums:
    """Weighted sums: ``floor((W x + b) / 2^shift)`` for each output.

    Parameters
    ----------
    weights : array of whole numbers, shape (outputs, inputs)
    bias : array of whole numbers, shape (outputs,)
    shifts : array of whole numbers, shape (outputs,)
        From 0 to 30.
    """

    weights: Ints
    bias: Ints
    shifts: Ints

    def check(self, largest: Ints, extra: Ints | None = None) -> None:
        """Raise `InputError` if a sum over numbers of at most ``largest`` (inputs,) could leave what float32 holds.

        ``extra`` (outputs,) is the largest of what is added beside the bias.
        """
        arrays = (self.weights, self.bias, self.shifts)
        whole = all(array.dtype.kind in "iu" and array.dtype.itemsize <= 4 and array.size for array in arrays)
        outputs = self.weights.shape[:1]
        if not whole or self.weights.shape != (*outputs, len(largest)):
            raise InputError(f"a layer of a codec has weights of shape {self.weights.shape}; export it again")
        if self.bias.shape != outputs or self.shifts.shape != outputs:
            raise InputError("a layer of a codec lacks offsets or shifts; export it again")
        if self.shifts.min() < 0 or self.shifts.max() > MOST_SHIFT:
            raise InputError(f"a layer of a codec shifts by other than 0 to {MOST_SHIFT} bits; export it again")
        sums = np.abs(self.weights.astype(np.int64)) @ largest + np.abs(self.bias.astype(np.int64))
        if (sums + (0 if extra is None else extra)).max() >= _EXACT:
            raise InputError("a layer of a codec has sums that float32 cannot hold; export it again")

    def tensors(self, device: str) -> tuple[Tensor, Tensor]:
        """Weights (outputs, inputs) and bias (outputs, 1), both divided by 2^shift, which float32 does exactly."""
        scale = 2.0 ** -self.shifts.astype(np.float64)[:, None]
        pair = (self.weights * scale, self.bias[:, None] * scale)
        weights, bias = (torch.from_numpy(part.astype(np.float32)).to(device) for part in pair)
        return weights, bias


@dataclass(frozen=True)
class First:
    """Sums over the window of one channel, and what a code tells, the last of them the linear mean.

    Each row and each column has an offset beside.

    Parameters
    ----------
    sums : Sums
        ``width`` units, and one output more, in 64ths of a level.
    rows, columns : array of whole numbers, shape (height, width) and (width of the image, width)
        What is added to the units, in steps of 2^-7 after the shift.
    """

    sums: Sums
    rows: Ints
    columns: Ints


class CausalNetwork:
    """From the levels before a level in its window, and what a code tells of it, to the numbers that tell its law.

    A level v of L is seen as 2 v - L + 1, and 0 outside of the image; what a code tells, in steps of 2^-6, is held to
    -1024..1024. Units are ``min(max(floor(sum / 2^shift), 0),
    512)``, in steps of 2^-7. Every sum of absolute values stays below 2^24, so that float32 holds each partial sum
    exactly, in whatever order, batch or number of threads it is taken, and on whatever device.

    Parameters
    ----------
    shape : tuple of int
        Channels, height and width of an image.
    levels : int
        L.
    reach : int
        Rows above and columns to either side that are seen.
    firsts : sequence of First
        One a channel.
    hidden : sequence of Sums
        Layers after the first.
    last : Sums
        The numbers of the law, of which the first ``components`` get the linear mean added.
    components : int
        As said.
    told : int
        Numbers that a code tells of each level.

    Raises
    ------
    InputError
        If parts do not fit each other, or a sum could be inexact.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        levels: int,
        reach: int,
        firsts: Sequence[First],
        hidden: Sequence[Sums],
        last: Sums,
        components: int,
        told: int = 0,
    ) -> None:
        self.shape, self.levels, self.reach, self.told = shape, levels, reach, told
        self.firsts, self.hidden, self.last, self.components = firsts, hidden, last, components
        self._check()
        self._ready: dict[str, _Ready] = {}

    def _check(self) -> None:
        channels, height, width = self.shape
        if len(self.firsts) != channels:
            raise InputError(f"a codec has {len(self.firsts)} first layers for {channels} channels; export it again")
        units = self.last.weights.shape[1] if self.last.weights.ndim == 2 else 0
        for channel, first in enumerate(self.firsts):
            biases = (first.rows, first.columns)
            if any(array.dtype.kind not in "iu" or array.dtype.itemsize > 4 for array in biases):
                raise InputError("a codec has offsets by position that are no whole numbers; export it again")
            if first.rows.shape != (height, units) or first.columns.shape != (width, units):
                raise InputError(f"a codec has no offsets for images of {height} x {width} pixels; export it again")
            if first.sums.shifts.shape != (units + 1,):
                raise InputError("a codec has layers that do not fit each other; export it again")
            most = sum(np.abs(array.astype(np.int64)).max(0) for array in biases)
            extra = np.append(most << first.sums.shifts[:-1].astype(np.int64).clip(0, MOST_SHIFT), 0)
            first.sums.check(self.largest(channel), extra)
        for sums in (*self.hidden, self.last):
            sums.check(np.full(units, CEILING))
        if any(len(sums.weights) != units for sums in self.hidden) or len(self.last.weights) != 3 * self.components:
            raise InputError("a codec has layers that do not fit each other; export it again")

    def largest(self, channel: int) -> NDArray[np.int64]:
        """Largest of each number that the first layer of a channel sees: its window, and what it is told."""
        return largest_seen(len(window(channel, self.shape[0], self.reach)), self.levels, self.told)

    def canvas(self, n: int, device: str = "cpu") -> Tensor:
        """Room for n images as the network sees them, bordered, and for what they are told: (cells, n), all of it 0."""
        return torch.zeros(prod(self._planes), n, device=device)

    def tell(self, canvas: Tensor, numbers: Ints) -> None:
        """Put what a code tells, (n, told, *shape) in steps of 2^-6, on a canvas, held to -1024..1024."""
        channels, _, width = self.shape
        planes = canvas.view(*self._planes, canvas.shape[1])[channels:, self.reach :, self.reach : self.reach + width]
        held = torch.from_numpy(numbers.clip(-MOST_TOLD, MOST_TOLD)).to(canvas)
        planes.copy_(held.flatten(1, 2).movedim(0, -1))

    def cells(self, channel: int, places: Sequence[Place]) -> Tensor:
        """Rows of the canvas at which the levels of a channel at some places are, (s,)."""
        return torch.tensor([self._cell(channel, row, column) for row, column in places])

    def seen(self, levels: Tensor) -> Tensor:
        """Levels as they are written on a canvas."""
        return 2 * levels.to(torch.float32) - (self.levels - 1)

    def write(self, canvas: Tensor, channel: int, places: Sequence[Place], levels: Ints) -> None:
        """Put levels (s, n) of a channel at s places in n images on a canvas."""
        cells = self.cells(channel, places).to(canvas.device)
        canvas[cells] = self.seen(torch.from_numpy(levels)).to(canvas.device)

    def __call__(self, canvas: Tensor, channel: int, places: Sequence[Place]) -> NDArray[np.int32]:
        """Numbers (s * n, outputs) for the levels of a channel at s places in n images, places first."""
        if not canvas.shape[1]:
            return np.zeros((0, len(self.last.weights)), np.int32)
        device = str(canvas.device)
        if device not in self._ready:
            self._ready[device] = _Ready(self, device)
        return self._ready[device](canvas, channel, places)

    @property
    def _planes(self) -> tuple[int, int, int]:
        """Shape of an image's canvas: the planes of its channels, and then one a channel for each number told."""
        channels, height, width = self.shape
        return channels * (1 + self.told), height + self.reach, width + 2 * self.reach

    def _cell(self, plane: int, row: int, column: int) -> int:
        _, height, width = self._planes
        return (plane * height + row + self.reach) * width + column + self.reach

    def wavefront(self) -> Iterator[list[Place]]:
        """Places in the order in which they can be decoded, those of one list at once.

        A pixel at row r and column c comes in step c + (reach + 1) r, when all of its window is there.
        """
        _, height, width = self.shape
        lag = self.reach + 1
        for step in range(width + lag * (height - 1)):
            rows = range(max(0, -(-(step - width + 1) // lag)), min(height - 1, step // lag) + 1)
            if rows:  # an image narrower than the window leaves steps without a place
                yield [(row, step - lag * row) for row in rows]

    def offsets(self, channel: int) -> list[int]:
        """From the cell of a level to each cell of its window, and of what it is told."""
        here, channels = self._cell(channel, 0, 0), self.shape[0]
        told = [(channels * (1 + number) + channel, 0, 0) for number in range(self.told)]
        return [self._cell(*place) - here for place in window(channel, channels, self.reach) + told]


class _Ready:
    """The network's numbers as tensors on a device."""

    def __init__(self, network: CausalNetwork, device: str) -> None:
        self.network = network
        self.firsts = [first.sums.tensors(device) for first in network.firsts]
        self.offsets = [torch.tensor(network.offsets(c), device=device) for c in range(network.shape[0])]
        self.biases = [
            [torch.from_numpy(array.astype(np.float32).T.copy()).to(device) for array in (first.rows, first.columns)]
            for first in network.firsts
        ]
        self.hidden = [sums.tensors(device) for sums in network.hidden]
        self.last = network.last.tensors(device)

    def __call__(self, canvas: Tensor, channel: int, places: Sequence[Place]) -> NDArray[np.int32]:
        rows, columns = torch.tensor(places, device=canvas.device).T
        here = self.network.cells(channel, places).to(canvas.device)
        cells = self.offsets[channel][:, None] + here
        n = canvas.shape[1]
        near = canvas.index_select(0, cells.flatten()).view(len(cells), len(places) * n)
        weights, bias = self.firsts[channel]
        sums = torch.addmm(bias, weights, near).view(-1, len(places), n)
        row_bias, column_bias = self.biases[channel]
        h = sums[:-1].add_((row_bias[:, rows] + column_bias[:, columns])[:, :, None]).flatten(1)
        line = sums[-1].flatten().floor_()
        for weights, bias in self.hidden:
            h = torch.addmm(bias, weights, h.clamp_(0, CEILING).floor_())
        weights, bias = self.last
        told = torch.addmm(bias, weights, h.clamp_(0, CEILING).floor_()).floor_()
        told[: self.network.components] += line  # of whole numbers one addition, which is rounded in one way
        return told.to(torch.int32).cpu().numpy().T


def window(channel: int, channels: int, reach: int) -> list[Cell]:
    """Channel, row and column, seen from its pixel, of everything that a level of ``channel`` is told from."""
    sides = range(-reach, reach + 1)
    near = [(row, column) for row in range(-reach, 1) for column in sides if row < 0 or column < 0]
    beside = [(other, row, column) for other in range(channels) for row, column in near]
    return beside + [(other, 0, 0) for other in range(channel)]


def largest_seen(near: int, levels: int, told: int) -> NDArray[np.int64]:
    """Largest of the numbers that a first layer sees: so many levels, and so many numbers told, (near + told,)."""
    return np.repeat([levels - 1, MOST_TOLD], [near, told])


def layers_of(arrays: Mapping[str, Ints], prefix: str) -> Sums:
    """Sums from the arrays of a file; `InputError` if they are not there, or no matrix."""
    try:
        sums = Sums(*(arrays[f"{prefix}.{name}"] for name in ("weights", "bias", "shifts")))
    except KeyError as error:
        raise InputError(f"a codec lacks its {error.args[0]}; export it again") from None
    if sums.weights.ndim != 2:
        raise InputError(f"a layer of a codec has weights of shape {sums.weights.shape}; export it again")
    return sums


def arrays_of(sums: Sums, prefix: str) -> dict[str, Ints]:
    """The inverse of `layers_of`."""
    return {f"{prefix}.weights": sums.weights, f"{prefix}.bias": sums.bias, f"{prefix}.shifts": sums.shifts}
