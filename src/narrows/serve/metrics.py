"""Figures about the server, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counts and times, in a registry of their own.

    Parameters
    ----------
    routes : iterable of str
        Paths that are told apart; all others are one.
    """

    def __init__(self, routes: tuple[str, ...]) -> None:
        self._registry = CollectorRegistry()
        self._routes = frozenset(routes)
        self._requests = Counter("narrows_requests", "Requests answered.", ["route", "status"], registry=self._registry)
        self._seconds = Histogram(
            "narrows_request_seconds", "From the head of a request to its answer.", ["route"],
            buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self._rows = Histogram(
            "narrows_pass_rows", "Rows that share a forward pass.", buckets=ROWS, registry=self._registry
        )
        self.open = Gauge("narrows_requests_open", "Requests being answered.", registry=self._registry)
        self._known: dict[tuple[str, int], Counter] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        route = route if route in self._routes else "other"
        counter = self._known.get((route, status))
        if counter is None:
            counter = self._known[route, status] = self._requests.labels(route, str(status))
        counter.inc()
        self._seconds.labels(route).observe(seconds)

    def passed(self, rows: int) -> None:
        """Count a forward pass."""
        self._rows.observe(rows)

    def page(self) -> bytes:
        """Return all of it as text."""
        return generate_latest(self._registry)

    media = CONTENT_TYPE_LATEST
