"""What takes examples back, block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import numpy as np

from narrows.atomic import writing
from narrows.data.frames import Form
from narrows.data.schema import Schema


class Sink(ABC):
    """Takes blocks of examples, as `narrows.data.frames` gives them, and writes them in another form.

    Parameters
    ----------
    path : Path
        The file or folder to write, which is there and empty.
    form : Form
        In what form the examples came.
    schema : Schema
        Their grid.
    files : ExitStack
        Closes what was opened, however it ends.

    Attributes
    ----------
    notes : list of str
        What the output does not give back as it was, one sentence each; complete at the end.
    """

    def __init__(self, path: Path, form: Form, schema: Schema, files: ExitStack) -> None:
        self.path = path
        self.form = form
        self.schema = schema
        self.files = files
        self.notes: list[str] = []

    @staticmethod
    def place(path: Path) -> AbstractContextManager[Path]:
        """Make room for the output beside ``path``, whose name it takes at the end."""
        return writing(path)

    @abstractmethod
    def add(self, values: np.ndarray, names: tuple[str, ...] | None = None, rest: bytes = b"") -> None:
        """Write further examples: what a `Block` holds."""

    @abstractmethod
    def finish(self) -> None:
        """Write what stands at the end."""
