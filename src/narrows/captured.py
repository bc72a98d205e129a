"""Steps that are captured once and replayed: on an accelerator as one graph of kernels, on a processor as a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from narrows.errors import InputError
from narrows.noise import Noise
from narrows.noting import Asked, Noting, Program
from narrows.parts import Part
from narrows.tensors import copied
from narrows.values import Labelled, Scores, apart

WARMING = 3  # steps before the capture: what libraries make at their first call is no part of a step

Rows = Tensor | Labelled
Step = Callable[[Rows], Scores]


class Graph(Protocol):
    """What captures a step and does it again.

    What changes from step to step must stand in tensors that stay where they are, but for the rows.
    """

    def warming(self) -> AbstractContextManager[Any]:
        """Within the block a step is done as those will be that are captured."""

    def capture(self, step: Step, rows: Rows) -> Scores | None:
        """Do a step, and capture it; None, with nothing done, where steps hang on what tensors hold."""

    def replay(self, rows: Rows) -> Scores:
        """Do on other rows, as many, what was captured; draws go on with their streams."""


class CudaGraph:
    """A graph of kernels of CUDA.

    Parameters
    ----------
    device : torch.device
        Where they run.
    noise : Noise
        What is drawn from.
    """

    def __init__(self, device: torch.device, noise: Noise) -> None:
        self._stream = torch.cuda.Stream(device)
        self._graph = torch.cuda.CUDAGraph()
        for generator in noise.generators:
            self._graph.register_generator_state(generator)

    @contextmanager
    def warming(self) -> Iterator[None]:
        """On the stream of the capture, for which libraries keep memory of its own."""
        here = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            yield
        here.wait_stream(self._stream)

    def capture(self, step: Step, rows: Rows) -> Scores:
        """See `Graph`; what cannot be captured is an error, since parts that ask the host say so.

        Raises
        ------
        InputError
            If CUDA refuses the capture.
        """
        self._rows = Labelled(rows.rows.clone(), rows.condition.clone()) if isinstance(rows, Labelled) else rows.clone()
        try:
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._scores = step(self._rows)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            first: BaseException = error  # what the end of a capture says of it hides why it ended
            while first.__context__ is not None:
                first = first.__context__
            raise InputError(
                f"a step of this model cannot be captured on the accelerator ({' '.join(str(first).split())[:160]}); "
                f"take --eager, which launches its kernels one by one"
            ) from error
        return self.replay(rows)

    def replay(self, rows: Rows) -> Scores:
        """See `Graph`; the next replay writes over what this one has computed, but for the scores returned."""
        for place, new in zip(tensors_of(self._rows), tensors_of(rows), strict=True):
            place.copy_(new)
        self._graph.replay()
        scores = self._scores
        return Scores(scores.nats.clone(), scores.log_px.clone(), scores.kl.clone())


class ProcessorGraph:
    """The operations of a step on a processor, without the modules and the record of gradients that lead to them.

    Parameters
    ----------
    model : nn.Module
        Whose steps they are.
    noise : Noise
        What is drawn from.
    """

    def __init__(self, model: nn.Module, noise: Noise) -> None:
        self._model = model
        self._noise = noise

    def warming(self) -> AbstractContextManager[Any]:
        """See `Graph`."""
        return nullcontext()

    def capture(self, step: Step, rows: Rows) -> Scores | None:
        """See `Graph`; weights move last in a step, so that they need not be kept."""
        buffers, drawn = copied(dict(self._model.named_buffers())), self._noise.state()
        program = Program(tensors_of(rows))
        try:
            with Noting(program):
                scores = step(rows)
        except Asked:
            for name, tensor in self._model.named_buffers():
                tensor.copy_(buffers[name])
            self._noise.restore(drawn)
            return None
        program.finish((scores.nats, scores.log_px, scores.kl))
        self._model.zero_grad()  # replays leave no gradients behind, and these would only take memory
        self._program = program
        return scores

    def replay(self, rows: Rows) -> Scores:
        """See `Graph`."""
        return Scores(*self._program.run(tensors_of(rows)))


def graph_for(model: nn.Module, noise: Noise) -> Graph | None:
    """What captures the steps of a model; None where a part asks the host on the way."""
    if any(isinstance(part, Part) and part.asks_host for part in model.modules()):
        return None
    device = noise.generator.device
    makers: dict[str, Callable[[], Graph]] = {
        "cuda": lambda: CudaGraph(device, noise),
        "cpu": lambda: ProcessorGraph(model, noise),
    }
    return makers[device.type]() if device.type in makers else None


class CapturedStep:
    """One and the same step on batch after batch: the first ones and shorter ones as they come, the others replayed.

    Parameters
    ----------
    size : tuple of int
        Of a full batch: its rows; of several models, how many they are, and the rows of each.
    graph : Graph
        What captures the step.
    """

    def __init__(self, size: tuple[int, ...], graph: Graph) -> None:
        self._size = size
        self._graph = graph
        self._capturable = True
        self._warm = 0
        self._captured = False

    def take(self, step: Step, rows: Rows) -> Scores:
        """Take the step, which is the same in all calls, on a batch; return its scores."""
        if not self._capturable or apart(rows)[0].shape[: len(self._size)] != self._size:
            return step(rows)
        if self._captured:
            return self._graph.replay(rows)
        if self._warm < WARMING:
            self._warm += 1
            with self._graph.warming():
                return step(rows)
        scores = self._graph.capture(step, rows)
        self._captured = scores is not None
        if scores is None:
            self._capturable = False
            return step(rows)
        return scores


def tensors_of(rows: Rows) -> list[Tensor]:
    """Raw rows, and the class of each where it is known, as a list."""
    return [part for part in apart(rows) if part is not None]
