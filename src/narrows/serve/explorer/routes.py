"""What the page asks the server for: what there is to see, small images, one row, the rows nearest to a code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from narrows.apps.decode import code_schema
from narrows.errors import InputError, at_most
from narrows.inference import check_code
from narrows.persist import not_a
from narrows.serve.answers import JSON, PNG, told
from narrows.serve.described import operation_of
from narrows.serve.explorer.scene import rounded, scene
from narrows.serve.explorer.shell import static
from narrows.serve.explorer.shown import Shown
from narrows.serve.guard import answer_to
from narrows.serve.limits import Limits
from narrows.serve.problems import Refused, problem
from narrows.serve.reading import Reader
from narrows.serve.verbs import Loaded, examples
from narrows.serve.worker import Worker

NEIGHBOURS = 8
ROUTES = ("/explorer", "/explorer/thumbnails", "/explorer/row", "/explorer/neighbours")
WITHOUT = "no rows are shown; start the server with --data"
Handler = Callable[[Request], Awaitable[Response]]


class Explorer:
    """What the page shows, in memory.

    Parameters
    ----------
    loaded : Loaded
        The model or detector.
    shown : Shown, optional
        The examples that are on the page.
    why : str, optional
        Why there are none.
    """

    def __init__(self, loaded: Loaded, shown: Shown | None = None, why: str | None = None) -> None:
        self.loaded = loaded
        self.shown = shown
        self._scene = scene(loaded, shown, why or (None if shown else WITHOUT))

    def told(self, described: dict[str, Any]) -> bytes:
        """Everything, and what the server says of the model, as JSON."""
        return told({"model": described, **self._scene})

    def rows(self) -> Shown:
        """The examples; raises `InputError` where there are none."""
        if self.shown is None:
            raise InputError(WITHOUT)
        return self.shown

    def thumbnails(self) -> bytes:
        """A sheet of small images; raises `InputError` where there are none."""
        small = self.rows().small
        if small is None:
            raise InputError("the rows are those of a table, and have no small images; leave them out")
        return small[0]

    def row(self, text: str | None) -> dict[str, Any]:
        """One of the examples, by its place among those shown; raises `InputError` if there is none."""
        shown = self.rows()
        if text is None or not text.isascii() or not text.isdigit() or int(text[:9]) >= len(shown):
            given = "nothing" if text is None else repr(text[:40])
            raise InputError(f"place was given as {given}; it takes a whole number from 0 to {len(shown) - 1}")
        place = int(text)
        return {
            "place": place,
            "number": int(shown.numbers[place]),
            "words": shown.words[place],
            "value": examples(self.loaded, shown.values[place : place + 1]).plain()[0],
            "code": None if shown.codes is None else rounded(shown.codes[place].numpy()),
        }

    def nearest(self, body: bytes, limits: Limits) -> list[dict[str, Any]]:
        """The examples nearest to a code in JSON; raises `InputError` or `Refused` if it is none."""
        if self.loaded.what != "model":
            raise not_a("model", self.loaded.name)
        check_code(self.loaded.fitted.model, "decode")
        shown = self.rows()
        schema = code_schema(self.loaded.fitted.model)
        given = Reader(schema, False, limits)(JSON, body)
        at_most("the number of codes", given.count, 1)
        if not given.count:
            raise InputError("the body holds no code; give one")
        return shown.nearest(given.read(schema)[0], NEIGHBOURS)


def add_explorer(app: FastAPI, explorer: Explorer, described: dict[str, Any], limits: Limits, worker: Worker) -> None:
    """Give an application the routes of the page."""
    page = explorer.told(described)

    async def all_of_it(_: Request) -> Response:
        return Response(page, media_type=JSON)

    async def thumbnails(_: Request) -> Response:
        made = await worker.run(explorer.thumbnails, worker.deadline())
        return Response(made, media_type=PNG)

    async def row(request: Request) -> Response:
        text = request.query_params.get("place")
        found = await worker.run(lambda: explorer.row(text), worker.deadline())
        return Response(told(found), media_type=JSON)

    async def neighbours(request: Request) -> Response:
        body = await request.scope["narrows.body"].whole()
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            raise Refused(415, f"a code is sent as {JSON}")
        found = await worker.run(lambda: explorer.nearest(body, limits), worker.deadline())
        return Response(told(found), media_type=JSON)

    place = {"name": "place", "in": "query", "required": True, "schema": {"type": "integer", "minimum": 0}}
    code = {"required": True, "content": {JSON: {"schema": {"type": "array", "items": {"type": "number"}}}}}
    rows: tuple[tuple[str, Handler, str, str, dict[str, Any]], ...] = (
        ("/explorer", all_of_it, "GET", "Say what the explorer shows.", {}),
        ("/explorer/thumbnails", thumbnails, "GET", "Give the rows shown as small images.", {}),
        ("/explorer/row", row, "GET", "Give one of the rows shown, and its code.", {"parameters": [place]}),
        ("/explorer/neighbours", neighbours, "POST", "Find rows shown near a code.", {"requestBody": code}),
    )
    for path, handler, method, summary, more in rows:
        media = PNG if handler is thumbnails else JSON
        app.add_api_route(
            path,
            answered(handler),
            methods=[method],
            summary=summary,
            operation_id=path.strip("/").replace("/", "_"),
            response_class=Response,
            openapi_extra=operation_of(media) | more,
        )

    @app.get("/static/{name}", include_in_schema=False)
    async def file(name: str) -> Response:
        return static(f"/static/{name}") or problem(404, "there is no such file; GET / lists the routes")


def answered(handler: Handler) -> Handler:
    """Let whatever goes wrong be an answer, too."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:  # each is told to the client, and a fault of ours goes to the log as well
            return answer_to(error)

    return answer
