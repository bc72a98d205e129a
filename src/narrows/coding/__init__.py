"""Entropy coding: whole numbers and their frequencies to bytes and back, the same bytes on every machine."""

from narrows.coding.ans import Ans, Exhausted
from narrows.coding.frequencies import Tables, quantised

__all__ = ["Ans", "Exhausted", "Tables", "quantised"]
