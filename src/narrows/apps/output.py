"""Lines written as they come, to a file or to standard output, and words on standard error."""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

from narrows.apps.stopping import Stopping
from narrows.errors import InputError


class Output:
    """Bytes to a file or to standard output, and how many there are.

    Parameters
    ----------
    path : Path or None
        The file, which is cut to ``written`` bytes first; None for standard output.
    written : int
        Bytes that stand there already.
    stopping : Stopping
        Which may end the waiting for a reader that does not read.

    Raises
    ------
    InputError
        If the file holds fewer.
    """

    def __init__(self, path: Path | None, written: int, stopping: Stopping) -> None:
        self.written = written
        self._stopping = stopping
        self._poll = select.poll()
        self._is_file = path is not None
        if path is None:
            self._descriptor = sys.stdout.fileno()
            self._poll.register(self._descriptor, select.POLLOUT)
            return
        if written and (not path.exists() or path.stat().st_size < written):
            raise InputError(f"{path} is shorter than the state says; bring it back, or begin anew without the state")
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
        os.ftruncate(self._descriptor, written)
        os.lseek(self._descriptor, written, os.SEEK_SET)

    def write(self, text: str) -> None:
        """Write all of a text."""
        rest = memoryview(text.encode())
        while rest:
            if not self._is_file and not self._poll.poll(0):
                with self._stopping.released():
                    self._poll.poll()
            # So much is taken by any pipe that takes anything, and a signal finds nobody waiting in it.
            done = os.write(self._descriptor, rest if self._is_file else rest[: select.PIPE_BUF])
            self.written += done
            rest = rest[done:]

    def settle(self) -> None:
        """Bring a file to the disk: a state must not tell of bytes that a power cut can still take away."""
        if self._is_file:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close a file."""
        if self._is_file:
            os.close(self._descriptor)


def note(text: str) -> None:
    """Tell a person something on standard error, on one line."""
    sys.stderr.write(f"narrows: {text}\n")
    sys.stderr.flush()
