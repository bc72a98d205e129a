"""Steps on an accelerator at one launch each: a step is captured once, as a graph of its kernels, and then replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from narrows.errors import InputError
from narrows.noise import Noise
from narrows.parts import Part
from narrows.values import Labelled, Scores, apart

WARMING = 3  # steps before the capture: what libraries make at their first call is none of a step's kernels


class Graph(Protocol):
    """What captures computations on tensors that stay where they are, and does them again."""

    def warming(self) -> AbstractContextManager[Any]:
        """Within the block computations are done as those will be that are captured."""

    def capturing(self) -> AbstractContextManager[Any]:
        """Within the block computations are noted, and not done."""

    def replay(self) -> None:
        """Do what was captured, on what now stands in the same tensors; draws go on with their streams."""


class CudaGraph:
    """A graph of kernels of CUDA.

    Parameters
    ----------
    device : torch.device
        Where they run.
    generators : sequence of torch.Generator
        Those that are drawn from, beside torch's own.
    """

    def __init__(self, device: torch.device, generators: Sequence[torch.Generator]) -> None:
        self._stream = torch.cuda.Stream(device)
        self._graph = torch.cuda.CUDAGraph()
        for generator in generators:
            self._graph.register_generator_state(generator)

    @contextmanager
    def warming(self) -> Iterator[None]:
        """On the stream of the capture, for which libraries keep memory of its own."""
        here = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            yield
        here.wait_stream(self._stream)

    def capturing(self) -> AbstractContextManager[Any]:
        """See `Graph`."""
        return torch.cuda.graph(self._graph, stream=self._stream)

    def replay(self) -> None:
        """See `Graph`."""
        self._graph.replay()


def graph_for(model: nn.Module, noise: Noise) -> Graph | None:
    """What captures the steps of a model; None on a processor, and where a part asks the host on the way."""
    device = noise.generator.device
    if device.type != "cuda" or any(isinstance(part, Part) and part.asks_host for part in model.modules()):
        return None
    return CudaGraph(device, [noise.generator])


class CapturedStep:
    """One and the same step on batch after batch: the first ones and shorter ones as they come, the others replayed.

    Batches of full size are copied to where the captured step looks for its rows. All else that changes from step to
    step must stand in tensors that stay where they are, and none of it may be asked for on the host.

    Parameters
    ----------
    size : int
        Rows of a full batch.
    graph : Graph
        What captures the step.
    """

    def __init__(self, size: int, graph: Graph) -> None:
        self._size = size
        self._graph = graph
        self._warm = 0
        self._captured: tuple[Tensor | Labelled, Scores] | None = None

    def take(self, step: Callable[[Tensor | Labelled], Scores], raw: Tensor | Labelled) -> Scores:
        """Take the step, which is the same in all calls, on a batch; return its scores."""
        if len(raw) != self._size:
            return step(raw)
        if self._warm < WARMING:
            self._warm += 1
            with self._graph.warming():
                return step(raw)
        if self._captured is None:
            self._captured = self._capture(step, raw)
        rows, scores = self._captured
        for place, new in zip(_tensors(rows), _tensors(raw), strict=True):
            place.copy_(new)
        self._graph.replay()
        return Scores(*(figures.clone() for figures in (scores.nats, scores.log_px, scores.kl)))

    def _capture(
        self, step: Callable[[Tensor | Labelled], Scores], raw: Tensor | Labelled
    ) -> tuple[Tensor | Labelled, Scores]:
        """Capture a step on a copy of a batch; return the copy, and where the scores come to stand."""
        rows = Labelled(raw.rows.clone(), raw.condition.clone()) if isinstance(raw, Labelled) else raw.clone()
        try:
            with self._graph.capturing():
                return rows, step(rows)
        except RuntimeError as error:
            raise InputError(
                f"a step of this model cannot be captured on the accelerator ({' '.join(str(error).split())[:160]}); "
                f"take --eager, which launches its kernels one by one"
            ) from error


def _tensors(raw: Tensor | Labelled) -> list[Tensor]:
    return [part for part in apart(raw) if part is not None]
