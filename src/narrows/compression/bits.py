"""Bits-back for examples whose cells are independent given the code: variational autoencoders in whole numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from narrows.coding.bitsback import Codec, told
from narrows.coding.exact import IntegerNetwork, check_whole
from narrows.compression.compressor import Work
from narrows.compression.latent import CODE_BITS, LatentCompressor, by_part, networks_from, networks_of
from narrows.compression.told import LAWS, told_by
from narrows.data.schema import Schema
from narrows.errors import InputError, unknown
from narrows.model import Model


class BitsBack(LatentCompressor):
    """Examples whose cells are independent given their code.

    Parameters
    ----------
    schema, encoder : see `LatentCompressor`
    decoder : IntegerNetwork
        From the centres of the bins of a code to numbers for the law, (P, cells); those that it lacks are 0.
    law : str
        One of `LAWS`.
    components : int
        Of the law.
    code_bits : int
        Each number of a code is one of 2^code_bits bins.
    """

    kind = "bits-back"

    def __init__(
        self,
        schema: Schema,
        encoder: IntegerNetwork,
        decoder: IntegerNetwork,
        law: str,
        components: int = 1,
        code_bits: int = CODE_BITS,
    ) -> None:
        super().__init__(schema, encoder, decoder, code_bits)
        if not isinstance(law, str) or law not in LAWS:
            raise unknown("law of a codec", law, LAWS)
        self.law = LAWS[law](schema.levels, check_whole("components", components, 1, 64))
        self._plain = {"law": law, "components": components}
        self._check()

    @classmethod
    def from_model(cls, model: Model) -> Self:
        """Convert a trained model.

        Raises
        ------
        InputError
            If it has no codes that bits-back can draw, a likelihood that no law here is for, or a network that has no
            form in whole numbers.
        """
        law, components, scale = told_by(model.likelihood)
        return cls(model.transform.modelled, *networks_of(model, scale), law, components)

    @property
    def numbers(self) -> int:
        """Those of the law, for each cell."""
        return self.law.n_params * self.schema.size

    def likelihood(self, z: NDArray[Any], work: Work) -> Codec:
        """Codec of examples (n, *shape), given their codes in bins (n, d)."""
        return told(self.law, self.params(z, work))

    def bits_given(self, z: NDArray[Any], values: NDArray[Any], work: Work) -> float:
        """Bits that `likelihood` makes of examples (n, *shape)."""
        return self.law.bits(self.params(z, work).reshape(-1, self.law.n_params), values.ravel())

    def params(self, z: NDArray[Any], work: Work) -> NDArray[np.int32]:
        """Numbers of the law for each cell, (n, *shape, n_params), from codes in bins (n, d)."""
        numbers = self.decoder(self.bins.bins.centres[z], work.batch, work.device)
        params = np.zeros((len(z), self.schema.size, self.law.n_params), dtype=np.int32)
        params[..., : numbers.shape[1]] = numbers.swapaxes(1, 2)
        return params.reshape(len(z), *self.schema.shape, -1)

    def settings(self) -> dict[str, Any]:
        """Layers of both networks, law and bins."""
        return {**super().settings(), **self._plain}

    @classmethod
    def from_arrays(cls, schema: Schema, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Make it again; `InputError` if what is given cannot be one."""
        if set(settings) != {"encoder", "decoder", "law", "components", "code_bits"}:
            raise InputError(f"a codec bits-back has no settings {sorted(settings)}; export it again")
        networks = networks_from(schema, settings, by_part(arrays, "encoder", "decoder"))
        return cls(schema, *networks, **{name: settings[name] for name in ("law", "components", "code_bits")})

    def _check(self) -> None:
        """Check that decoder, law and data fit each other."""
        shape = self.decoder.shape_after
        if self.law.symbols != self.schema.levels:
            raise InputError(f"a codec for {self.law.symbols} levels does not serve {self.schema.describe()}")
        if len(shape) != 2 or shape[0] > self.law.n_params or shape[1] != self.schema.size:
            raise InputError(f"the decoder of a codec gives {shape}, which is not for {self.schema.describe()}")
