"""Being told to stop, by SIGINT or SIGTERM: at once, but never in the middle of a change of state."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """Raised where the program stands when a signal comes.

    Parameters
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def status(self) -> int:
        """By custom the exit status of a program that ends so."""
        return 128 + self.number


class Stopping:
    """Turns signals into `Stopped` while it is entered; in a thread other than the main one it does nothing."""

    def __init__(self) -> None:
        self._came: int | None = None
        self._held = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Listen; what listened before does so again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._signalled) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let a signal wait until the block has ended."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._came is not None:
            raise Stopped(self._came)

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Within a block that is held, let no signal wait: for what may take for ever."""
        held, self._held = self._held, False
        if self._came is not None:
            raise Stopped(self._came)
        yield
        self._held = held

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if not self._held:
            raise Stopped(number)
        self._came = number
