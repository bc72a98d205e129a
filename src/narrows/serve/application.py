"""The FastAPI application: a route a verb, what the model is, health, readiness and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

import narrows
from narrows.apps.signatures import summary_of
from narrows.errors import InputError
from narrows.serve.described import operation, refusals
from narrows.serve.explorer.routes import ROUTES, Explorer, add_explorer
from narrows.serve.explorer.shell import is_page, page
from narrows.serve.guard import Guard
from narrows.serve.limits import Limits
from narrows.serve.metrics import Metrics
from narrows.serve.problems import problem
from narrows.serve.service import Service
from narrows.serve.verbs import BLOCK, VERBS, Loaded
from narrows.serve.worker import Batching, Worker

WAIT = 0.002
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
TITLES = {404: "there is no such route; GET / lists them", 405: "the route takes another method; see /openapi.json"}


def application(
    loaded: Loaded,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    batching: bool = True,
    hosts: frozenset[str] | None = None,
    explorer: Explorer | None = None,
) -> Guard:
    """Return the ASGI application of a loaded model.

    Parameters
    ----------
    loaded : Loaded
        The model or detector.
    limits : Limits, optional
        On what clients ask.
    token : str, optional
        What they must bring.
    batching : bool
        Whether small requests share a forward pass.
    hosts : frozenset of str, optional
        Names that the server may be called by; any, unless given.
    explorer : Explorer, optional
        What the page shows; of the model alone, unless given.
    """
    limits = limits or Limits()
    limits.check()
    paths = tuple(f"/{name}" for name in VERBS)
    metrics = Metrics((*paths, *ROUTES, "/", "/model", "/health", "/ready", "/metrics", "/openapi.json"))
    together = Batching(BLOCK, WAIT) if batching else Batching(1, 0.0)
    worker = Worker(loaded.module, together, limits.max_seconds, metrics.passed)

    services = {f"/{name}": Service(verb, loaded, limits, worker) for name, verb in VERBS.items()}

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for service in services.values():
            service.warm()
        yield
        worker.close()

    app = FastAPI(
        title=f"narrows: {loaded.name}",
        version=narrows.__version__,
        docs_url=None,  # these pages would fetch scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )

    @app.exception_handler(HTTPException)
    async def missing(_: Request, error: HTTPException) -> Response:
        return problem(error.status_code, TITLES.get(error.status_code, str(error.detail)), error.headers or {})

    for verb in VERBS.values():
        app.add_api_route(
            f"/{verb.name}",
            services[f"/{verb.name}"].answer,
            methods=["POST"],
            summary=summary_of(verb.application),
            operation_id=verb.name,
            response_class=Response,
            openapi_extra=operation(verb, verb.schema(loaded), limits),
        )
    said = described(loaded, limits)
    _add_pages(app, said, token is not None, worker, metrics)
    add_explorer(app, explorer or Explorer(loaded), said, limits, worker)
    direct = {path: service.answer for path, service in services.items()}
    return Guard(app, limits, token, hosts, metrics, direct)


def _add_pages(app: FastAPI, said: dict[str, Any], token: bool, worker: Worker, metrics: Metrics) -> None:
    @app.get("/", summary="List the routes; to a browser, be the explorer.", responses=refusals())
    async def index(request: Request) -> Response:
        if is_page("/", request.headers.get("accept", "")):
            return page(token)
        routes = {
            verb.name: {"route": f"POST /{verb.name}", "summary": summary_of(verb.application)}
            for verb in VERBS.values()
        }
        more = ["/model", "/openapi.json", "/health", "/ready", "/metrics", *ROUTES]
        return JSONResponse({"verbs": routes, "pages": more}, headers={"Vary": "Accept"})

    @app.get("/model", summary="Say what the model is, and which verbs it can do.", responses=refusals())
    async def model() -> JSONResponse:
        return JSONResponse(said)

    @app.get("/health", summary="Say that the server is alive.", responses=refusals())
    async def health() -> JSONResponse:
        return JSONResponse({"status": "alive"})

    @app.get("/ready", summary="Say whether the server takes work.", responses=refusals())
    async def ready() -> Response:
        if worker.full:
            return problem(503, "the server has too much to do; send it again later", {"Retry-After": "1"})
        return JSONResponse({"status": "ready"})

    @app.get(
        "/metrics", summary="Give figures as Prometheus reads them.", response_class=Response, responses=refusals()
    )
    async def figures() -> Response:
        return Response(metrics.page(), media_type=metrics.media)


def described(loaded: Loaded, limits: Limits) -> dict[str, Any]:
    """Return what a client may know of a model: nothing of the machine that it was trained on."""
    schema = loaded.schema
    page: dict[str, Any] = {
        "file": loaded.name,
        "what": loaded.what,
        "preset": loaded.fitted.preset,
        "data": schema.describe(),
        "shape": list(schema.user_shape),
        "columns": _columns(loaded),
        "verbs": {name: refusal(name, loaded) for name in VERBS},
        "limits": vars(limits),
        "version": narrows.__version__,
    }
    if loaded.what == "model":
        page["code_size"] = loaded.fitted.model.latent.size
    else:
        page["calibration_rows"] = len(loaded.fitted.detector.calibration)
    return page


def refusal(name: str, loaded: Loaded) -> str | None:
    """Return why a model cannot do a verb; None if it can."""
    verb = VERBS[name]
    try:
        verb.check(loaded, verb.read_options([]))
    except InputError as error:
        return str(error)
    return None


def _columns(loaded: Loaded) -> list[dict[str, Any]] | None:
    schema = loaded.schema
    if schema.is_image:
        return None
    if schema.columns is None:
        names = schema.names or tuple(f"c{place}" for place in range(schema.size))
        return [{"name": name, "kind": "numeric"} for name in names]
    return [
        {
            "name": column.name,
            "kind": column.kind,
            **({"categories": list(column.categories)} if column.categories else {}),
        }
        for column in schema.columns
    ]
