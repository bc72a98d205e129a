"""Lines of a stream of bytes, in batches: as many as have come, or as many as are wanted."""

from __future__ import annotations

import math
import os
import select
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 2**20
_CHUNK = 2**16
_BATCH_BYTES = 2**22


@dataclass(frozen=True)
class Lines:
    """Neighbouring lines of a stream.

    Parameters
    ----------
    first : int
        Number of the first of them in the stream, counted from 1.
    texts : sequence of bytes or None
        The lines without their ends; None for one longer than 1 MiB, which was skipped.
    end : int
        Bytes of the stream up to the end of the last of them.
    """

    first: int
    texts: Sequence[bytes | None]
    end: int

    @property
    def last(self) -> int:
        """Number of the last line."""
        return self.first + len(self.texts) - 1


class LineReader:
    """Reads a stream line by line, in batches, and holds no more of it than a batch and a line of 1 MiB.

    Parameters
    ----------
    descriptor : int
        Of an open file, pipe or socket, standing where reading goes on.
    line, offset : int
        Lines and bytes of the stream before that place.
    """

    def __init__(self, descriptor: int, line: int = 0, offset: int = 0) -> None:
        self._descriptor = descriptor
        self._line = line
        self._offset = offset
        self._ready: deque[tuple[bytes | None, int]] = deque()  # a line, and its bytes with the end
        self._parts: list[bytes] = []  # of the line that has begun
        self._begun = 0
        self._ended = False
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._looked = -math.inf

    def batch(self, most: int, wait: float | None = None) -> Lines | None:
        """Return the next lines; None when there are no more.

        Parameters
        ----------
        most : int
            Lines wanted. Fewer come where they take more than 4 MiB.
        wait : float, optional
            Seconds from the arrival of the first of them after which those that have come are enough. Without it the
            batch is full, unless the stream ends. Of lines that were there when the reader came back to the stream
            it is supposed that they arrived when it was there last.
        """
        deadline = None if wait is None else (self._looked if self._ready else self._arrival()) + wait
        while len(self._ready) < most and not self._ended:
            if deadline is not None:
                left = math.inf if not self._ready else max(0.0, deadline - time.monotonic())
                if not self._poll.poll(None if left == math.inf else 1000 * left):
                    break
            self._read()
        self._looked = time.monotonic()
        return self._taken(most)

    def _arrival(self) -> float:
        """Wait until there is something to read; return the earliest moment at which it can have come."""
        if self._ended or self._poll.poll(0):
            return self._looked
        self._poll.poll()
        return time.monotonic()

    def _taken(self, most: int) -> Lines | None:
        texts: list[bytes | None] = []
        first, start = self._line + 1, self._offset
        while self._ready and len(texts) < most and self._offset - start < _BATCH_BYTES:
            text, size = self._ready.popleft()
            texts.append(text)
            self._line += 1
            self._offset += size
        return Lines(first, texts, self._offset) if texts else None

    def _read(self) -> None:
        chunk = os.read(self._descriptor, _CHUNK)
        if not chunk:
            self._ended = True
            if self._begun:
                self._finish(0)
            return
        first, *others = chunk.split(b"\n")
        self._begin(first)
        if others:
            self._finish(1)
            rest = others.pop()
            self._ready.extend([(text, len(text) + 1) for text in others])
            self._begin(rest)

    def _begin(self, part: bytes) -> None:
        """Take more of the line that has begun; what is too long is counted and not kept."""
        self._begun += len(part)
        if self._begun > LONGEST:
            self._parts.clear()
        elif part:
            self._parts.append(part)

    def _finish(self, end: int) -> None:
        text = None if self._begun > LONGEST else b"".join(self._parts)
        self._ready.append((text, self._begun + end))
        self._parts.clear()
        self._begun = 0
