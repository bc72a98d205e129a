"""What every request goes through before any route: token, host, sizes, times, and no word of the machine."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from narrows.serve.explorer.shell import is_shell
from narrows.serve.limits import BODIES_HELD, SMALL_BODY, Limits
from narrows.serve.metrics import Metrics
from narrows.serve.problems import Refused, problem, problem_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

OPEN = ("/health", "/ready")
CLOSE = {"Connection": "close"}
LOG = logging.getLogger("narrows.serve")


@dataclass
class Held:
    """Bytes of bodies that all requests together hold."""

    bytes: int = 0


class Body:
    """The body of one request as it comes, within its limits.

    Parameters
    ----------
    receive : callable
        Of ASGI.
    limits : Limits
        On size and time.
    held : Held
        What all bodies together hold.
    """

    def __init__(self, receive: Receive, limits: Limits, held: Held) -> None:
        self._receive = receive
        self._limits = limits
        self._held = held
        self._own = 0

    async def whole(self) -> bytes:
        """Return all of it.

        Raises
        ------
        Refused
            If it is too large, or does not come in time, or the client has gone.
        """
        until = time.monotonic() + self._limits.max_seconds
        parts: list[bytes] = []
        more = True
        while more:
            message = await self.part(until)
            parts.append(message.get("body", b""))
            self._take(len(parts[-1]))
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def part(self, until: float | None = None) -> Message:
        """Return the next part, within the time for one unless told until when."""
        seconds = self._limits.max_seconds if until is None else until - time.monotonic()
        try:
            async with asyncio.timeout(max(seconds, 0)):
                message = await self._receive()
        except TimeoutError:
            raise Refused(
                408, f"the request did not come within {self._limits.max_seconds:g} seconds; send it faster", CLOSE
            ) from None
        if message["type"] == "http.disconnect":
            raise Refused(400, "the client has gone", CLOSE)
        return message

    def _take(self, size: int) -> None:
        """Hold more bytes."""
        self._own += size
        self._held.bytes += size
        if self._own > self._limits.max_body:
            raise too_large(self._limits)
        if self._own > SMALL_BODY and self._held.bytes > BODIES_HELD * self._limits.max_body:
            raise Refused(
                503, "the server holds too many large requests; send it again later", {"Retry-After": "1", **CLOSE}
            )

    def release(self) -> None:
        """Hold nothing."""
        self._held.bytes -= self._own
        self._own = 0


def too_large(limits: Limits) -> Refused:
    """Make the refusal of a body that is too large."""
    return Refused(
        413, f"the body has more than {limits.max_body} bytes, the most that are taken; send less at once", CLOSE
    )


class Guard:
    """An ASGI application around another.

    Parameters
    ----------
    app : callable
        The other one. It finds the request's `Body` in ``scope["narrows.body"]``.
    limits : Limits
        On size and time.
    token : str or None
        What clients must bring, if anything.
    hosts : frozenset of str or None
        Names that the server may be called by; any if None.
    metrics : Metrics
        Where requests are counted.
    direct : mapping of str to callable
        Answers to POST by path, which spare the way through the application that describes them.
    """

    def __init__(
        self,
        app: App,
        limits: Limits,
        token: str | None,
        hosts: frozenset[str] | None,
        metrics: Metrics,
        direct: Mapping[str, Callable[[Request], Awaitable[Response]]],
    ) -> None:
        self._app = app
        self._direct = direct
        self._limits = limits
        self._token = None if token is None else f"bearer {token}".encode()
        self._hosts = hosts
        self._metrics = metrics
        self._held = Held()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500
        body = scope["narrows.body"] = Body(receive, self._limits, self._held)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.open.inc()
        try:
            self._check(scope)
            answer = self._direct.get(scope["path"]) if scope["method"] == "POST" else None
            if answer is None:
                await self._app(scope, receive, sending)
            else:
                await (await answer(Request(scope, receive)))(scope, receive, sending)
        except Exception as error:
            if status != 500:  # the answer has begun, and can only be broken off
                raise
            await answer_to(error)(scope, receive, sending)
        finally:
            body.release()
            self._metrics.open.dec()
            self._metrics.answered(scope["path"], status, time.perf_counter() - began)

    def _check(self, scope: Any) -> None:
        """Refuse what can be told by the head alone."""
        head = dict(scope["headers"])
        if self._hosts is not None and _name(head.get(b"host", b"")) not in self._hosts:
            raise Refused(421, "the host named in the request is not this server; call it by localhost", CLOSE)
        if self._token is not None and not _is_open(scope, head):
            kind, _, given = head.get(b"authorization", b"").partition(b" ")
            if not hmac.compare_digest(kind.lower() + b" " + given.strip(), self._token):
                raise Refused(
                    401,
                    "the token is missing or wrong; send Authorization: Bearer TOKEN",
                    {"WWW-Authenticate": "Bearer"},
                )
        if b"content-encoding" in head:
            raise Refused(415, "the body is packed (Content-Encoding); send it as it is", CLOSE)
        length = head.get(b"content-length", b"0")
        streams = head.get(b"content-type", b"").startswith(b"application/x-ndjson")
        if not streams and (not length.isdigit() or int(length) > self._limits.max_body):
            raise too_large(self._limits)


def answer_to(error: Exception) -> Response:
    """Return the answer to an error; a fault of ours goes to the log, and the client learns that it is one."""
    found = problem_of(error)
    if found is not None:
        return found
    LOG.error("a request failed", exc_info=error)
    return problem(500, "the server failed at this request; its log says why")


def _is_open(scope: Any, head: Mapping[bytes, bytes]) -> bool:
    """Whether a request needs no token: whether the server lives, and the files of the page, which tell nothing."""
    accept = head.get(b"accept", b"").decode("latin-1")
    return scope["path"] in OPEN or is_shell(scope["method"], scope["path"], accept)


def _name(host: bytes) -> str:
    """The name in a Host header, without the port."""
    text = host.decode("latin-1").lower()
    return text.rpartition("]")[0] + "]" if text.startswith("[") else text.partition(":")[0]
