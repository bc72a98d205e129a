"""How large data are before they are read: whether they are too many to hold."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from narrows.data import filed
from narrows.data.images import Pictures
from narrows.data.request import Request
from narrows.data.shards import good
from narrows.data.sources import Located, located
from narrows.data.stored import Stored

OVERLAP = 4  # squares that a pixel is in
SAMPLED = 16  # images that tell how large all are


def is_large(data: str, request: Request) -> bool:
    """Whether data would take half a GiB of memory or more, and can be read part by part.

    Raises
    ------
    InputError
        If there is no such source, or it is damaged and not to be skipped.
    """
    files = dict(files_of(data, request))
    if data in files:
        return _weight(files[data], request) >= filed.SMALLEST_BYTES
    weights, _ = good(map(Path, files), lambda path: _weight(files[str(path)], request), skip=request.skip)
    return sum(weights) >= filed.SMALLEST_BYTES


def files_of(data: str, request: Request) -> list[tuple[str, Located]]:
    """Return the files that data are in, each as it is found."""
    found = located(data, request)
    if not found.shards:
        return [(data, found)]
    single = dataclasses.replace(request, skip=False)
    return [(str(path), located(str(path), single)) for path in found.shards]


def _weight(found: Located, request: Request) -> int:
    """Bytes that what was found takes in memory, about; 0 of what can only be read whole."""
    if found.weight is not None:
        return found.weight(filed.SMALLEST_BYTES)
    source = found.open() if found.open is not None else None
    if isinstance(source, Stored):
        return math.prod(source.shape) * source.dtype.itemsize
    if isinstance(source, Pictures) and len(source) > 1:
        sizes = [image.nbytes for image in source.spread(1 if request.tile is None else SAMPLED)]
        return len(source) * sum(sizes) // len(sizes) * (1 if request.tile is None else OVERLAP)
    return 0
