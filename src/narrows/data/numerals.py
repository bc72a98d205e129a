"""Decimal numbers as they are written: texts -> whole numbers times a power of ten, and back to the same texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from narrows.data.alphabets import MOST_DECIMALS

if TYPE_CHECKING:
    import pyarrow as pa

_PARTS = r"^(?P<whole>-?(?:0|[1-9][0-9]{0,18}))(?:\.(?P<fraction>[0-9]{1,18}))?$"
_FITS = r"^-?0*([0-9]{1,18}|[1-8][0-9]{18})$"  # below 9e18
# A decimal more costs each cell log2(10) bits; a cell that has more decimals than there are is kept as a text.
_BITS_A_TEXT = 64


def parsed(texts: pa.Array, decimals: int, least: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Numbers times 10^decimals (n,), and which texts are exactly what `written` makes of them (n,).

    Parameters
    ----------
    texts : pyarrow.Array of strings, shape (n,)
        Without gaps.
    decimals : int
        Digits after the point, from 0 to 18.
    least : int
        Digits after the point that are written even where they are 0.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = pc.extract_regex(texts, _PARTS)
    whole, fraction = (pc.struct_field(parts, name) for name in ("whole", "fraction"))
    digits = pc.binary_join_element_wise(whole, pc.utf8_rpad(fraction, decimals, "0"), "")
    fits = pc.and_(pc.less_equal(pc.utf8_length(fraction), decimals), pc.match_substring_regex(digits, _FITS))
    fits = fits.fill_null(False)
    numbers = pc.if_else(fits, digits, "0").cast(pa.int64()).to_numpy()
    same = pc.and_(fits, pc.equal(written(numbers, decimals, least), texts))
    return numbers, same.to_numpy(zero_copy_only=False)


def written(numbers: NDArray[np.int64], decimals: int, least: int) -> pa.Array:
    """Texts (n,) of numbers times 10^decimals: without zeros at the end, but for as many as ``least`` digits need."""
    import pyarrow as pa
    import pyarrow.compute as pc

    signed = pa.array(numbers).cast(pa.string())
    if not decimals:
        return signed
    sign = pc.if_else(pa.array(numbers < 0), "-", "")
    digits = pc.utf8_lpad(pc.utf8_ltrim(signed, "-"), decimals + 1, "0")
    fraction = pc.utf8_slice_codeunits(digits, -decimals)
    shortest = pc.utf8_rpad(pc.utf8_rtrim(fraction, "0"), least, "0")
    point = pc.if_else(pc.equal(shortest, ""), "", ".")
    return pc.binary_join_element_wise(sign, pc.utf8_slice_codeunits(digits, 0, -decimals), point, shortest, "")


def decimals_of(texts: pa.Array, counts: NDArray[np.int64]) -> int:
    """How many decimals to keep, as costs the fewest bits; ``counts`` (n,) are the cells of each text."""
    import pyarrow.compute as pc

    lengths = pc.utf8_length(pc.struct_field(pc.extract_regex(texts, _PARTS), "fraction")).fill_null(-1).to_numpy()
    cells = np.bincount(lengths[lengths >= 0], counts[lengths >= 0], minlength=MOST_DECIMALS + 1)
    beyond = cells[::-1].cumsum()[::-1] - cells
    return int(np.argmin(np.arange(len(cells)) * math.log2(10) * cells.sum() + beyond * _BITS_A_TEXT))


def least_of(texts: pa.Array, counts: NDArray[np.int64], decimals: int) -> int:
    """Digits after the point that most cells have at least: none, one, or all."""
    choices = sorted({0, min(1, decimals), decimals})
    return max(choices, key=lambda least: int(counts[parsed(texts, decimals, least)[1]].sum()))
