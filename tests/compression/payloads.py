"""What tests of several codecs share: images, and payloads that something has happened to."""

from collections.abc import Iterable
from importlib.util import find_spec

import numpy as np
from hypothesis import strategies as st

from narrows.compression.compressor import Compressor
from narrows.data.schema import Schema

TWINS = [False, True] if find_spec("numba") else [False]
CHANGES = st.lists(
    st.tuples(st.sampled_from(["bit", "cut", "insert", "n"]), st.integers(0, 400), st.binary(min_size=1, max_size=9)),
    min_size=1,
    max_size=3,
)


def images_of(shape: tuple[int, ...], levels: int = 256) -> Schema:
    """Images (channels, height, width) of whole levels."""
    return Schema(shape, 0.0, levels - 1.0, 1.0, layout="chw")


def some(codec: Compressor, n: int, seed: int = 0, kind: int = 0) -> np.ndarray:
    """Noise, the lowest level alone, or the highest."""
    x = np.random.default_rng(seed).integers(0, codec.schema.levels, (n, *codec.schema.shape), dtype=np.uint8)
    return [x, np.zeros_like(x), np.full_like(x, codec.schema.levels - 1)][kind]


def damaged(payload: bytes, n: int, changes: Iterable[tuple[str, int, bytes]]) -> tuple[bytes, int]:
    """A payload of n examples with bits turned, an end cut off or bytes put in, or said to be of another number."""
    changed = bytearray(payload)
    for what, place, extra in changes:
        place %= len(changed) + 1
        if what == "bit" and changed:
            changed[place % len(changed)] ^= 1 << extra[0] % 8
        elif what == "cut":
            del changed[place:]
        elif what == "insert":
            changed[place:place] = extra
        else:
            n = extra[0] % 6
    return bytes(changed), n
