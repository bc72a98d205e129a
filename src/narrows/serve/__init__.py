"""A trained model over HTTP: routes read from the applications, request batching, limits, metrics."""

from narrows.serve.limits import Limits

__all__ = ["Limits"]
