"""Errors as clients get them: one sentence in a problem document (RFC 9457), and nothing of the machine."""

from __future__ import annotations

import http
import json
from collections.abc import Mapping
from types import MappingProxyType

from starlette.responses import Response

from narrows.errors import InputError, lack_of_memory

PROBLEM = "application/problem+json"
NONE: Mapping[str, str] = MappingProxyType({})


class Refused(Exception):
    """A request that is not answered as it asks.

    Parameters
    ----------
    status : int
        Of HTTP.
    detail : str
        One sentence: what was given, what is allowed, what to do.
    headers : mapping of str to str
        Further ones.
    """

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] = NONE) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


class OutOfTime(Exception):
    """Work that was stopped because its time was up."""


def problem(status: int, detail: str, headers: Mapping[str, str] = NONE) -> Response:
    """Return a problem document as an answer."""
    page = {"type": "about:blank", "title": http.HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(json.dumps(page), status, dict(headers), PROBLEM)


def problem_of(error: BaseException) -> Response | None:
    """Return the answer to an error that is the client's, or of too little time or memory; None for a fault of ours."""
    if isinstance(error, Refused):
        return problem(error.status, str(error), error.headers)
    if isinstance(error, InputError):
        return problem(422, str(error))
    if isinstance(error, OutOfTime):
        return problem(503, "the answer was not computed in time; send less at once, or later", {"Retry-After": "1"})
    if (said := lack_of_memory(error)) is not None:
        return problem(413, said)
    return None
