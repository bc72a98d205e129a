"""Likelihood `local` as a codec: each level of an image under what its neighbours, and a code if it has one, tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from narrows.coding.ans import Ans
from narrows.coding.bitsback import Codec
from narrows.coding.causal import (
    ACTIVATION,
    CEILING,
    TOLD,
    CausalNetwork,
    First,
    Place,
    Sums,
    arrays_of,
    largest_seen,
    layers_of,
)
from narrows.coding.laws import FRACTION, PRECISION, LogisticMixture, length
from narrows.coding.products import WHOLE, check_exact, full_precision
from narrows.compression.compressor import Coded, Compressor, Work
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.likelihoods.local import Local
from narrows.model import Model

FIRST_SHIFT = 8  # weights of the first layer are in steps of 2^-15 of the distance between neighbouring levels
HIDDEN_SHIFT = 6
LAST_SHIFT = 12
LINE_SHIFT = 8
CELLS_A_LANE = 16_384
MOST_LANES = 64

Ranges = tuple[NDArray[np.uint32], NDArray[np.uint32]]
"""Starts and frequencies of symbols."""


class LocalCompressor(Compressor):
    """Images told pixel by pixel from their neighbours.

    Parameters
    ----------
    schema : Schema
        Of one image.
    network : CausalNetwork
        What the window of a level tells.
    law : LogisticMixture, optional
        How it tells it, where not as likelihood `local` does.
    """

    kind = "local"

    def __init__(self, schema: Schema, network: CausalNetwork, law: LogisticMixture | None = None) -> None:
        self.schema = schema
        self.network = network
        self.law = law or LogisticMixture(schema.levels, network.components, spread(schema.levels))

    @classmethod
    def serves(cls, model: Model) -> bool:
        """Likelihood local that no code tells anything."""
        return isinstance(model.likelihood, Local) and not model.likelihood.told

    @classmethod
    def from_model(cls, model: Model) -> Self:
        """Convert a trained model."""
        assert isinstance(model.likelihood, Local)
        return cls.from_likelihood(model.likelihood, model.transform.modelled)

    @classmethod
    def from_likelihood(cls, local: Local, schema: Schema, told: int = 0) -> Self:
        """Convert what neighbours tell, and what so many numbers add that a code tells; without them nothing does."""
        half = FRACTION * (schema.levels - 1) / 2
        last = _whole(local.last, [half] * local.components + [float(FRACTION)] * 2 * local.components, LAST_SHIFT)
        hidden = [_whole(layer, [2.0**ACTIVATION] * local.width, HIDDEN_SHIFT) for layer in local.hidden]  # type: ignore[arg-type]
        firsts = [_first(local, channel, told) for channel in range(schema.shape[0])]
        return cls(
            schema,
            CausalNetwork(schema.shape, schema.levels, local.reach, firsts, hidden, last, local.components, told),
        )

    def coded(self, values: np.ndarray, work: Work) -> Coded:
        """Code images (n, c, height, width), uint8."""
        return self.pushed(values, list(self.ranges(values, work)), work)

    def pushed(self, values: np.ndarray, ranges: Sequence[Ranges], work: Work) -> Coded:
        """Code images whose levels have these ranges, in the order in which they are decoded."""
        ans = Ans(self._lanes(len(values)), compiled=work.compiled)
        push(ans, ranges)
        return Coded(ans.to_bytes(), bits_of(ranges), values)

    def decode(self, payload: bytes, n: int, work: Work) -> np.ndarray:
        """Images (n, c, height, width)."""
        ans = Ans.from_bytes(payload, self._lanes(n), compiled=work.compiled)
        values = self.pop(ans, n, work)
        if not ans.empty:
            raise InputError("coded images leave something over when they are decoded: they are damaged")
        return values

    def codec(self, told: NDArray[np.int32], work: Work) -> Codec:
        """Images (n, c, height, width) of whose levels a code tells (n, told, cells), in steps of 2^-6."""
        return Codec(
            lambda ans, values: push(ans, list(self.ranges(values, work, told))),
            lambda ans: self.pop(ans, len(told), work, told),
        )

    def pop(self, ans: Ans, n: int, work: Work, told: NDArray[np.int32] | None = None) -> np.ndarray:
        """Pop images (n, c, height, width)."""
        values = np.zeros((n, *self.schema.shape), dtype=np.uint8)
        with exactly(work):
            canvas = self._canvas(n, work, told)
            for channel, places in self.order():
                params = self.params(canvas, channel, places, work)
                levels = self.law.pop(ans, params).reshape(len(places), n)
                rows, columns = np.array(places).T
                values[:, channel, rows, columns] = levels.T
                self.network.write(canvas, channel, places, levels)
        return values

    def ranges(self, values: np.ndarray, work: Work, told: NDArray[np.int32] | None = None) -> Iterator[Ranges]:
        """Starts and frequencies of all levels, in the order in which they are decoded."""
        n = len(values)
        everywhere = [(row, column) for row in range(self.schema.shape[1]) for column in range(self.schema.shape[2])]
        with exactly(work):
            canvas = self._canvas(n, work, told)
            for channel in range(self.schema.shape[0]):
                plane = np.ascontiguousarray(values[:, channel].reshape(n, len(everywhere)).T)
                self.network.write(canvas, channel, everywhere, plane)
            for channel, places in self.order():
                params = self.params(canvas, channel, places, work)
                rows, columns = np.array(places).T
                levels = values[:, channel, rows, columns].T.reshape(-1)
                yield self.law.ranges(params, levels, compiled=work.compiled)

    def _canvas(self, n: int, work: Work, told: NDArray[np.int32] | None) -> torch.Tensor:
        """Room for n images, with what is told of them."""
        canvas = self.network.canvas(n, work.device)
        if told is not None:
            self.network.tell(canvas, told.reshape(n, self.network.told, *self.schema.shape))
        return canvas

    def params(self, canvas: torch.Tensor, channel: int, places: list[Place], work: Work) -> NDArray[np.int32]:
        """What the network tells of the levels at some places (s * n, P), of at most ``work.batch`` images at once."""
        n = canvas.shape[1]
        if n <= work.batch:
            return self.network(canvas, channel, places)
        parts = [
            self.network(some, channel, places).reshape(len(places), some.shape[1], self.law.n_params)
            for some in canvas.split(work.batch, 1)
        ]
        return np.concatenate(parts, 1).reshape(len(places) * n, self.law.n_params)

    def order(self) -> Iterator[tuple[int, list[Place]]]:
        """Channels and places in the order in which they are decoded."""
        for places in self.network.wavefront():
            for channel in range(self.schema.shape[0]):
                yield channel, places

    def _lanes(self, n: int) -> int:
        return min(max(n * self.schema.size // CELLS_A_LANE, 1), MOST_LANES)

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights of all layers."""
        network = self.network
        named = {f"hidden.{place}": sums for place, sums in enumerate(network.hidden)} | {"last": network.last}
        named |= {f"first.{channel}": first.sums for channel, first in enumerate(network.firsts)}
        arrays: dict[str, np.ndarray] = {}
        for prefix, sums in named.items():
            arrays |= arrays_of(sums, prefix)
        for channel, first in enumerate(network.firsts):
            arrays |= {f"first.{channel}.rows": first.rows, f"first.{channel}.columns": first.columns}
        return arrays

    def settings(self) -> dict[str, Any]:
        """What the shapes of the arrays do not say."""
        return {"reach": self.network.reach, "depth": len(self.network.hidden) + 1}

    @classmethod
    def from_arrays(cls, schema: Schema, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Make it anew."""
        return cls.told_from(schema, settings, arrays, 0)

    @classmethod
    def told_from(
        cls, schema: Schema, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray], told: int
    ) -> Self:
        """Make it anew, if a code tells so many numbers of each level."""
        reach, depth = settings.get("reach"), settings.get("depth")
        if not (isinstance(reach, int) and isinstance(depth, int) and 1 <= reach <= 32 and 1 <= depth <= len(arrays)):
            raise InputError("a codec does not say how far its window reaches, or how deep it is; export it again")
        last = layers_of(arrays, "last")
        firsts = []
        for channel in range(schema.shape[0]):
            biases = [arrays.get(f"first.{channel}.{name}", np.zeros(0, int)) for name in ("rows", "columns")]
            firsts.append(First(layers_of(arrays, f"first.{channel}"), *biases))
        hidden = [layers_of(arrays, f"hidden.{place}") for place in range(depth - 1)]
        components = len(last.weights) // 3
        return cls(
            schema,
            CausalNetwork(schema.shape, schema.levels, reach, firsts, hidden, last, components, told),
        )


def spread(levels: int) -> Decimal:
    """Scale at a log scale of 0, in levels: that of `Local.mixture`."""
    return Decimal(levels - 1) / 2 * Decimal("-2.5").exp()


def exactly(work: Work) -> AbstractContextManager[None]:
    """Sums of whole numbers in float32 are exact within the block; `InputError` if the machine has none that are."""
    check_exact(work.device, torch.float32)
    return full_precision()


def push(ans: Ans, ranges: Sequence[Ranges]) -> None:
    """Push levels that have these ranges, in the order in which they are decoded."""
    for starts, freqs in reversed(ranges):
        ans.push(starts, freqs, PRECISION)


def bits_of(ranges: Iterable[Ranges]) -> float:
    """Bits that levels of such ranges take."""
    return sum(length(freqs) for _, freqs in ranges)


def _first(local: Local, channel: int, told: int) -> First:
    """The first layer of a channel, with its linear mean."""
    layer = local.first[channel]
    assert isinstance(layer, nn.Linear)
    line, steps = local.linear[channel], local.levels - 1
    from_code = [_double(local.from_code).T / 2**TOLD] if told and local.from_code is not None else []
    weights = np.concatenate([_double(layer.weight) / steps, *from_code], 1)
    largest = largest_seen(len(layer.weight.T), local.levels, told)
    units = _rows(weights, _double(layer.bias), 2.0**ACTIVATION, FIRST_SHIFT, largest)
    # A linear mean of half ranges from the middle, in 64ths of a level: 64 (L - 1) / 2 times what is seen over L - 1.
    weights = np.concatenate([_double(line), np.zeros(told)])[None]
    mean = _rows(weights, np.array([float(steps)]), FRACTION / 2, LINE_SHIFT, largest)
    biases = [
        np.rint(_double(array[channel]) * 2**ACTIVATION).astype(np.int32)
        for array in (local.row_bias, local.column_bias)
    ]
    both = [np.concatenate(pair) for pair in zip(units, mean, strict=True)]
    return First(Sums(*both), *biases)


def _whole(layer: nn.Linear, scales: list[float], most: int) -> Sums:
    """A layer over units in steps of 2^-7, whose outputs are multiplied by scales and rounded to whole numbers."""
    weights, bias = _double(layer.weight), _double(layer.bias)
    rows = [
        _rows(weights[i : i + 1] / 2**ACTIVATION, bias[i : i + 1], scale, most, CEILING)
        for i, scale in enumerate(scales)
    ]
    return Sums(*(np.concatenate(parts) for parts in zip(*rows, strict=True)))


def _rows(
    weights: np.ndarray, bias: np.ndarray, scale: float, most: int, largest: int | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whole weights, bias and shifts of outputs ``scale * (W x + b)``, |x| <= largest, at the finest exact shift."""
    shifts = np.full(len(weights), most)
    while True:
        powers = scale * 2.0**shifts
        W, b = np.rint(weights * powers[:, None]), np.rint(bias * powers + 2.0 ** (shifts - 1))
        # A quarter is left for offsets by position.
        fits = (np.abs(W) * largest).sum(1) + np.abs(b) < WHOLE[torch.float32] * 0.75
        if fits.all():
            return W.astype(np.int32), b.astype(np.int32), shifts.astype(np.int8)
        shifts[~fits] -= 1
        if shifts.min() < 0:
            raise InputError("the weights of the model are too large for a codec; train it again, at a smaller --rate")


def _double(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
