"""The files of the page, which are the same for every model: fixed names, read once, nothing of the machine in them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from starlette.responses import Response

MEDIA: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGE = "index.html"
STATIC = (
    "between.js",
    "draws.js",
    "elements.js",
    "examples.js",
    "explorer.css",
    "explorer.js",
    "form.js",
    "icon.svg",
    "live.js",
    "map.js",
    "near.js",
    "own.js",
    "pictures.js",
    "place.js",
    "plane.js",
    "scores.js",
    "seen.js",
    "server.js",
    "units.js",
)
SAFE: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}
NEEDS_TOKEN = 'data-token="no"', 'data-token="yes"'


@cache
def shell() -> Mapping[str, tuple[str, bytes]]:
    """Media type and content of each file, by its path."""
    folder = files("narrows.serve.explorer") / "static"
    return MappingProxyType(
        {f"/static/{name}": (MEDIA[name[name.index(".") :]], (folder / name).read_bytes()) for name in STATIC}
    )


def static(path: str) -> Response | None:
    """Answer with a file; None if the path is that of none."""
    found = shell().get(path)
    return None if found is None else Response(found[1], headers=dict(SAFE), media_type=found[0])


def page(token: bool) -> Response:
    """Answer with the page, which asks for a token if one is wanted."""
    text = (files("narrows.serve.explorer") / "static" / PAGE).read_text(encoding="utf-8")
    return Response(
        text.replace(*NEEDS_TOKEN) if token else text, headers=dict(SAFE), media_type="text/html; charset=utf-8"
    )


def is_page(path: str, accept: str) -> bool:
    """Whether a request is for the page, as a browser's is; others get the list of routes there."""
    return path == "/" and "text/html" in accept.lower()


def is_shell(method: str, path: str, accept: str) -> bool:
    """Whether a request is for what holds no secret: the page, or a file of it."""
    return method == "GET" and (is_page(path, accept) or path in shell())
