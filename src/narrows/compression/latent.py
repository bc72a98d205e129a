"""Examples with a code in whole numbers, by bits-back: files are as long as minus the elbo."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

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
from narrows.compression.told import check_codes
from narrows.data.schema import Schema
from narrows.data.transforms import Transform
from narrows.errors import InputError, unknown
from narrows.model import Model

CODE_BITS = 10
"""Each number of a code is one of 2^10 bins of equal mass."""
_K_BITS = 4
_MOST_EXAMPLES = 1 << 10  # of a group
_NUMBERS_AT_ONCE = 1 << 23
_BITS_A_LANE = 1 << 17
_RANDOM_LANES = 64


class LatentCompressor(Compressor):
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
        From the centres of the bins of a code (2^-12) to what tells p(x | z).
    code_bits : int
        Each number of a code is one of 2^code_bits bins.

    Raises
    ------
    InputError
        If they do not fit each other.
    """

    def __init__(
        self, schema: Schema, encoder: IntegerNetwork, decoder: IntegerNetwork, code_bits: int = CODE_BITS
    ) -> None:
        self.schema = schema
        self.encoder, self.decoder = encoder, decoder
        self.bins = NormalBins(check_whole("code_bits", code_bits, 1, 14))
        shape, code = encoder.shape_after, decoder.shape
        if encoder.shape != schema.shape or len(code) != 1 or shape != (2 * code[0],):
            raise InputError(f"the encoder of a codec gives {shape}, and its decoder takes {code}: export it again")

    @property
    @abstractmethod
    def numbers(self) -> int:
        """Whole numbers that are held of an example while it is coded, by which groups are limited."""

    @abstractmethod
    def likelihood(self, z: NDArray[Any], work: Work) -> Codec:
        """Codec of examples (n, *shape), given their codes in bins (n, d)."""

    @abstractmethod
    def bits_given(self, z: NDArray[Any], values: NDArray[Any], work: Work) -> float:
        """Bits that `likelihood` makes of examples (n, *shape)."""

    def coded(self, values: np.ndarray, work: Work) -> Coded:
        """Code examples (n, *shape), indices on the grid."""
        return Coded(self.encode(values, work), self.bound(values, work), values)

    def encode(self, values: np.ndarray, work: Work) -> bytes:
        """Return the payload alone, in half the time that counting the bits as well would take."""
        ans = self.stack(len(values), work)
        self.push(ans, values, work)
        return ans.to_bytes()

    def decode(self, payload: bytes, n: int, work: Work) -> np.ndarray:
        """Give back n examples (n, *shape) as indices on the grid; `InputError` if the payload is damaged."""
        ans = Ans.from_bytes(payload, self.lanes(n), compiled=work.compiled)
        values = self.pop(ans, n, work)
        check_empty(ans)
        return values

    def push(self, ans: Ans, values: np.ndarray, work: Work) -> None:
        """Push examples (n, *shape), group by group."""
        check_exact(work.device)
        posteriors = self.posteriors(values, work)
        nothing, a_code = ans.bits, self.bins.digits * self.decoder.shape[0]
        start = 0
        while start < len(values):
            # A code takes no more than so many bits on average; those of a group may.
            size = min((ans.bits - nothing) // a_code, len(values) - start, self._largest_group)
            k = size.bit_length()
            while not self._pushed(ans, k, values[start:], posteriors[start:], work):
                k -= 1
            start += _examples(k)

    def pop(self, ans: Ans, n: int, work: Work) -> np.ndarray:
        """Pop n examples (n, *shape), the inverse of `push`; `InputError` if they cannot be."""
        check_exact(work.device)
        values = np.empty((n, *self.schema.shape), dtype=np.uint8)
        stop = n
        while stop:
            k = int(ans.pop_uniform(1, _K_BITS)[0])
            size = _examples(k)
            if size > min(stop, self._largest_group):
                raise InputError(f"a group of {size} examples is too large: data are damaged, or of another model")
            values[stop - size : stop] = self._codec(k, work).pop(ans)
            stop -= size
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

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights of both networks."""
        networks = {"encoder": self.encoder, "decoder": self.decoder}
        return {f"{name}.{own}": array for name, net in networks.items() for own, array in net.arrays().items()}

    def settings(self) -> dict[str, Any]:
        """Layers of both networks, and bins."""
        networks = {"encoder": self.encoder.description(), "decoder": self.decoder.description()}
        return {**networks, "code_bits": self.bins.digits}

    def stack(self, n: int, work: Work) -> Ans:
        """Make an empty stack for so many examples."""
        return Ans(self.lanes(n), compiled=work.compiled)

    def lanes(self, n: int) -> int:
        """More of them are faster, and each costs a few bytes, which few levels have none to spare for."""
        bits = (self.schema.levels - 1).bit_length()
        return max(1, min(8 * bits, n * self.schema.size * bits // _BITS_A_LANE))

    @property
    def _largest_group(self) -> int:
        return max(1, min(_MOST_EXAMPLES, _NUMBERS_AT_ONCE // self.numbers))

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


def check_empty(ans: Ans) -> None:
    """Raise `InputError` if something is left of a stack from which all has been popped."""
    if not ans.empty:
        raise InputError("bits are left over after the last example: data are damaged, or of another model")


def networks_of(model: Model, end: Scale) -> tuple[IntegerNetwork, IntegerNetwork]:
    """Convert encoder and decoder of a trained model.

    Parameters
    ----------
    model : Model
        With gaussian codes.
    end : Scale
        From what the decoder gives the likelihood (P, cells), at 2^-12, to what is told.

    Raises
    ------
    InputError
        If it has no codes that bits-back can draw, or a network that has no form in whole numbers.
    """
    check_codes(model.latent)
    encoding, decoding = sides(model.network)
    transform, size = model.transform, model.latent.size
    assert isinstance(transform, Transform)  # the other one has columns, which no such likelihood scores
    encoder = IntegerNetwork([standardised(transform), *converted(encoding), of_codes(size)], transform.seen_shape)
    params = Reshape([model.likelihood.n_params, transform.schema.size])
    return encoder, IntegerNetwork([*converted(decoding), params, end], (size,))


def of_codes(size: int) -> Scale:
    """Make the last layer of an encoder: means, then s, of so many numbers of a code."""
    return Scale(np.repeat([1 << STEP, FRACTION], size), np.zeros(2 * size, dtype=np.int64), STEP)


def networks_from(
    schema: Schema, settings: Mapping[str, Any], arrays: Mapping[str, Mapping[str, np.ndarray]]
) -> tuple[IntegerNetwork, IntegerNetwork]:
    """Make encoder and decoder again from what a file says of each."""
    encoder = IntegerNetwork.restored(settings["encoder"], arrays["encoder"], schema.shape)
    code = (encoder.shape_after[0] // 2,)
    return encoder, IntegerNetwork.restored(settings["decoder"], arrays["decoder"], code)


def by_part(arrays: Mapping[str, np.ndarray], *parts: str) -> dict[str, dict[str, np.ndarray]]:
    """Arrays of each part, whose names begin with it and a point; `InputError` if there are others."""
    own: dict[str, dict[str, np.ndarray]] = {part: {} for part in parts}
    for name, array in arrays.items():
        part, _, rest = name.partition(".")
        if part not in own:
            raise unknown("part of a codec", part, own)
        own[part][rest] = array
    return own


def _examples(k: int) -> int:
    """Examples in a group."""
    return 1 << k >> 1 if k else 1
