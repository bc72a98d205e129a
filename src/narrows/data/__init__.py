"""Data: what they are (`Schema`), where they come from (`read`), and how they stand in memory (`Dataset`)."""

from narrows.data.dataset import Dataset
from narrows.data.readers import read
from narrows.data.schema import Schema, infer_schema

__all__ = ["Dataset", "Schema", "infer_schema", "read"]
