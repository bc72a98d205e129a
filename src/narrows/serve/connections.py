"""Connections that may not stay without need: a limit on their number, on a head's size and time, on unread answers."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from narrows.serve.limits import LARGEST_HEAD, Limits
from narrows.serve.problems import PROBLEM


class Connections:
    """All that are open.

    Parameters
    ----------
    limits : Limits
        On their number and on time.
    """

    def __init__(self, limits: Limits) -> None:
        self.seconds = limits.max_seconds
        self._most = limits.max_connections
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._busy: OrderedDict[Connection, None] = OrderedDict()

    def idle(self, one: Connection) -> None:
        """Note that a connection has no request; make room if there are too many."""
        self._busy.pop(one, None)
        self._idle[one] = None
        self._idle.move_to_end(one)
        if len(self._idle) + len(self._busy) > self._most:
            slow = (other for other in self._busy if other.receiving)
            oldest = next(iter(self._idle)) if len(self._idle) > 1 else next(slow, one)
            self.gone(oldest)
            oldest.transport.abort()

    def busy(self, one: Connection) -> None:
        """Note that a request has come."""
        self._idle.pop(one, None)
        self._busy[one] = None

    def gone(self, one: Connection) -> None:
        """Forget a connection."""
        self._idle.pop(one, None)
        self._busy.pop(one, None)


class Forgiving:
    """A transport that drops what is written once it is closing, as asyncio's own does; uvloop's raises.

    A client may leave while its answer is made, before anyone is told.

    Parameters
    ----------
    transport : asyncio.Transport
        Which does all the rest.
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Send bytes, or drop them."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(HttpToolsProtocol):
    """One connection of uvicorn's, which is closed when it takes too long.

    Parameters
    ----------
    connections : Connections
        All of them.
    **rest
        What uvicorn gives.
    """

    def __init__(self, connections: Connections, **rest: Any) -> None:
        super().__init__(**rest)
        self._all = connections
        self._head, self._in_head = 0, False
        self._timer: Any = None
        self._unread: Any = None

    @property
    def receiving(self) -> bool:
        """Whether a body is still coming."""
        return self.cycle is not None and self.cycle.more_body

    def connection_made(self, transport: Any) -> None:
        """Expect a request."""
        super().connection_made(Forgiving(transport))  # type: ignore[arg-type]
        self._all.idle(self)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget all about it."""
        self._all.gone(self)
        self._expect_no_more()
        super().connection_lost(exc)
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take bytes, of a head not too many."""
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():  # what came with it may have been a body, too
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self.send_400_response("the head of the request is too long; send fewer and shorter headers")

    def on_message_begin(self) -> None:
        """Expect the rest of the head."""
        self._head, self._in_head = 0, True
        self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._in_head = False
        self._expect_no_more()
        self._all.busy(self)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Go back to waiting; what is not taken now must be in time."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._expect()
        if not self.transport.is_closing() and not self.pipeline:
            self._all.idle(self)

    def pause_writing(self) -> None:
        """Give the client its seconds to take what stands in its way."""
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(self._all.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def timeout_keep_alive_handler(self) -> None:
        """Close, whether or not the last answer was taken."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        detail = msg if msg.startswith("the head") else "the request is no HTTP/1.1; send it by an HTTP client"
        page = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": detail}
        body = json.dumps(page).encode()
        head = (
            f"HTTP/1.1 400 Bad Request\r\ncontent-type: {PROBLEM}\r\ncontent-length: {len(body)}\r\nconnection: close"
        )
        self.transport.write(head.encode() + b"\r\n\r\n" + body)
        self.transport.close()

    def _expect(self) -> None:
        """Give the client its seconds, unless they run already."""
        if self._timer is None:
            self._timer = self.loop.call_later(self._all.seconds, self.transport.abort)

    def _expect_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
