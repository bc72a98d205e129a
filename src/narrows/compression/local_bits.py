"""Likelihood `local` with a code as a codec: bits-back over a causal network, and no code where it does not pay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from narrows.coding.ans import Ans
from narrows.coding.bitsback import Codec
from narrows.coding.causal import TOLD
from narrows.coding.elementwise import Scale
from narrows.coding.exact import STEP, IntegerNetwork
from narrows.compression.compressor import Coded, Work
from narrows.compression.latent import CODE_BITS, LatentCompressor, by_part, check_empty, networks_from, networks_of
from narrows.compression.local import LocalCompressor, Ranges, bits_of, push
from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.likelihoods.local import Local
from narrows.model import Model

WITHOUT, WITH = 0, 1
PAYS = 1000  # a code has to save more than this part of the bytes: less is the luck of a draw, and takes time to decode
LEFT_OUT = "the code brings less than it costs, and is left out"


class LocalBitsBack(LatentCompressor):
    """Images told pixel by pixel from their neighbours and a code.

    A payload is made twice: with codes by bits-back, and without, where the code of every image is 0, the centre of the
    prior, and nothing of it is coded. That with codes is kept where it is shorter by more than a thousandth; on top of
    the stack lies one bit, 1 where there are codes.

    Parameters
    ----------
    local : LocalCompressor
        What neighbours tell, and what the numbers of the decoder add.
    encoder : IntegerNetwork
        See `LatentCompressor`.
    decoder : IntegerNetwork
        From the centres of the bins of a code to what it tells of each level, (told, cells), in steps of 2^-6.
    code_bits : int
        Each number of a code is one of 2^code_bits bins.
    """

    kind = "local-bits-back"

    def __init__(
        self, local: LocalCompressor, encoder: IntegerNetwork, decoder: IntegerNetwork, code_bits: int = CODE_BITS
    ) -> None:
        super().__init__(local.schema, encoder, decoder, code_bits)
        self.local = local
        if decoder.shape_after != (local.network.told, self.schema.size):
            raise InputError(
                f"the decoder of a codec gives {decoder.shape_after}, which is not for {self.schema.describe()}"
            )

    @classmethod
    def serves(cls, model: Model) -> bool:
        """Likelihood local that a code tells something."""
        return isinstance(model.likelihood, Local) and model.likelihood.told > 0

    @classmethod
    def from_model(cls, model: Model) -> Self:
        """Convert a trained model.

        Raises
        ------
        InputError
            If it has no codes that bits-back can draw, or a network that has no form in whole numbers.
        """
        likelihood = model.likelihood
        assert isinstance(likelihood, Local)
        networks = networks_of(model, Scale(np.array([1 << TOLD]), np.array([0]), STEP))
        return cls(LocalCompressor.from_likelihood(likelihood, model.transform.modelled, likelihood.told), *networks)

    @property
    def numbers(self) -> int:
        """Levels, and what is told of them."""
        return (1 + self.local.network.told) * self.schema.size

    def likelihood(self, z: NDArray[Any], work: Work) -> Codec:
        """Codec of images (n, c, height, width), given their codes in bins (n, d)."""
        return self.local.codec(self.told(self.bins.bins.centres[z], work), work)

    def bits_given(self, z: NDArray[Any], values: NDArray[Any], work: Work) -> float:
        """Bits that `likelihood` makes of images (n, c, height, width)."""
        return bits_of(self.local.ranges(values, work, self.told(self.bins.bins.centres[z], work)))

    def coded(self, values: np.ndarray, work: Work) -> Coded:
        """Code images (n, c, height, width), with or without codes."""
        payload, ranges = self._shorter(values, work)
        if ranges is None:
            return Coded(payload, super().bound(values, work), values)
        return Coded(payload, bits_of(ranges), values, LEFT_OUT)

    def encode(self, values: np.ndarray, work: Work) -> bytes:
        """Return the payload alone."""
        return self._shorter(values, work)[0]

    def _shorter(self, values: np.ndarray, work: Work) -> tuple[bytes, list[Ranges] | None]:
        """The payload, and the ranges of all levels where it is the one without codes."""
        ranges = list(self.local.ranges(values, work, self.left_out(len(values), work)))
        stacks = [self.stack(len(values), work) for _ in range(2)]
        push(stacks[WITHOUT], ranges)
        self.push(stacks[WITH], values, work)
        for mark, ans in enumerate(stacks):
            ans.push_uniform([mark], 1)
        without, with_codes = (ans.to_bytes() for ans in stacks)
        if PAYS * len(with_codes) >= (PAYS - 1) * len(without):
            return without, ranges
        return with_codes, None

    def bound(self, values: np.ndarray, work: Work) -> float:
        """Bits that the model gives images (n, c, height, width) alone, with or without codes."""
        return self.coded(values, work).bits

    def decode(self, payload: bytes, n: int, work: Work) -> np.ndarray:
        """Images (n, c, height, width)."""
        ans = Ans.from_bytes(payload, self.lanes(n), compiled=work.compiled)
        if ans.pop_uniform(1, 1)[0] == WITH:
            values = self.pop(ans, n, work)
        else:
            values = self.local.pop(ans, n, work, self.left_out(n, work))
        check_empty(ans)
        return values

    def told(self, centres: NDArray[Any], work: Work) -> NDArray[np.int32]:
        """What codes (n, d), in steps of 2^-12, tell of each level, (n, told, cells)."""
        return self.decoder(centres, work.batch, work.device)

    def left_out(self, n: int, work: Work) -> NDArray[np.int32]:
        """What is told of n images whose codes are left out, (n, told, cells)."""
        return np.broadcast_to(self.told(np.zeros((1, *self.decoder.shape)), work), (n, *self.decoder.shape_after))

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights of the three networks."""
        return super().arrays() | {f"local.{name}": array for name, array in self.local.arrays().items()}

    def settings(self) -> dict[str, Any]:
        """Layers of the networks, and bins."""
        return super().settings() | {"local": self.local.settings()}

    @classmethod
    def from_arrays(cls, schema: Schema, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Make it again; `InputError` if what is given cannot be one."""
        wanted = {"encoder", "decoder", "code_bits", "local"}
        if set(settings) != wanted or not isinstance(settings["local"], Mapping):
            raise InputError(f"a codec {cls.kind} has no settings {sorted(settings)}; export it again")
        own = by_part(arrays, "encoder", "decoder", "local")
        encoder, decoder = networks_from(schema, settings, own)
        local = LocalCompressor.told_from(schema, settings["local"], own["local"], decoder.shape_after[0])
        return cls(local, encoder, decoder, settings["code_bits"])
