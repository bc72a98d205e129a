"""Trainings of equal shape that take their steps as one computation: each of their tensors is a row of a stack."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from narrows.captured import CapturedStep, Rows, graph_for, tensors_of
from narrows.descent import Optimizer
from narrows.model import Model
from narrows.noise import Noise, StackedNoise
from narrows.train import Run
from narrows.values import Clock, Labelled, Progress, Scores, table


class Stack:
    """Runs whose models differ in their numbers alone, and which go forward together.

    The models of the runs stay usable: their parameters and buffers become rows of those of one model, stacked along a
    first axis, which is what steps move. A step computes the losses of all by `torch.vmap`.

    Parameters
    ----------
    runs : sequence of Run
        Before their first step, of equal numbers of steps and rows.
    make : callable
        Makes the optimizer over a model's parameters, of which each number must move by its own gradient alone.
    eager : bool
        Compute each step anew, rather than capture one; see `narrows.captured`.
    """

    def __init__(self, runs: Sequence[Run], make: Callable[[Model], Optimizer], *, eager: bool = False) -> None:
        self.places = {run: place for place, run in enumerate(runs)}
        self.model = copy.deepcopy(runs[0].model).train()
        turned = {module.weight for module in self.model.modules() if isinstance(module, nn.Linear)}
        for whole, *rows in zip(_tensors(self.model), *(_tensors(run.model) for run in runs), strict=True):
            whole.data = (_stacked_turned if whole in turned else torch.stack)([row.data for row in rows])
            for row, place in zip(rows, whole.data, strict=True):
                row.data = place
        self.optimizer = make(self.model)
        self.clock = Clock(self.model.device)
        self.batches = [iter(run.batches) for run in runs]
        self.noises = [run.noise for run in runs]
        for run in runs:
            run.optimizer = self.optimizer
        loss = _Loss(self.model)
        self._parameters, self._buffers = dict(loss.named_parameters()), dict(loss.named_buffers())
        self._member = torch.arange(len(runs), device=self.model.device)
        self._losses = vmap(self._loss_of(loss), randomness="same")
        graph = None if eager else graph_for(self.model, StackedNoise(self.noises, self._member))
        self.captured = None if graph is None else CapturedStep((len(runs), runs[0].batches.size), graph)
        if graph is not None:
            self.optimizer.reside(self.model.device)

    @property
    def lead(self) -> Run:
        """A run that goes forward; all of them have come as far."""
        return next(iter(self.places))

    def release(self, run: Run) -> None:
        """Let a run go: its model has tensors of its own from now on, which no step moves."""
        for tensor in _tensors(run.model):
            tensor.data = tensor.data.clone(memory_format=torch.contiguous_format)
        del self.places[run]

    def update(self) -> Scores:
        """Take one step of each run; return their scores, (members, ...)."""
        lead = self.lead
        self.clock.set(lead.step, lead.share)
        self.optimizer.rate = lead.rate
        rows = self._rows()
        scores = self._descend(rows) if self.captured is None else self.captured.take(self._descend, rows)
        for run in self.places:
            run.stepped()
        self.optimizer.settle(lead.step)
        return scores

    def _descend(self, rows: Rows) -> Scores:
        """Compute a step; see `Run`."""
        self.optimizer.forget()
        surrogates, *scores = self._losses(self._parameters, self._buffers, tuple(tensors_of(rows)), self._member)
        (surrogates.sum() * self.lead.per_cell).backward()
        self.optimizer.step()
        return Scores(*scores)

    def interval(self) -> dict[Run, Progress]:
        """Take the steps of one interval; see `Run.interval`."""
        began, seconds = time.perf_counter(), self.lead.seconds
        with warnings.catch_warnings():  # torch tells of what it does for one member after the other
            warnings.filterwarnings("ignore", message="There is a performance drop")
            scores = [self.update() for _ in range(self.lead.interval_steps())]
        figures = {run: table([_row(score, place) for score in scores]).cpu() for run, place in self.places.items()}
        seconds += time.perf_counter() - began
        return {run: run.progress(figures[run], seconds) for run in self.places}

    def _loss_of(self, loss: nn.Module) -> Callable[..., tuple[Tensor, ...]]:
        """One member's loss as a function of its tensors, its rows and its place."""

        def of(
            parameters: dict[str, Tensor], buffers: dict[str, Tensor], rows: tuple[Tensor, ...], member: Tensor
        ) -> tuple[Tensor, ...]:
            raw = Labelled(*rows) if len(rows) > 1 else rows[0]
            noise = StackedNoise(self.noises, member)
            surrogate, scores = functional_call(loss, (parameters, buffers), (raw, noise, self.clock))
            return surrogate, scores.nats, scores.log_px, scores.kl

        return of

    def _rows(self) -> Rows:
        """The next batch of each run, (members, n, x), and the classes of the rows where they are known."""
        batches = [next(batch) for batch in self.batches]
        rows, *classes = map(torch.stack, zip(*map(tensors_of, batches), strict=True))
        return Labelled(rows, *classes) if classes else rows


class _Loss(nn.Module):
    """`Model.loss` as a module's call, by which torch puts a member's tensors into the model."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, raw: Tensor | Labelled, noise: Noise, clock: Clock) -> tuple[Tensor, Scores]:
        return self.model.loss(raw, noise, clock)


def train_stacked(stack: Stack) -> Iterator[dict[Run, Progress]]:
    """Train until the end of the runs that are left, yielding once an interval; see `narrows.train.train`."""
    while stack.lead.share < 1.0:
        yield stack.interval()


def _stacked_turned(weights: Sequence[Tensor]) -> Tensor:
    """Weights of linear maps (members, out, in), in memory as (members, in, out): so lie their slopes under `vmap`."""
    return torch.stack([weight.T for weight in weights]).mT


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]


def _row(scores: Scores, place: int) -> Scores:
    return Scores(scores.nats[place], scores.log_px[place], scores.kl[place])
