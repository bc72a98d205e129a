"""The formats that graphs are written in, and what runs the files."""

from __future__ import annotations

import importlib.util
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from narrows.errors import InputError
from narrows.export.graphs import Graph
from narrows.export.tracing import UNTRACED, program_of

ROWS_AT_ONCE = 250


class Format(ABC):
    """A format of graphs.

    Attributes
    ----------
    suffix : str
        Of its files.
    example : str
        The file of this package that shows how they are run, if there is one.
    remedy : str
        What to do where a graph that torch can trace cannot be written.
    """

    suffix: ClassVar[str]
    example: ClassVar[str] = ""
    remedy: ClassVar[str] = ""

    @abstractmethod
    def check(self) -> None:
        """Raise `InputError` where what writes the format is not installed."""

    @abstractmethod
    def versions(self) -> dict[str, Any]:
        """Return what else than torch wrote and ran it."""

    def failures(self) -> tuple[type[Exception], ...]:
        """Return the exceptions by which what writes and runs the format says that it cannot."""
        return UNTRACED

    @abstractmethod
    def write(self, graph: Graph, path: Path) -> None:
        """Write a graph as a file that needs no other."""

    @abstractmethod
    def run(self, path: Path, graph: Graph) -> Tensor:
        """Return what the file gives for the sample of a graph."""


class Onnx(Format):
    """Open Neural Network Exchange, by torch's exporter; run by onnxruntime."""

    suffix = ".onnx"
    example = "example.py"
    remedy = "take --format torch"
    opset = 20
    needs = ("onnx", "onnxscript", "onnxruntime")

    def check(self) -> None:
        """Look for the exporter's own needs, and for what runs the graphs."""
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if missing:
            raise InputError(
                f"ONNX graphs need {', '.join(missing)}, which is not installed; pip install 'narrows[export]', or "
                f"take --format torch"
            )

    def versions(self) -> dict[str, Any]:
        """Return the set of operations, and the versions of the libraries."""
        return {"opset": self.opset, **{name: version(name) for name in self.needs}}

    def failures(self) -> tuple[type[Exception], ...]:
        """Add those of torch's exporter and of onnxruntime, for an operation that one of them does not have."""
        from onnxruntime.capi import onnxruntime_pybind11_state as runtime

        return (
            *UNTRACED,
            torch.onnx.errors.OnnxExporterError,
            runtime.Fail,
            runtime.InvalidGraph,
            runtime.NotImplemented,
        )

    def write(self, graph: Graph, path: Path) -> None:
        """Write one file, weights and all."""
        _quiet("torch.onnx")
        made = torch.onnx.export(
            program_of(graph),
            input_names=[graph.takes.name],
            output_names=[graph.gives.name],
            opset_version=self.opset,
            dynamo=True,
            verbose=False,
        )
        assert made is not None
        made.save(path)

    def run(self, path: Path, graph: Graph) -> Tensor:
        """Run it on the processor."""
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        parts = [session.run(None, {graph.takes.name: rows.numpy()})[0] for rows in graph.sample.split(ROWS_AT_ONCE)]
        return torch.from_numpy(np.concatenate(parts))


class Torch(Format):
    """``torch.export``: a zip file of a graph in JSON and of weights as they lie in memory, without a pickle."""

    suffix = ".pt2"

    def check(self) -> None:
        """Ask nothing: torch is there."""

    def versions(self) -> dict[str, Any]:
        """Return nothing: torch does both."""
        return {}

    def write(self, graph: Graph, path: Path) -> None:
        """Write one file."""
        program = program_of(graph)
        program.example_inputs = None  # they would be pickled; the rest is JSON and numbers
        torch.export.save(program, path)

    def run(self, path: Path, graph: Graph) -> Tensor:
        """Read it back, and run it."""
        _quiet("torch._export")
        module = torch.export.load(path).module()
        with torch.inference_mode():
            return torch.cat([module(rows) for rows in graph.sample.split(ROWS_AT_ONCE)])


def _quiet(name: str) -> None:
    """Let a library keep to itself what it would warn of: no graph here needs it."""
    logging.getLogger(name).setLevel(logging.ERROR)


FORMATS: Mapping[str, Format] = {"onnx": Onnx(), "torch": Torch()}
