"""Arrays of whole numbers, such as the weights of a network, in few bytes: each row under a law as wide as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from narrows.coding.ans import Ans
from narrows.coding.frequencies import Tables
from narrows.coding.laws import FRACTION, PRECISION, TOTAL, LogisticMixture
from narrows.errors import InputError

MOST_NUMBERS = 1 << 26
_NUMBERS_A_BYTE = 1 << 11  # no symbol takes less than log2(2^16 / (2^16 - 255)) bits, of which a byte has 1422
_SHORT_ROW = 32  # an array of shorter rows is one row
_MIDDLE = 127  # symbol of a 0; 255 says that the number follows in full
_ESCAPE = 255
_STEP = 8  # the scale of a row is told in eighths of a nat
_MOST_LOW = 16
_LAW = LogisticMixture(256, 1, Decimal(1))
_TYPES = {"i1": np.int8, "i2": np.int16, "i4": np.int32}

Ints = NDArray[Any]


def packed(arrays: Mapping[str, Ints]) -> tuple[list[list[Any]], bytes]:
    """Code arrays of whole numbers that fit into 32 bits.

    A number v of a row is told in two parts: ``v >> b`` as a symbol of a discretised logistic about 0, and its b low
    bits as they are; a number too large for that follows in full. The scale, in eighths of a nat, and b are the row's.

    Returns
    -------
    description : list
        Name, type and shape of each, in plain JSON values.
    payload : bytes
    """
    description = []
    ans = Ans(1)
    for name, array in reversed(list(arrays.items())):
        kind = next((kind for kind, dtype in _TYPES.items() if _fits(array, dtype)), None)
        if kind is None:
            raise InputError(f"{name} holds {array.dtype} that are no whole numbers of 32 bits, which a codec cannot")
        description.append([name, kind, list(array.shape)])
        rows = array.astype(np.int64).reshape(-1, _row_length(array.shape))
        for row in rows[::-1]:
            _push_row(ans, row)
    return description[::-1], ans.to_bytes()


def unpacked(description: Sequence[Any], payload: bytes) -> dict[str, Ints]:
    """The inverse of `packed`.

    Raises
    ------
    InputError
        If the two do not belong together, or one is damaged.
    """
    try:
        told = [(str(name), np.dtype(_TYPES[kind]), tuple(map(int, shape))) for name, kind, shape in description]
    except (TypeError, ValueError, LookupError, OverflowError):
        raise InputError("the codec describes its arrays in no known way; export it again") from None
    sizes = [math.prod(shape) for _, _, shape in told]
    most = min(MOST_NUMBERS, _NUMBERS_A_BYTE * len(payload))
    if any(side < 1 for _, _, shape in told for side in shape) or sum(sizes) > most:
        raise InputError(f"the codec says that it holds {sum(sizes)} numbers, which it cannot; export it again")
    ans = Ans.from_bytes(payload, 1)
    arrays = {}
    for (name, dtype, shape), size in zip(told, sizes, strict=True):
        length = _row_length(shape)
        rows = [_pop_row(ans, length) for _ in range(size // length)]
        flat = np.concatenate(rows)
        if not _fits(flat, dtype.type):
            raise InputError("the codec holds numbers too large for their type; export it again")
        arrays[name] = flat.astype(dtype).reshape(shape)
    if not ans.empty:
        raise InputError("the codec holds more than it describes; export it again")
    return arrays


def _fits(array: Ints, dtype: type[Any]) -> bool:
    limits = np.iinfo(dtype)
    return array.dtype.kind in "iu" and bool(((array >= limits.min) & (array <= limits.max)).all())


def _row_length(shape: tuple[int, ...]) -> int:
    size = math.prod(shape)
    length = size // shape[0] if shape else 1
    return length if length >= _SHORT_ROW else size


def _push_row(ans: Ans, row: Ints) -> None:
    size = float(np.abs(row).mean())
    # So many low bits that few symbols are beyond the alphabet.
    low = min(max(0, math.ceil(math.log2(max(size, 1) / 24))), _MOST_LOW)
    symbols = (row >> low) + _MIDDLE
    outside = (symbols < 0) | (symbols >= _ESCAPE)
    for number in row[outside][::-1]:
        ans.push_uniform(np.array([number >> 16 & 0xFFFF, number & 0xFFFF]), 16)
    if low:
        ans.push_uniform(row & ((1 << low) - 1), low)
    # The mean size of a logistic of scale s is 2 s ln 2.
    scale = round(_STEP * math.log(max(size / 2**low / (2 * math.log(2)), 1e-2)))
    scale = min(max(scale, -64), 63)
    ans.push_symbols(np.where(outside, _ESCAPE, symbols), _table(scale, low > 0))
    ans.push_uniform(np.array([scale + 64, low]), 8)


def _pop_row(ans: Ans, length: int) -> Ints:
    scale, low = (int(number) for number in ans.pop_uniform(2, 8))
    if low > _MOST_LOW or scale > 127:
        raise InputError("the codec holds rows of no known kind: it is damaged; export it again")
    symbols = ans.pop_symbols(length, _table(scale - 64, low > 0))
    row = (symbols - _MIDDLE) << low
    if low:
        row += ans.pop_uniform(length, low)
    for place in np.flatnonzero(symbols == _ESCAPE):
        high, rest = (int(number) for number in ans.pop_uniform(2, 16))
        row[place] = (high << 16 | rest) - (high >> 15 << 32)
    return row


@lru_cache
def _table(scale: int, shifted: bool) -> Tables:
    """A logistic about 0; of what a shift rounds down the middle is half a step lower."""
    middle = FRACTION * _MIDDLE - (FRACTION // 2 if shifted else 0)
    params = np.tile(np.array([middle, _wide(scale), 0], np.int32), (_LAW.symbols, 1))
    starts, _ = _LAW.ranges(params, np.arange(_LAW.symbols), compiled=False)  # for so few, nothing is to be compiled
    return Tables(np.append(starts, np.uint32(TOTAL)), PRECISION)


def _wide(scale: int) -> int:
    """The log scale, in 64ths, at which the law has a scale of exp(scale / 8): its own is 5 tanh(u / 5)."""
    held = min(max(scale / _STEP / 5, -0.999), 0.999)
    return round(5 * math.atanh(held) * FRACTION)
