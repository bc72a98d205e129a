"""The server itself: a socket, uvicorn, and its end."""

from __future__ import annotations

import contextlib
import functools
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from narrows.errors import InputError
from narrows.serve.connections import Connection, Connections
from narrows.serve.limits import FILES_APART, Limits

BACKLOG = 2048
SECONDS_TO_END = 5


def listening(host: str, port: int) -> socket.socket:
    """Open the socket to listen on.

    Raises
    ------
    InputError
        If it is taken, or there is no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
    except (OSError, OverflowError, UnicodeError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot listen at {host}, port {port} ({said}); give another --host or --port") from None
    return opened


def run(app: Any, opened: socket.socket, limits: Limits, started: Callable[[], None]) -> None:
    """Serve until told to stop by SIGINT or SIGTERM."""
    _check_files(limits)
    _Server(configured(app, limits), started).run(sockets=[opened])


def configured(app: Any, limits: Limits) -> uvicorn.Config:
    """How uvicorn is to serve an application."""
    return uvicorn.Config(
        app,
        http=functools.partial(Connection, Connections(limits)),  # type: ignore[arg-type]  # uvicorn calls it
        ws="none",
        log_config=None,
        log_level="error",  # strangers may send what is no HTTP as often as they like
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=max(1, round(limits.max_seconds)),
        timeout_graceful_shutdown=SECONDS_TO_END,
        backlog=BACKLOG,
    )


class _Server(uvicorn.Server):
    """Says when it takes requests."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._said = started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End when told to, and with success: uvicorn would raise the signal once more."""
        told = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(one, self.handle_exit) for one in told]
        try:
            yield
        finally:
            for one, handler in zip(told, before, strict=True):
                signal.signal(one, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._said()


def _check_files(limits: Limits) -> None:
    """Refuse more connections than the system lets a process have files."""
    try:
        import resource
    except ImportError:  # pragma: no cover  Windows has no such limit
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - FILES_APART
    if limits.max_connections > most:
        raise InputError(
            f"--max-connections was given as {limits.max_connections}, and this process may have {most}; give fewer, "
            f"or raise the limit (ulimit -n)"
        )
