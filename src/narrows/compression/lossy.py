"""Likelihood `quantised` as a lossy codec: coarse levels coded under what their neighbours tell, the rest restored."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from narrows.coding.causal import ACTIVATION, CausalNetwork, Place
from narrows.coding.exact import STEP, IntegerNetwork, check_whole
from narrows.coding.laws import LogisticMixture
from narrows.coding.products import check_exact
from narrows.compression.compressor import Coded, Compressor, Work
from narrows.compression.convert import converted
from narrows.compression.local import LocalCompressor, Ranges, exactly, spread
from narrows.compression.restoring import Restoring, inputs_for
from narrows.data.schema import Schema
from narrows.errors import InputError, at_least, at_most
from narrows.likelihoods.quantised import STEP_FEATURES, Quantised, in_levels, in_steps, step_of
from narrows.model import Model

WEIGHT = 10.0
"""Nats that an error of one step costs where a level is chosen: more than under the likelihood, 6, for others are told
from that level. From 6 to 16 it is best at 10, by 1 % of the bytes."""
QUALITIES = 100

Ints = NDArray[Any]


class QuantisedCompressor(Compressor):
    """Images in steps of 2 ``near`` + 1 levels, told pixel by pixel from their neighbours, and restored from them.

    A payload begins with ``near``, in one byte, so that one codec serves all qualities; then come the coarse levels.
    Decoding is in whole numbers, as everywhere. In encoding a float decides which of two coarse levels a level becomes,
    the one below it or the one above: that of which the nats, and `WEIGHT` times the square of how many steps it is
    off, are fewer.

    Parameters
    ----------
    local : LocalCompressor
        What neighbours tell, but for what is added by the step.
    by_step : array of whole numbers, shape (2, units)
        What the units of the first layer get for the two features of a step, in steps of 2^-12.
    restoring : Restoring
        What it takes coarse levels to be.
    finest, coarsest : int
        ``near`` of the ends of the steps that the networks know.
    """

    kind = "quantised"
    lossy = True

    def __init__(self, local: LocalCompressor, by_step: Ints, restoring: Restoring, finest: int, coarsest: int) -> None:
        self.schema = local.schema
        self.local, self.by_step, self.restoring = local, by_step, restoring
        self.finest, self.coarsest = finest, coarsest
        self._check()
        self.near = self._near_of(QUALITIES // 2)

    @classmethod
    def serves(cls, model: Model) -> bool:
        """Likelihood quantised."""
        return isinstance(model.likelihood, Quantised)

    @classmethod
    def from_model(cls, model: Model) -> Self:
        """Convert a trained model."""
        quantised = model.likelihood
        assert isinstance(quantised, Quantised)
        local = LocalCompressor.from_likelihood(quantised.local, model.transform.modelled)
        assert quantised.local.from_code is not None
        by_step = np.rint(quantised.local.from_code.detach().double().numpy() * (1 << STEP)).astype(np.int32)
        network = IntegerNetwork(converted([quantised.restoring]), inputs_for(local.schema))
        return cls(local, by_step, Restoring(network, local.schema), *(step // 2 for step in quantised.steps))

    def at_quality(self, quality: int) -> Self:
        """Return the same codec at a quality from 1, the coarsest step, to 100, the finest, evenly in its logarithm."""
        at_least("quality", quality, 1)
        at_most("quality", quality, QUALITIES)
        return self._at(self._near_of(quality))

    def at_bits(self, bits: float, values: np.ndarray, work: Work) -> Self:
        """Return the same codec at the finest step that takes at most so many bits a cell of such images.

        Raises
        ------
        InputError
            If the coarsest step takes more.
        """
        least = self._at(self.coarsest).bound(values, work) / values.size
        if least > bits:
            raise InputError(f"these images take {least:.3f} bits a cell at the coarsest step; give at least that")
        finest, coarsest = self.finest, self.coarsest
        while finest < coarsest:
            near = (finest + coarsest) // 2
            enough = self._at(near).bound(values, work) <= bits * values.size
            finest, coarsest = (finest, near) if enough else (near + 1, coarsest)
        return self._at(finest)

    def _near_of(self, quality: int) -> int:
        coarsest, finest = step_of(self.coarsest), step_of(self.finest)
        step = coarsest * (finest / coarsest) ** ((quality - 1) / (QUALITIES - 1))
        return round((step - 1) / 2)

    def _at(self, near: int) -> Self:
        codec = copy.copy(self)
        codec.near = near
        return codec

    def coded(self, values: np.ndarray, work: Work) -> Coded:
        """Code images (n, c, height, width), and say what will be decoded."""
        check_exact(work.device)
        coarse = self._coarse_codec(self.near)
        q, ranges = self._chosen(coarse, values, work)
        made = coarse.pushed(q, ranges, work)
        return Coded(bytes([self.near]) + made.payload, made.bits, self._restored(q, self.near, work))

    def decode(self, payload: bytes, n: int, work: Work) -> np.ndarray:
        """Images (n, c, height, width), as near to those that were encoded as the step lets them be."""
        check_exact(work.device)
        near = payload[0] if payload else -1
        if not self.finest <= near <= self.coarsest:
            raise InputError(f"coded images do not say how coarse they are, from {self.finest} to {self.coarsest}")
        return self._restored(self._coarse_codec(near).decode(payload[1:], n, work), near, work)

    def _coarse_codec(self, near: int) -> LocalCompressor:
        """Lossless codec of coarse levels."""
        step, levels = step_of(near), self.schema.levels
        network = _Stepped(self.local.network, self._offset(step), step)
        schema = replace(self.schema, low=0.0, high=float(in_steps(levels - 1, step)), step=1.0)
        law = LogisticMixture(schema.levels, network.components, spread(levels) / step)
        return LocalCompressor(schema, network, law)

    def _restored(self, q: np.ndarray, near: int, work: Work) -> np.ndarray:
        step = step_of(near)
        return self.restoring.restored(q, step, self._features(step), work)

    def _features(self, step: int) -> Ints:
        """What the networks are told of a step, in steps of 2^-12."""
        return np.array([(step << STEP) // step_of(self.coarsest), (step_of(self.finest) << STEP) // step])

    def _offset(self, step: int) -> Ints:
        """What the units of the first layer get, in steps of 2^-7."""
        shift = 2 * STEP - ACTIVATION
        return (self._features(step) @ self.by_step.astype(np.int64) + (1 << shift >> 1)) >> shift

    def _chosen(self, coarse: LocalCompressor, values: np.ndarray, work: Work) -> tuple[np.ndarray, list[Ranges]]:
        """Coarse levels (n, c, height, width), chosen one by one, each given those before it, and their ranges."""
        network, step, top = coarse.network, step_of(self.near), coarse.law.symbols - 1
        q, ranges = np.zeros_like(values), []
        with exactly(work):
            canvas = network.canvas(len(values), work.device)
            for channel, places in coarse.order():
                params = coarse.params(canvas, channel, places, work)
                rows, columns = np.array(places).T
                x = values[:, channel, rows, columns].T.reshape(-1).astype(np.int64)
                levels = [x // step, np.minimum(x // step + 1, top)]
                either = [coarse.law.ranges(params, level, compiled=work.compiled) for level in levels]
                # Nats that a level costs as the coarse one below it, and above it, and what it loses by that.
                costs = [
                    WEIGHT * (x / step - level) ** 2 - np.log(freqs)
                    for level, (_, freqs) in zip(levels, either, strict=True)
                ]
                above = costs[1] < costs[0]
                chosen = np.where(above, levels[1], levels[0]).reshape(len(places), -1)
                ranges.append(
                    (np.where(above, either[1][0], either[0][0]), np.where(above, either[1][1], either[0][1]))
                )
                q[:, channel, rows, columns] = chosen.T
                network.write(canvas, channel, places, chosen)
        return q, ranges

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights of both networks."""
        named = {f"local.{name}": array for name, array in self.local.arrays().items()}
        named |= {f"restoring.{name}": array for name, array in self.restoring.network.arrays().items()}
        return named | {"by_step": self.by_step}

    def settings(self) -> dict[str, Any]:
        """Layers of both networks, and steps."""
        return {
            "local": self.local.settings(),
            "restoring": self.restoring.network.description(),
            "finest": self.finest,
            "coarsest": self.coarsest,
        }

    @classmethod
    def from_arrays(cls, schema: Schema, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Make it anew; `InputError` if what is given cannot be one."""
        if set(settings) != {"local", "restoring", "finest", "coarsest"} or not isinstance(settings["local"], Mapping):
            raise InputError(f"a codec quantised has no settings {sorted(settings)}; export it again")
        own = {side: _under(side, arrays) for side in ("local.", "restoring.")}
        local = LocalCompressor.from_arrays(schema, settings["local"], own["local."])
        network = IntegerNetwork.restored(settings["restoring"], own["restoring."], inputs_for(schema))
        restoring = Restoring(network, schema)
        return cls(local, arrays.get("by_step", np.zeros(0)), restoring, settings["finest"], settings["coarsest"])

    def _check(self) -> None:
        """Check that the parts fit each other."""
        most = (self.schema.levels - 1) // 2
        check_whole("coarsest", self.coarsest, 0, most)
        check_whole("finest", self.finest, 1, self.coarsest)
        units = self.local.network.last.weights.shape[1]
        if self.by_step.dtype.kind not in "iu" or self.by_step.shape != (STEP_FEATURES, units):
            raise InputError("a codec does not say what its units get by the step; export it again")


class _Stepped(CausalNetwork):
    """A causal network that sees coarse levels, and tells what comes in steps.

    Parameters
    ----------
    fine : CausalNetwork
        Of levels.
    offset : array of whole numbers, shape (units,)
        What the units of the first layer get beside.
    step : int
        In levels.
    """

    def __init__(self, fine: CausalNetwork, offset: Ints, step: int) -> None:
        firsts = [replace(first, rows=(first.rows + offset).astype(np.int32)) for first in fine.firsts]
        super().__init__(fine.shape, fine.levels, fine.reach, firsts, fine.hidden, fine.last, fine.components)
        self.step = step

    def seen(self, levels: Tensor) -> Tensor:
        """Coarse levels as they are written on a canvas: as the levels that they stand for."""
        return super().seen(in_levels(levels.to(torch.float32), self.step, self.levels))

    def __call__(self, canvas: Tensor, channel: int, places: list[Place]) -> NDArray[np.int32]:  # type: ignore[override]
        """Numbers (s * n, outputs), the means in 64ths of a step."""
        numbers = super().__call__(canvas, channel, places)
        means = numbers[:, : self.components]
        means += self.step // 2
        means //= self.step
        return numbers


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays whose names begin so, without the beginning."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
