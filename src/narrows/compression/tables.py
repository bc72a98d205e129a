"""Tables by bits-back: rows of symbols, those of each column under a law that a code tells."""

from __future__ import annotations

import bz2
import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from narrows.coding.bitsback import Codec
from narrows.coding.elementwise import Scale
from narrows.coding.exact import STEP, IntegerNetwork
from narrows.coding.laws import FRACTION
from narrows.coding.linear import Dense
from narrows.coding.rows import Indicators, Rows
from narrows.compression.compressor import Work
from narrows.compression.convert import converted, in_whole_numbers, sides
from narrows.compression.latent import CODE_BITS, LatentCompressor, by_part, networks_from, of_codes
from narrows.compression.told import check_codes
from narrows.data.features import SYMBOL
from narrows.data.mixed import MixedTransform
from narrows.data.schema import Column, Schema
from narrows.errors import InputError
from narrows.likelihoods.columns import Columns
from narrows.model import Model

_MOST_BYTES = 1 << 24  # of what columns hold
# Of the largest weight from and to symbols, where nearly all are; on rows of NSL-KDD held out, 10 were no better.
_BITS = 6


class TableCompressor(LatentCompressor):
    """Rows of a table whose cells are symbols; what symbols leave open is kept beside them.

    Parameters
    ----------
    schema : Schema
        Of one row, with its columns.
    encoder : see `LatentCompressor`
    decoder : IntegerNetwork
        From the centres of the bins of a code to a logit (2^-6 nats) for each symbol of each column.
    code_bits : int
        Each number of a code is one of 2^code_bits bins.
    """

    kind = "table"

    def __init__(
        self, schema: Schema, encoder: IntegerNetwork, decoder: IntegerNetwork, code_bits: int = CODE_BITS
    ) -> None:
        super().__init__(schema, encoder, decoder, code_bits)
        sizes = [alphabet.size for alphabet in schema.alphabets]
        self.law = Rows(sizes)
        seen, told = encoder.layers[0], decoder.shape_after == (self.law.n_params,)
        if schema.levels != _levels(sizes) or not (told and isinstance(seen, Indicators) and seen.sizes == sizes):
            raise InputError("the networks of a codec are not for columns of such symbols; export it again")

    @classmethod
    def serves(cls, model: Model) -> bool:
        """Tables that are read as symbols."""
        return bool(model.schema.alphabets)

    @classmethod
    def from_model(cls, model: Model) -> Self:
        """Convert a trained model.

        Raises
        ------
        InputError
            If it has no codes that bits-back can draw, another likelihood than columns, or another network than mlp.
        """
        check_codes(model.latent)
        transform, likelihood = model.transform, model.likelihood
        encoding, decoding = (_one_by_one(side) for side in sides(model.network))
        first, last = encoding[0], decoding[-1]
        assert isinstance(transform, MixedTransform)
        if not (isinstance(likelihood, Columns) and isinstance(first, nn.Linear) and isinstance(last, nn.Linear)):
            raise InputError(
                "a table is compressed by network mlp and likelihood columns; train preset compressor-table"
            )
        sizes = [alphabet.size for alphabet in model.schema.alphabets]
        features = transform.features
        places = torch.where(features.occurred, features.own_places, features.unseen_places)
        seen = Dense(*in_whole_numbers(SYMBOL * first.weight[:, places], first.bias, _BITS))
        encoder = [Indicators(sizes), seen, *converted(encoding[1:]), of_codes(model.latent.size)]
        logits = _logits(likelihood, sizes)
        told = Dense(*in_whole_numbers(last.weight[logits], last.bias[logits], _BITS))
        scale = Scale(np.array([FRACTION]), np.array([0]), STEP)
        decoder = IntegerNetwork([*converted(decoding[:-1]), told, scale], (model.latent.size,))
        schema = dataclasses.replace(model.schema, low=0.0, high=_levels(sizes) - 1.0, step=1.0)
        return cls(schema, IntegerNetwork(encoder, schema.shape), decoder)

    @property
    def numbers(self) -> int:
        """Logits."""
        return self.law.n_params

    def likelihood(self, z: NDArray[Any], work: Work) -> Codec:
        """Codec of rows (n, columns), given their codes in bins (n, d)."""
        logits = self._logits(z, work)
        return Codec(lambda ans, symbols: self.law.push(ans, logits, symbols), lambda ans: self.law.pop(ans, logits))

    def bits_given(self, z: NDArray[Any], values: NDArray[Any], work: Work) -> float:
        """Bits that `likelihood` makes of rows (n, columns)."""
        return self.law.bits(self._logits(z, work), values)

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights of both networks, and what the columns hold, as bytes."""
        told = json.dumps([column.to_json() for column in self.schema.columns or ()], separators=(",", ":")).encode()
        if len(told) > _MOST_BYTES:
            raise InputError(f"the columns of the table take {len(told)} bytes to tell; leave some out (--ignore)")
        return {**super().arrays(), "columns.bytes": np.frombuffer(bz2.compress(told), np.int8)}

    @classmethod
    def from_arrays(cls, schema: Schema, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        """Make it again; `InputError` if what is given cannot be one."""
        if set(settings) != {"encoder", "decoder", "code_bits"}:
            raise InputError(f"a codec table has no settings {sorted(settings)}; export it again")
        own = by_part(arrays, "encoder", "decoder", "columns")
        columns = _columns(own["columns"]["bytes"])
        schema = dataclasses.replace(schema, names=tuple(column.name for column in columns), columns=columns)
        return cls(schema, *networks_from(schema, settings, own), settings["code_bits"])

    def _logits(self, z: NDArray[Any], work: Work) -> NDArray[np.int32]:
        """Logits of all symbols side by side (n, symbols), from codes in bins (n, d)."""
        return self.decoder(self.bins.bins.centres[z], work.batch, work.device)


def _levels(sizes: list[int]) -> int:
    """Values that a cell of the matrix of symbols can take: at least two, as of anything on a grid."""
    return max(2, *sizes)


def _one_by_one(modules: list[nn.Module]) -> list[nn.Module]:
    """Modules in their order, without those that only put them or numbers in a row."""
    flat = [part for module in modules for part in (module if isinstance(module, nn.Sequential) else [module])]
    return [module for module in flat if not isinstance(module, nn.Flatten)]


def _logits(likelihood: Columns, sizes: list[int]) -> list[int]:
    """Place of the logit of each symbol of each column, among what the decoder gives."""
    first: dict[int, int] = {}
    start = 0
    for law, size in zip(likelihood.laws, likelihood.sizes, strict=True):
        columns: list[int] = law.columns.tolist()  # type: ignore[operator]
        first |= {column: start + place * (size // len(columns)) for place, column in enumerate(columns)}
        start += size
    return [first[column] + symbol for column, size in enumerate(sizes) for symbol in range(size)]


def _columns(kept: np.ndarray) -> tuple[Column, ...]:
    """What the columns of a codec hold; `InputError` if a file brings something else."""
    unpacker = bz2.BZ2Decompressor()
    try:
        told = json.loads(unpacker.decompress(kept.astype(np.uint8).tobytes(), _MOST_BYTES))
        if not unpacker.eof:
            raise ValueError("it is cut short")
        columns = tuple(map(Column.from_json, told))
        names = {column.name.encode() for column in columns}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"a codec does not say what its columns hold ({error}); export it again") from None
    if len(names) != len(columns) or any(column.alphabet is None for column in columns):
        raise InputError("a codec says in no known way what its columns hold; export it again")
    return columns
