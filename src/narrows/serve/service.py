"""Requests -> answers: what is asked, in which format, computed at once or in turns."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from narrows.data.schema import Schema
from narrows.errors import InputError
from narrows.serve.answers import ARROW, JSON, LINES, PNG, Answer, joined, told
from narrows.serve.guard import Body, answer_to
from narrows.serve.limits import LARGEST_LINE, SMALL_BODY, Limits
from narrows.serve.problems import OutOfTime, Refused
from narrows.serve.reading import Given, Reader, parsed
from narrows.serve.verbs import BLOCK, Loaded, Verb, check_size
from narrows.serve.worker import Worker

MEDIA = (JSON, LINES, ARROW, PNG)
LINES_AT_ONCE = 256
ROWS_IN_TURN = 1024  # others have their turn between so many
PIXELS_IN_TURN = 2**18
SHARED = ("rows", "codes")  # of requests that may share a pass
LOWEST = -1.0  # number of a row to warm up with, where there is no lowest
KEPT = 256  # queries whose meaning is remembered


@dataclass(frozen=True)
class Asked:
    """A verb with its options, which is equal to another that asks for the same.

    Parameters
    ----------
    verb : Verb
        The verb.
    loaded : Loaded
        The model.
    options : tuple of pairs
        Names and values.
    """

    verb: Verb
    loaded: Loaded
    options: tuple[tuple[str, Any], ...]

    @property
    def schema(self) -> Schema:
        """Of the rows."""
        return self.verb.schema(self.loaded)

    @property
    def shared(self) -> bool:
        """Whether what is answered for a row hangs on that row alone."""
        return self.verb.shared(dict(self.options))

    def compute(self, values: np.ndarray | None) -> Answer:
        """Make an answer of values."""
        return self.verb.compute(self.loaded, values, **dict(self.options))

    def __hash__(self) -> int:
        """By what is asked."""
        return hash((self.verb.name, self.options))


class Service:
    """One verb of a loaded model.

    Parameters
    ----------
    verb : Verb
        The verb.
    loaded : Loaded
        The model.
    limits : Limits
        On what is asked.
    worker : Worker
        Who computes.
    """

    def __init__(self, verb: Verb, loaded: Loaded, limits: Limits, worker: Worker) -> None:
        self._verb = verb
        self._loaded = loaded
        self._limits = limits
        self._worker = worker
        self._read = Reader(verb.schema(loaded), verb.takes == "pictures", limits)
        self._asked = functools.lru_cache(KEPT)(self._understood)
        self._media_of = functools.lru_cache(KEPT)(media_of)

    async def answer(self, request: Request) -> Response:
        """Answer a request; whatever goes wrong is an answer, too."""
        try:
            return await self._answer(request)
        except Exception as error:  # each is told to the client, and a fault of ours goes to the log as well
            return answer_to(error)

    def warm(self) -> None:
        """Do it once, so that the first client does not wait for what is made at the first time."""
        schema = self._verb.schema(self._loaded)
        with contextlib.suppress(InputError):  # a model that cannot do it
            asked = self._understood(b"")
            row = np.full((1, *schema.shape), max(schema.low, LOWEST), np.uint8 if schema.is_image else np.float32)
            made = asked.compute(schema.to_user(row) if self._verb.takes == "pictures" else row)
            for media in (JSON, ARROW):
                made.written(media, True)

    async def _answer(self, request: Request) -> Response:
        body: Body = request.scope["narrows.body"]
        asked = self._asked(request.scope["query_string"])
        if self._verb.takes == "nothing":
            await body.whole()
            out = self._media_of(request.headers.get("accept"), JSON)
            made = await self._worker.run(lambda: asked.compute(None).written(out, False), self._worker.deadline())
            return Response(made, media_type=out)
        given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if given not in MEDIA:
            raise Refused(415, f"the body is of the type {given[:100] or '(none)'}; send {', '.join(MEDIA)}")
        out = self._media_of(request.headers.get("accept"), given)
        if given == LINES:
            return self._stream(asked, body, out)
        content = await body.whole()
        brought = await self._brought(given, content)
        if not brought.count:
            raise InputError("the data hold no rows; give at least one")
        if self._verb.takes == "codes":
            check_size(self._loaded, "the number of codes", brought.count, self._limits)
        return Response(await self._written(request, asked, brought, out), media_type=out)

    def _understood(self, query: bytes) -> Asked:
        options = self._verb.read_options(QueryParams(query).multi_items())
        self._verb.check(self._loaded, options)
        check_size(self._loaded, "n", options.get("n", 0), self._limits)
        return Asked(self._verb, self._loaded, tuple(options.items()))

    async def _brought(self, media: str, content: bytes) -> Given:
        """Read a body: a small one of JSON here, where it takes less time than to pass it on."""
        if media == JSON and len(content) <= SMALL_BODY:
            return self._read(media, content)
        return await self._worker.run(lambda: self._read(media, content), self._worker.deadline())

    async def _written(self, request: Request, asked: Asked, given: Given, out: str) -> bytes:
        if asked.shared and given.count <= BLOCK and self._verb.takes in SHARED:
            return (await self._worker.share(asked, given)).written(out, given.single)
        until = self._worker.deadline()
        values = await self._worker.run(lambda: given.read(asked.schema), until)
        parts: list[Answer] = []
        for some in self._turns(asked, values):
            if await request.is_disconnected():
                raise Refused(400, "the client has gone")
            parts.append(await self._worker.run(functools.partial(asked.compute, some), until))
        return await self._worker.run(lambda: joined(parts).written(out, given.single), until)

    def _turns(self, asked: Asked, values: np.ndarray) -> Sequence[np.ndarray]:
        """Parts of a large request, between which others have their turn."""
        if not asked.shared:
            return [values]
        pixels = values[0].size if self._verb.takes == "pictures" else 1
        at_once = max(1, min(ROWS_IN_TURN, PIXELS_IN_TURN // pixels))
        return [values[start : start + at_once] for start in range(0, len(values), at_once)]

    # --- streams -----------------------------------------------------------------------------------------------------

    def _stream(self, asked: Asked, body: Body, out: str) -> Response:
        if out != LINES:
            raise Refused(406, f"a stream of lines is answered by lines; accept {LINES}")
        if not asked.shared:
            raise InputError("discoveries was given for a stream, and takes all rows at once; leave it out")
        return Streamed(self._lines(asked, body))

    async def _lines(self, asked: Asked, body: Body) -> AsyncIterator[bytes]:
        """Answer lines as they come, each by one."""
        rest, row, more = b"", 0, True
        while more:
            try:
                message = await body.part()
            except Refused as error:  # the answer has begun: its last line says why it ends
                yield told({"row": row, "error": str(error)}) + b"\n"
                return
            more = message.get("more_body", False)
            *lines, rest = (rest + message.get("body", b"")).split(b"\n")
            if len(rest) > LARGEST_LINE or not more:
                lines, rest = [*lines, rest], b""
            texts = [line for line in lines if line.strip()]
            for start in range(0, len(texts), LINES_AT_ONCE):
                some = texts[start : start + LINES_AT_ONCE]
                answers = await asyncio.gather(*(self._line(asked, text) for text in some))
                yield b"".join(told({"row": row + place, **one}) + b"\n" for place, one in enumerate(answers))
                row += len(some)
            if texts and len(texts[-1]) > LARGEST_LINE:
                return

    async def _line(self, asked: Asked, text: bytes) -> Mapping[str, Any]:
        """Answer one line, or say what is wrong with it."""
        try:
            if len(text) > LARGEST_LINE:
                raise InputError("the line is longer than 1 MiB; the stream ends here")
            given = self._read.of_json(parsed(text))
            if not given.single:
                raise InputError("the line holds several rows; send one a line")
            if self._verb.takes in SHARED:
                answer = await self._worker.share(asked, given)
            else:
                answer = await self._worker.run(lambda: asked.compute(given.values), self._worker.deadline())
        except (InputError, Refused, OutOfTime) as error:
            return {"error": json.loads(bytes(answer_to(error).body))["detail"]}
        plain = answer.plain()[0]
        return plain if isinstance(plain, dict) else {"example": plain}


class Streamed(Response):
    """Lines that are sent as they are made. Unlike Starlette's own it leaves the request's body to who makes them."""

    def __init__(self, lines: AsyncIterator[bytes]) -> None:
        self._made = lines
        self.status_code = 200
        self.background = None
        self.raw_headers = [(b"content-type", LINES.encode())]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send them."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for line in self._made:
            await send({"type": "http.response.body", "body": line, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def media_of(accept: str | None, given: str) -> str:
    """Return the format of an answer: the first that is accepted, of equal ones that in which was asked.

    Raises
    ------
    Refused
        If none is.
    """
    ranked = []
    for place, one in enumerate((accept or "*/*").split(",")):
        media, *parameters = (part.strip().lower() for part in one.split(";"))
        weight = next((_weight(part[2:]) for part in parameters if part.startswith("q=")), 1.0)
        ranked.append((-weight, place, media))
    for weight, _, media in sorted(ranked):
        if weight == 0:
            continue
        main = media.removesuffix("*") if media.endswith("/*") else None
        for offered in (given, *MEDIA):
            if media in (offered, "*/*") or (main and offered.startswith(main)):
                return offered
    raise Refused(406, f"none of the types accepted can be given; accept {', '.join(MEDIA)}")


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
