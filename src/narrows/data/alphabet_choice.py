"""Which symbols suit a column of a table."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from narrows.data.alphabets import LONGEST_TEXT, Alphabet
from narrows.data.numerals import decimals_of, least_of, parsed

if TYPE_CHECKING:
    import pyarrow as pa

MOST_TEXTS = 128
MOST_VALUES = 32
MOST_RANGES = 31
_RARE = 500  # a symbol stands for one cell in so many at least


def alphabet_of(column: pa.ChunkedArray) -> Alphabet:
    """Choose the symbols of a column of texts: its commonest texts and numbers, and ranges of all other numbers.

    Parameters
    ----------
    column : pyarrow.ChunkedArray of strings
        Cells as they are written; null where one is empty.
    """
    import pyarrow.compute as pc

    texts, counts = counted(column)
    rare = max(2, len(column) // _RARE)
    decimals = decimals_of(texts, counts)
    numbers, are = parsed(texts, decimals, least_of(texts, counts, decimals))
    order = np.lexsort((np.arange(len(texts)), -counts))  # the commonest first
    common = order[counts[order] >= rare]
    short = pc.less_equal(pc.binary_length(texts), LONGEST_TEXT).to_numpy(zero_copy_only=False)
    words = [texts[int(place)].as_py() for place in common[~are[common] & short[common]][:MOST_TEXTS]]
    single = common[are[common]][:MOST_VALUES]
    others = are.copy()
    others[single] = False
    starts, bits = _ranges(numbers[others], counts[others], rare)
    gap = [None] if column.null_count else []
    return Alphabet((*gap, *words[: MOST_TEXTS - len(gap)]), decimals, _whole(np.sort(numbers[single])), starts, bits)


def counted(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    """The different texts, in order, and how many cells hold each."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.value_counts(column.drop_null())
    table = pa.table({"text": found.field("values"), "count": found.field("counts")}).sort_by("text")
    return pa.concat_arrays(table["text"].chunks), table["count"].to_numpy()


def _ranges(
    numbers: NDArray[np.int64], counts: NDArray[np.int64], rare: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ranges that hold all numbers: of those there are, the one that leaves most bits open is cut in half, ever again.

    Halves in which there is no number are no ranges.
    """
    if not len(numbers):
        return (), ()
    order = np.argsort(numbers)
    sums = np.append(0, counts[order].cumsum())
    low = int(numbers.min())
    offsets = (numbers[order].astype(np.uint64) - np.uint64(low % (1 << 64))).astype(np.uint64)  # below 2^64

    def entry(start: int, bits: int) -> tuple[int, int, int, int]:
        first, last = np.searchsorted(offsets, np.array([start, start + (1 << bits) - 1], np.uint64))
        last += int(last < len(offsets) and offsets[last] == start + (1 << bits) - 1)
        cells = int(sums[last] - sums[first])
        return -cells * bits, cells, start, bits

    heap = [entry(0, int(offsets[-1]).bit_length())]
    while len(heap) < MOST_RANGES and heap[0][1] >= rare and heap[0][3]:
        _, _, start, bits = heapq.heappop(heap)
        for half in (entry(start, bits - 1), entry(start + (1 << bits - 1), bits - 1)):
            if half[1]:
                heapq.heappush(heap, half)
    ordered = sorted((low + start, bits) for _, _, start, bits in heap)
    return tuple(start for start, _ in ordered), tuple(bits for _, bits in ordered)


def _whole(numbers: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(number) for number in numbers)
