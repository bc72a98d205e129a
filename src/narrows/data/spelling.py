"""Rows of a table as symbols, and bytes for what symbols leave open; both together give every cell back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from narrows.data.alphabet_choice import counted
from narrows.data.alphabets import Alphabet
from narrows.data.leftovers import damaged, from_bits, from_bytes, in_bits, in_bytes
from narrows.data.numerals import least_of, parsed, written

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Spelling:
    """How the numbers of each column are written in a file: ``least`` of `narrows.data.numerals`.

    Parameters
    ----------
    alphabets : sequence of Alphabet
        Of each column.
    least : sequence of int
        Of each column.
    """

    alphabets: Sequence[Alphabet]
    least: Sequence[int]

    @classmethod
    def of(cls, alphabets: Sequence[Alphabet], table: pa.Table) -> Spelling:
        """Find out how the numbers of a table are written; the texts of another way go beside the symbols."""
        least = []
        for alphabet, column in zip(alphabets, table.columns, strict=True):
            numbers = alphabet.decimals and len(alphabet.lowest)
            least.append(least_of(*counted(column), alphabet.decimals) if numbers else 0)
        return cls(alphabets, least)

    def split(self, table: pa.Table) -> tuple[NDArray[np.uint8], bytes]:
        """Table of texts -> symbols (n, c), and what they leave open, column after column."""
        parts = [
            _split(column.combine_chunks(), alphabet, least)
            for column, alphabet, least in zip(table.columns, self.alphabets, self.least, strict=True)
        ]
        symbols = np.stack([part.symbols for part in parts], 1)
        low = np.concatenate([part.low for part in parts])
        bits = np.concatenate([part.bits for part in parts])
        return symbols, in_bits(low, bits) + in_bytes([part.others for part in parts])

    def joined(self, symbols: NDArray[np.uint8], rest: bytes) -> list[pa.Array]:
        """The inverse of `split`, a text for each cell of each column.

        Raises
        ------
        InputError
            If it is not what `split` gave.
        """
        if symbols.ndim != 2 or symbols.shape[1] != len(self.alphabets):
            raise damaged()
        columns = list(zip(symbols.T, self.alphabets, self.least, strict=True))
        if any(len(cells) and cells.max() > alphabet.other for cells, alphabet, _ in columns):
            raise damaged()
        bits = [alphabet.open_bits[cells] for cells, alphabet, _ in columns]
        beside = [int((cells == alphabet.other).sum()) for cells, alphabet, _ in columns]
        end = -(-sum(int(own.sum()) for own in bits) // 8)
        low = from_bits(rest[:end], np.concatenate(bits))
        others = from_bytes(rest[end:], sum(beside))
        lows = np.split(low, np.cumsum([int((own > 0).sum()) for own in bits])[:-1])
        places = np.cumsum([0, *beside])
        return [
            _joined(cells, alphabet, least, own, others[int(place) : int(place) + count])
            for (cells, alphabet, least), own, place, count in zip(columns, lows, places, beside, strict=False)
        ]

    def rows(self, symbols: NDArray[np.uint8], rest: bytes, rows: slice) -> tuple[NDArray[np.uint8], bytes]:
        """Symbols of some rows, and what they leave open."""
        import pyarrow as pa

        names = [str(place) for place in range(len(self.alphabets))]
        return self.split(pa.table(self.joined(symbols, rest), names=names)[rows])


@dataclass(frozen=True)
class _Part:
    """A column in symbols (n,), low bits of the cells that leave some open, how many, and texts of the others."""

    symbols: NDArray[np.uint8]
    low: NDArray[np.uint64]
    bits: NDArray[np.int64]
    others: pa.Array


def _split(cells: pa.Array, alphabet: Alphabet, least: int) -> _Part:
    import pyarrow as pa

    coded = cells.dictionary_encode()
    texts = coded.dictionary
    # One more entry, for cells that are empty.
    codes = coded.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)
    symbols, low = _symbols(texts, alphabet, least)
    gap = alphabet.texts.index(None) if None in alphabet.texts else alphabet.other
    own, lows = np.append(symbols, gap)[codes], np.append(low, np.uint64(0))[codes]
    bits = alphabet.open_bits[own]
    return _Part(own.astype(np.uint8), lows[bits > 0], bits[bits > 0], cells.filter(pa.array(own == alphabet.other)))


def _symbols(texts: pa.Array, alphabet: Alphabet, least: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Symbols of texts (n,) without gaps, and what they leave open."""
    import pyarrow as pa
    import pyarrow.compute as pc

    symbols, low = np.full(len(texts), alphabet.other), np.zeros(len(texts), dtype=np.uint64)
    known = pc.index_in(texts, pa.array(alphabet.texts, texts.type)).fill_null(-1).to_numpy(zero_copy_only=False)
    if not len(alphabet.lowest):
        return np.where(known >= 0, known, symbols), low
    numbers, are = parsed(texts, alphabet.decimals, least)
    symbols[~are & (known >= 0)] = known[~are & (known >= 0)]
    for first, last in ((alphabet.first_range, alphabet.other), (alphabet.first_number, alphabet.first_range)):
        # What has a symbol of its own is found last, and keeps it.
        lowest = alphabet.lowest[first - alphabet.first_number : last - alphabet.first_number]
        if not len(lowest):
            continue
        place = np.searchsorted(lowest, numbers, side="right") - 1
        beyond = numbers.astype(np.uint64) - lowest[place].astype(np.uint64)
        within = are & (place >= 0) & _below(beyond, alphabet.open_bits[first:last][place])
        symbols[within] = first + place[within]
        low[within] = beyond[within]
    return symbols, low


def _below(numbers: NDArray[np.uint64], bits: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether numbers have no more bits than these."""
    return (bits > 63) | (numbers >> np.minimum(bits, 63).astype(np.uint64) == 0)


def _joined(
    cells: NDArray[np.uint8], alphabet: Alphabet, least: int, low: NDArray[np.uint64], others: pa.Array
) -> pa.Array:
    import pyarrow as pa

    numeric = (cells >= alphabet.first_number) & (cells < alphabet.other)
    symbols = cells[numeric].astype(np.int64)
    beyond = np.zeros(len(symbols), dtype=np.uint64)
    beyond[alphabet.open_bits[symbols] > 0] = low
    numbers = (alphabet.lowest[symbols - alphabet.first_number].astype(np.uint64) + beyond).astype(np.int64)
    pool = pa.concat_arrays([pa.array(alphabet.texts, pa.string()), written(numbers, alphabet.decimals, least), others])
    places = cells.astype(np.int64)
    places[numeric] = len(alphabet.texts) + np.arange(len(numbers))
    places[cells == alphabet.other] = len(alphabet.texts) + len(numbers) + np.arange(len(others))
    return pool.take(pa.array(places))
