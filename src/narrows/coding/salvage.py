"""What is left of a damaged ``.nrw`` file: every chunk that is intact, wherever it now is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, chain, pairwise
from typing import BinaryIO

from narrows.coding.chunks import Block, Entry, read_footer
from narrows.coding.container import Reader, source_of
from narrows.coding.framing import MAGIC, Damaged, Newer, Prefix, Source
from narrows.errors import InputError


def salvage(file: bytes | BinaryIO, name: str = "the file") -> Reader:
    """Find every intact chunk of a damaged file; ``lost`` of the reader says which examples are not among them.

    The header is taken from the beginning or else from the footer, and chunks are searched for by their marker: bytes
    may be missing, altered, inserted, and chunks in another order. If the footer is intact, it says which chunks there
    were; if not, examples that two different chunks claim are given up, and ``total`` is None, for there may have been
    more after the last.

    Parameters
    ----------
    file : bytes or binary file
        A file has to be seekable, and to stay open.
    name : str
        What messages call it.

    Raises
    ------
    InputError
        If both copies of the header are lost, or it is of a newer version: then nothing can be salvaged.
    """
    source = source_of(file, name)
    prefix = _surviving_prefix(source)
    intact = {entry.digest: entry for entry in _intact(source, prefix)}
    try:
        written, _ = read_footer(source, prefix)
    except Damaged:
        return Reader(source, prefix, tuple(_undisputed(list(intact.values()))), None)
    kept = tuple(intact[entry.digest] for entry in written if entry.digest in intact)
    return Reader(source, prefix, kept, sum(entry.examples for entry in written))


def _surviving_prefix(source: Source) -> Prefix:
    """Of the two copies of the prefix one that is intact, wherever it now is."""
    places = source.find(MAGIC)
    first = next(places, 0)
    problem: InputError = InputError(
        f"nothing can be salvaged from {source.name}: it is no .nrw file, or both copies of its header are damaged; "
        f"get another copy"
    )
    for place in (first, max(places, default=first)):
        try:
            return Prefix.read(source, place)
        except Newer as newer:
            problem = newer
        except Damaged:
            continue
    raise problem


def _intact(source: Source, prefix: Prefix) -> Iterator[Entry]:
    """Chunks that are as they were written; each byte is looked at once, for no chunk holds the marker of the next."""
    for offset, end in pairwise(chain(source.find(prefix.marker), [source.size])):
        try:
            yield Block.read(source, prefix, offset, end).entry
        except Damaged:
            continue


def _undisputed(entries: list[Entry]) -> list[Entry]:
    """Those that claim no example that another claims too, in order."""
    ordered = sorted(entries, key=lambda entry: (entry.first, entry.stop))
    before = accumulate((entry.stop for entry in ordered), max, initial=0)
    after = [*(entry.first for entry in ordered[1:]), float("inf")]
    return [e for e, stop, first in zip(ordered, before, after, strict=False) if stop <= e.first and e.stop <= first]
