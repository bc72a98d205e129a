"""From a module to a graph of standard operations, with a free number of rows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch._subclasses import fake_tensor
from torch.distributions import Distribution
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.symbolic_shapes import ConstraintViolationError, GuardOnDataDependentSymNode
from torch.overrides import TorchFunctionMode

from narrows.export.decompositions import DECOMPOSITIONS, OF_ROWS
from narrows.export.graphs import ROWS, Graph

TRACED_ROWS = 3  # any number that is neither 0 nor 1, which torch takes for special ones

# By which torch says that it cannot trace a function: what is done depends on numbers, or on how many there are.
UNTRACED: tuple[type[Exception], ...] = (
    TorchDynamoException,
    GuardOnDataDependentSymNode,
    ConstraintViolationError,
    fake_tensor.DataDependentOutputException,
    fake_tensor.DynamicOutputShapeException,
    fake_tensor.UnsupportedFakeTensorException,
    fake_tensor.UnsupportedOperatorException,
)

# Whether a sparse code has a threshold yet, or its units have theirs, and whether a tail is exponential.
DECIDING = ("threshold", "begun", "shape")

# What computes with a tensor and a number, by its names.
ARITHMETIC = ("add", "sub", "mul", "div", "truediv", "pow")
OTHERS = ("rsub", "true_divide", "clamp", "clamp_min", "clamp_max", "gt", "lt", "ge", "le")
WITH_NUMBERS = frozenset(
    {*ARITHMETIC, *OTHERS, *(f"__{prefix}{name}__" for prefix in ("", "r") for name in (*ARITHMETIC, *OTHERS))}
)


def program_of(graph: Graph) -> ExportedProgram:
    """Trace a graph, without the operations that ONNX has no word for."""
    sides = {
        place: Dim(side) if side == ROWS or graph.grain == 1 else graph.grain * Dim(f"{side}_grains")
        for place, side in enumerate(graph.takes.shape)
        if isinstance(side, str)
    }
    settle(graph.module)
    logging.getLogger("torch.fx.experimental.symbolic_shapes").setLevel(logging.ERROR)  # what it says is raised, too
    sample = graph.sample[:TRACED_ROWS].contiguous()
    with torch.no_grad(), unchecked(), InFull():
        program = torch.export.export(graph.module.eval(), (sample,), dynamic_shapes=(sides,), strict=False)
        return program.run_decompositions({**DECOMPOSITIONS, **(OF_ROWS if sample.dtype == torch.float64 else {})})


def settle(module: nn.Module) -> None:
    """Make plain numbers of single ones on which what is done depends, in place: a graph depends on nothing."""
    for part in module.modules():
        for name, buffer in list(part.named_buffers(recurse=False)):
            if name in DECIDING and not buffer.dim():
                delattr(part, name)
                setattr(part, name, buffer.item())


@contextmanager
def unchecked() -> Iterator[None]:
    """Let distributions take their parameters as they are: a check depends on the numbers."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


class InFull(TorchFunctionMode):
    """Numbers beside tensors in float64 as tensors of that type: torch's ONNX exporter rounds them to float32."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function, its numbers replaced where float32 would change them."""
        named = dict(kwargs or {})
        double = any(isinstance(one, Tensor) and one.dtype == torch.float64 for one in args)
        if double and getattr(func, "__name__", "") in WITH_NUMBERS:
            args = [_in_full(one) for one in args]
            named = {name: _in_full(one) for name, one in named.items()}
        return func(*args, **named)


def _in_full(number: Any) -> Any:
    changed = isinstance(number, float) and float(np.float32(number)) != number
    return torch.tensor(number, dtype=torch.float64) if changed else number
