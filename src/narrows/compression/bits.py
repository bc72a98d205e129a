"""Bits-back: a variational autoencoder in whole numbers as a codec, whose files are as long as minus the elbo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from narrows.coding.ans import Ans, Exhausted
from narrows.coding.bitsback import Codec, bits_back, settled, told, uniform
from narrows.coding.elementwise import Reshape, Scale
from narrows.coding.exact import STEP, IntegerNetwork, check_whole
from narrows.coding.laws import FRACTION
from narrows.coding.normal import NormalBins
from narrows.coding.products import check_exact
from narrows.compression.compressor import Coded, Compressor, Work
from narrows.compression.convert import converted, sides, standardised
from narrows.compression.told import LAWS, check_codes, told_by
from narrows.data.schema import Schema
from narrows.data.transforms import Transform
from narrows.errors import InputError, unknown
from narrows.model import Model

CODE_BITS = 10
"""Each number of a code is one of 2^10 bins of equal mass."""
_K_BITS = 4
_MOST_EXAMPLES = 1 << 10  # of a group
_PARAMS_AT_ONCE = 1 << 23
_BITS_A_LANE = 1 << 17
_RANDOM_LANES = 64


class BitsBack(Compressor):
    """A variational autoencoder, by bits-back coding (Townsend et al. 2019).

    Examples are coded in groups. The codes of a group are drawn by popping what is already on the stack, and so it has
    no more examples than that suffices for. Where that is none, as at first, one example has the posterior's mean for
    its code, which no bits are needed for and which gives none back. On top of each group lies k for 2^(k - 1)
    examples, 0 for such a one.

    Parameters
    ----------
    schema : Schema
        Of one example.
    encoder : IntegerNetwork
        From an example, as indices on the grid, to means (2^-12) and then s (2^-6) of the numbers of its code.
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
        if not isinstance(law, str) or law not in LAWS:
            raise unknown("law of a codec", law, LAWS)
        self.schema = schema
        self.encoder, self.decoder = encoder, decoder
        self.law = LAWS[law](schema.levels, check_whole("components", components, 1, 64))
        self.bins = NormalBins(check_whole("code_bits", code_bits, 1, 14))
        self._plain = {"law": law, "components": components, "code_bits": code_bits}
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
        check_codes(model.latent)
        law, components, scale = told_by(model.likelihood)
        encoding, decoding = sides(model.network)
        transform, size = model.transform, model.latent.size
        assert isinstance(transform, Transform)  # the other one has columns, which no such likelihood scores
        posterior = Scale(np.repeat([1 << STEP, FRACTION], size), np.zeros(2 * size, dtype=np.int64), STEP)
        encoder = IntegerNetwork([standardised(transform), *converted(encoding), posterior], transform.seen_shape)
        params = Reshape([model.likelihood.n_params, transform.schema.size])
        decoder = IntegerNetwork([*converted(decoding), params, scale], (size,))
        return cls(transform.modelled, encoder, decoder, law, components)

    def coded(self, values: np.ndarray, work: Work) -> Coded:
        """Code examples (n, *shape), indices on the grid."""
        return Coded(self.encode(values, work), self.bound(values, work), values)

    def encode(self, values: np.ndarray, work: Work) -> bytes:
        """Return the payload alone, in half the time that counting the bits as well would take."""
        check_exact(work.device)
        posteriors = self.posteriors(values, work)
        ans = Ans(self._lanes(len(values)), compiled=work.compiled)
        nothing, a_code = ans.bits, self.bins.digits * self.decoder.shape[0]
        start = 0
        while start < len(values):
            # A code takes no more than so many bits on average; those of a group may.
            size = min((ans.bits - nothing) // a_code, len(values) - start, self._largest_group)
            k = size.bit_length()
            while not self._pushed(ans, k, values[start:], posteriors[start:], work):
                k -= 1
            start += _examples(k)
        return ans.to_bytes()

    def decode(self, payload: bytes, n: int, work: Work) -> np.ndarray:
        """Give back n examples (n, *shape) as indices on the grid; `InputError` if the payload is damaged."""
        check_exact(work.device)
        ans = Ans.from_bytes(payload, self._lanes(n), compiled=work.compiled)
        values = np.empty((n, *self.schema.shape), dtype=np.uint8)
        stop = n
        while stop:
            k = int(ans.pop_uniform(1, _K_BITS)[0])
            size = _examples(k)
            if size > min(stop, self._largest_group):
                raise InputError(f"a group of {size} examples is too large: data are damaged, or of another model")
            values[stop - size : stop] = self._codec(k, work).pop(ans)
            stop -= size
        if not ans.empty:
            raise InputError("bits are left over after the last example: data are damaged, or of another model")
        return values

    def bound(self, values: np.ndarray, work: Work) -> float:
        """Minus the elbo of the model in whole numbers, in bits, from one code an example, drawn by a fixed seed."""
        randomness = np.random.default_rng(0)
        bits = 0.0
        for start in range(0, len(values), self._largest_group):
            x = values[start : start + self._largest_group]
            posteriors = self.posteriors(x, work).reshape(-1, 2)
            source = Ans(_RANDOM_LANES, compiled=work.compiled)
            # As many words as can be popped, and more, which make every lane's state random.
            source.push_uniform(randomness.integers(1 << 16, size=len(posteriors) + 4 * _RANDOM_LANES), 16)
            z = self.bins.pop(source, posteriors)
            bits += self.bits_given(z.reshape(len(x), -1), x, work)
            bits += self.bins.digits * len(z) - self.bins.bits(posteriors, z)
        return bits

    def posteriors(self, values: NDArray[Any], work: Work) -> NDArray[np.int32]:
        """Mean (2^-12) and s (2^-6) of each number of the codes of examples (n, *shape), (n, d, 2)."""
        numbers = self.encoder(values, work.batch, work.device)
        return np.stack(np.split(numbers, 2, axis=1), axis=2)

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

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights of both networks."""
        networks = {"encoder": self.encoder, "decoder": self.decoder}
        return {f"{name}.{own}": array for name, net in networks.items() for own, array in net.arrays().items()}

    def settings(self) -> dict[str, Any]:
        """Layers of both networks, law and bins."""
        return {"encoder": self.encoder.description(), "decoder": self.decoder.description(), **self._plain}

    @classmethod
    def from_arrays(cls, schema: Schema, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Make it again; `InputError` if what is given cannot be one."""
        if set(settings) != {"encoder", "decoder", "law", "components", "code_bits"}:
            raise InputError(f"a codec bits-back has no settings {sorted(settings)}; export it again")
        own: dict[str, dict[str, np.ndarray]] = {"encoder": {}, "decoder": {}}
        for name, array in arrays.items():
            side, _, rest = name.partition(".")
            if side not in own:
                raise unknown("part of a codec", side, own)
            own[side][rest] = array
        encoder = IntegerNetwork.restored(settings["encoder"], own["encoder"], schema.shape)
        code = (encoder.shape_after[0] // 2,)
        decoder = IntegerNetwork.restored(settings["decoder"], own["decoder"], code)
        plain = {name: settings[name] for name in ("law", "components", "code_bits")}
        return cls(schema, encoder, decoder, **plain)

    def _check(self) -> None:
        """Check that networks, law and data fit each other."""
        shape, code, told = self.encoder.shape_after, self.decoder.shape, self.decoder.shape_after
        if self.law.symbols != self.schema.levels:
            raise InputError(f"a codec for {self.law.symbols} levels does not serve {self.schema.describe()}")
        if self.encoder.shape != self.schema.shape or len(code) != 1 or shape != (2 * code[0],):
            raise InputError(f"the encoder of a codec gives {shape}, and its decoder takes {code}: export it again")
        if len(told) != 2 or told[0] > self.law.n_params or told[1] != self.schema.size:
            raise InputError(f"the decoder of a codec gives {told}, which is not for {self.schema.describe()}")

    @property
    def _largest_group(self) -> int:
        of_params = _PARAMS_AT_ONCE // (self.law.n_params * self.schema.size)
        return max(1, min(_MOST_EXAMPLES, of_params))

    def _lanes(self, n: int) -> int:
        """More of them are faster, and each costs a few bytes, which few levels have none to spare for."""
        bits = (self.schema.levels - 1).bit_length()
        return max(1, min(8 * bits, n * self.schema.size * bits // _BITS_A_LANE))

    def _pushed(self, ans: Ans, k: int, values: NDArray[Any], posteriors: NDArray[np.int32], work: Work) -> bool:
        """Push a group of the first examples; False if there are too few bits on the stack, which is left as it was."""
        size = _examples(k)
        try:
            self._codec(k, work, posteriors[:size]).push(ans, values[:size])
        except Exhausted:
            return False
        ans.push_uniform([k], _K_BITS)
        return True

    def _codec(self, k: int, work: Work, posteriors: NDArray[np.int32] | None = None) -> Codec:
        """Make the codec of a group, or of a single example without bits for its code."""

        def posterior(x: NDArray[Any]) -> Codec:
            params = self.posteriors(x, work) if posteriors is None else posteriors
            return told(self.bins, params) if k else settled(self.bins.nearest(params))

        prior = uniform((_examples(k), *self.decoder.shape), self.bins.digits)
        return bits_back(prior, lambda z: self.likelihood(z, work), posterior)


def _examples(k: int) -> int:
    """Examples in a group."""
    return 1 << k >> 1 if k else 1
