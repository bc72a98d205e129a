"""What clients may ask of the server, and no more."""

from __future__ import annotations

from dataclasses import dataclass

from narrows.errors import at_least

LARGEST_HEAD = 2**16  # bytes of a request before its body
LARGEST_LINE = 2**20  # bytes of one line of a stream
SMALL_BODY = 2**16  # bytes that are always taken, however much is held already
BODIES_HELD = 16  # largest bodies that all requests together may hold
MOST_WAITING = 4096  # pieces of work
FILES_APART = 64  # descriptors that are no connections


@dataclass(frozen=True)
class Limits:
    """Limits on what one client may ask.

    Parameters
    ----------
    max_body : int
        Bytes of a request's body. A stream of lines may be longer, no line of it than 1 MiB.
    max_rows : int
        Rows of one request, or examples made for it. Streams have no such limit.
    max_pixels : int
        Pixels of all images of one request together.
    max_seconds : float
        For each of: sending a request, or the next part of a stream; computing the answer; taking it.
    max_connections : int
        Open at once; beyond them the one that has idled longest is closed.
    """

    max_body: int = 8 * 2**20
    max_rows: int = 10_000
    max_pixels: int = 2**20
    max_seconds: float = 10.0
    max_connections: int = 512

    def check(self) -> None:
        """Raise `InputError` for a limit that lets nothing through, or that the system cannot keep."""
        for name in ("max_body", "max_rows", "max_pixels", "max_connections"):
            at_least(_flag(name), getattr(self, name), 1)
        at_least(_flag("max_seconds"), self.max_seconds, 0, above=True)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
