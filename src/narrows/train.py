"""Training as a generator: state is a value, and everything else is a filter over its progress."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from narrows.captured import CapturedStep, Graph
from narrows.data.batches import Batches
from narrows.data.held_out import HeldOut
from narrows.descent import Optimizer
from narrows.errors import unknown
from narrows.model import Model
from narrows.noise import Noise
from narrows.optimizers import Average
from narrows.schedules import Constant
from narrows.tensors import under
from narrows.values import Clock, Figures, Labelled, Progress, Scores, apart, table
from narrows.workers import whole

INTERVAL_STEPS = 50
INTERVAL_CELLS = 2e7
ROWS_AT_ONCE = 1000
CELLS_AT_ONCE = 80_000
DRAWN_AT_ONCE = 400_000  # cells of all draws of these rows
VALIDATION_SEED = 20_140_501


class Run:
    """A training in progress: the model, its optimizer, and how far it has come.

    Parameters
    ----------
    model : Model
        What is trained.
    batches : Batches
        Raw rows, dealt out among the workers that train together.
    optimizer : Optimizer
        Over the model's parameters.
    schedule : Constant
        Of the learning rate.
    noise : Noise
        For codes and corruption.
    steps, seconds : int or float, optional
        When the training ends: after so many steps, or so much time. One of them is given.
    average : float
        Decay of averaged weights; 0 for none.
    running : bool
        Whether the transform's statistics run along with the batches (online training).
    graph : Graph, optional
        What captures a step, which is then replayed; see `narrows.captured`.
    """

    def __init__(
        self,
        model: Model,
        batches: Batches,
        optimizer: Optimizer,
        schedule: Constant,
        noise: Noise,
        *,
        steps: int | None = None,
        seconds: float | None = None,
        average: float = 0.0,
        running: bool = False,
        graph: Graph | None = None,
    ) -> None:
        self.model = model
        self.batches = batches
        self.optimizer = optimizer
        self.schedule = schedule
        self.noise = noise
        self.workers = batches.workers
        self.clock = Clock(model.device)
        self.steps = steps
        self.seconds_allowed = seconds
        self.average = Average(model, average) if average else None
        self.running = running
        self.step = 0
        self.seconds = 0.0
        self.full_rate = optimizer.full_rate
        self.figures = torch.zeros(3, 0)
        # One rate of learning serves 30 columns and 784 pixels alike when the gradient is that of nats per cell.
        self.per_cell = torch.tensor(1.0 / model.schema.size, device=model.device)
        self.captured = None if graph is None else CapturedStep((batches.size,), graph)
        if graph is not None:
            optimizer.reside(model.device)

    @property
    def share(self) -> float:
        """Share of the training done, in [0, 1]."""
        done = self.seconds / self.seconds_allowed if self.seconds_allowed else self.step / (self.steps or 1)
        return min(done, 1.0)

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return self.full_rate * self.schedule.share(self.share)

    @property
    def deployed(self) -> Model:
        """The model to validate and to keep: the averaged one where weights are averaged."""
        if self.average is None:
            return self.model
        self.average.sync_buffers()
        kept: Model = self.average.model  # type: ignore[assignment]
        return kept

    def update(self, raw: Tensor | Labelled) -> Scores:
        """Take one step on a batch of raw rows, or on this worker's part of it; return their scores."""
        self.clock.set(self.step, self.share)
        self.optimizer.rate = self.rate
        scores = self._descend(raw) if self.captured is None else self.captured.take(self._descend, raw)
        self.stepped()
        self.optimizer.settle(self.step)
        return scores

    def _descend(self, raw: Tensor | Labelled) -> Scores:
        """Compute a step; what changes from one to the next is in tensors that stay where they are."""
        rows = len(raw) if self.workers.count == 1 else self.batches.met
        self.optimizer.forget()
        with self.workers.step(rows) as weight:
            if self.running:
                self.model.transform.update(whole(apart(raw)[0]))
            surrogate, scores = self.model.loss(raw, self.noise, self.clock)
            # As a product: a gradient handed to backward has torch load its algebra of shapes, 34 MiB.
            (surrogate * (self.per_cell if weight == 1 else self.per_cell * weight)).backward()
        self.workers.add_up(self.model.parameters())
        self.optimizer.step()
        return scores if len(raw) < rows or self.workers.count == 1 else scores.of(self.workers.own(rows))

    def stepped(self) -> None:
        """Count a step that was taken, and average the weights it led to."""
        self.step += 1
        if self.average is not None:
            self.average.update(self.step)

    def interval(self, batches: Iterator[Tensor | Labelled]) -> Progress:
        """Take the steps of one interval; only here are figures brought to the host."""
        began, seconds = time.perf_counter(), self.seconds
        self.model.train()
        scores = []
        for _ in range(self.interval_steps()):
            scores.append(self.update(next(batches)))
            self.seconds = self._by_one_clock(seconds + time.perf_counter() - began)
            if self.seconds_allowed and self.seconds >= self.seconds_allowed:
                break  # an interval may take much longer than what is left
        if self.running:
            self.model.likelihood.calibrate(self.model.transform.resolution)
        figures = self.workers.gathered(table(scores)).cpu()
        return self.progress(figures, self._by_one_clock(seconds + time.perf_counter() - began))

    def progress(self, figures: Tensor, seconds: float) -> Progress:
        """Say where training stands after an interval.

        Parameters
        ----------
        figures : Tensor, shape (3, examples)
            Nats, distortion and rate of each example of the interval.
        seconds : float
            Time spent in training since the start.
        """
        self.figures, self.seconds = figures, seconds
        nats, distortion, rate = self.figures.double().mean(1).tolist()
        order = self.batches
        return Progress(
            step=self.step,
            examples=order.epoch * len(order) + order.position,
            epoch=order.epoch + order.position / len(order),
            share=self.share,
            seconds=self.seconds,
            rate=self.optimizer.rate,
            training=Figures(nats, distortion, rate),
            epoch_ended=order.position == 0,
        )

    def validate(self, values: Tensor | Labelled | HeldOut) -> Figures:
        """Return the training figures on held-out rows; the first worker computes them for all."""
        figures = held_out(self.deployed, values) if self.workers.first else None
        return Figures(*self.workers.told(figures and dataclasses.astuple(figures)))

    def _by_one_clock(self, seconds: float) -> float:
        """Where the time decides on rates and on the end, all workers go by the first one's clock."""
        return self.workers.clock(seconds) if self.seconds_allowed else seconds

    def interval_steps(self) -> int:
        """Steps until the next look: whole epochs where they are short, and never past the end of one or of the run."""
        order = self.batches
        wanted = max(1, min(INTERVAL_STEPS, int(INTERVAL_CELLS / (self.model.schema.size * order.size))))
        if order.per_epoch <= wanted:
            wanted -= wanted % order.per_epoch
            wanted -= order.position // order.size
        else:
            wanted = min(wanted, order.per_epoch - order.position // order.size)
        return wanted if self.steps is None else min(wanted, self.steps - self.step)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on: tensors by name, and plain numbers."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self.optimizer.state().items()}
        tensors["noise"] = self.noise.state()
        numbers = {
            "step": self.step,
            "seconds": self.seconds,
            "epoch": self.batches.epoch,
            "position": self.batches.position,
            "full_rate": self.full_rate,
            "schedule": self.schedule.state(),
        }
        return tensors, numbers

    def restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Go back to a state, so that the steps that follow are the same bit for bit."""
        self.model.load_state_dict(under("model.", tensors))
        if self.average is not None:
            self.average.model.load_state_dict(under("average.", tensors))
        self.optimizer.restore(under("optimizer.", tensors))
        self.noise.restore(tensors["noise"])
        self.batches.go_to(numbers["epoch"], numbers["position"])
        self.schedule.restore(numbers["schedule"])
        self.step, self.seconds, self.full_rate = numbers["step"], numbers["seconds"], numbers["full_rate"]


def train(run: Run) -> Iterator[Progress]:
    """Train until the run's end, yielding once an interval of many steps.

    Parameters
    ----------
    run : Run
        It moves on in place; between two intervals its state may be saved, restored or changed.
    """
    batches = iter(run.batches)
    while run.share < 1.0:
        yield run.interval(batches)


def rows_at_once(model: Model, draws: int = 1) -> int:
    """How many rows to look at together outside of the steps: on a processor, so few that they stay in its cache.

    Rows whose cost is told from each other are looked at in larger company.
    """
    cells, alone = model.schema.size, model.device.type == "cpu" and not model.objective.compares
    within = CELLS_AT_ONCE if alone else DRAWN_AT_ONCE
    return max(1, min(ROWS_AT_ONCE, within // cells, DRAWN_AT_ONCE // (cells * draws)))


@torch.no_grad()
def held_out(model: Model, values: Tensor | Labelled | HeldOut) -> Figures:
    """The training figures on rows that were not trained on: same objective, same scale, same kind of corruption.

    Parameters
    ----------
    model : Model
        In any mode; it is put back.
    values : Tensor, shape (n, x), Labelled or HeldOut
        Raw rows. The draws are seeded, so equal weights give equal figures.
    """
    mode = model.training
    model.eval()
    noise = Noise(VALIDATION_SEED, model.device)
    total = torch.zeros(3, dtype=torch.float64, device=model.device)
    for raw in values.split(rows_at_once(model, model.objective.samples)):
        scores = model.loss(raw, noise, Clock.at_end(model.device))[1]
        total += table([scores]).double().sum(1)
    model.train(mode)
    nats, distortion, rate = (total / len(values)).tolist()
    return Figures(nats, distortion, rate)


def precision_for(precision: str, device: torch.device) -> torch.dtype | None:
    """Type of the matrix products in training: bfloat16, or None for float32.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16"}
        What was asked for; ``"auto"`` is bfloat16 where the processor multiplies it fast.
    device : torch.device
        Where training runs.

    Raises
    ------
    InputError
        If ``precision`` is none of them.
    """
    asked: dict[str, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16}
    if precision in asked:
        return asked[precision]
    if precision != "auto":
        raise unknown("precision", precision, ("auto", *asked))
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not say
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") or able.get("amx") else None
