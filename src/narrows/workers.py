"""Processes that train one model together: each takes its rows of every batch, and all take the same step.

A batch of n rows is dealt out in its order: worker r of W takes rows floor(n r / W) to floor(n (r + 1) / W). A batch of
fewer rows than workers is computed by each of them, whole. Either way what one process computes is the sum of what the
workers do, each weighed by its share of the rows; parts that ask of a batch as a whole do so by `whole`, `each`,
`batch_mean` and `batch_rows`, which in one process give what they were given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, distributed

from narrows.errors import InputError, SaidByAnother


@dataclass(frozen=True)
class Workers:
    """The processes that train one model, as one of them sees them.

    All must ask the same of each other, in the same order: each method but `part`, `mine`, `own` and `step` waits for
    the others.

    Parameters
    ----------
    rank, count : int
        Which of them this is, from 0, and how many there are.
    local_rank, local_count : int
        The same of those on this machine.
    elastic : bool
        Whether an engine started them, which starts them again when one is lost.
    again : bool
        Whether it has done so.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    elastic: bool = False
    again: bool = False

    @property
    def first(self) -> bool:
        """Whether this is the one that validates, writes files and talks to the user."""
        return self.rank == 0

    def own(self, rows: int) -> slice:
        """Which of so many rows are this worker's alone: those of all workers are all rows."""
        return slice(rows * self.rank // self.count, rows * (self.rank + 1) // self.count)

    def part(self, rows: int) -> slice:
        """Which rows of a batch this worker computes: its own, or all, where there are fewer than workers."""
        return self.own(rows) if rows >= self.count else slice(0, rows)

    def mine(self, rows: Tensor) -> Tensor:
        """Those of the rows of a batch (n, ...) that this worker computes."""
        return rows if self.count == 1 else rows[self.part(len(rows))]

    @contextmanager
    def step(self, rows: int) -> Iterator[float]:
        """Within the block a batch of so many rows is dealt out; gives the weight of this worker's part of it."""
        if self.count == 1:
            yield 1.0
        elif rows < self.count:
            yield 1 / self.count
        else:
            part = self.part(rows)
            token = _SHARE.set(Share(self, rows, part))
            try:
                yield (part.stop - part.start) / rows
            finally:
                _SHARE.reset(token)

    def add_up(self, parameters: Iterable[Tensor]) -> None:
        """Add up the gradients of all workers, in place."""
        if self.count == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        with in_touch():
            distributed.all_reduce(flat)
        sums = flat.split([gradient.numel() for gradient in gradients])
        for gradient, total in zip(gradients, sums, strict=True):
            gradient.copy_(total.view_as(gradient))

    def clock(self, seconds: float) -> float:
        """Return the seconds that the first worker counts."""
        return float(self.handed_on([torch.tensor(seconds, dtype=torch.float64)])[0])

    def told(self, value: Any) -> Any:
        """Return a JSON value as the first worker has it; what others give is of no matter."""
        if self.count == 1:
            return value
        written = _bytes_of(json.dumps(value if self.first else None))
        length = int(self.handed_on([torch.tensor(len(written))])[0])
        return _value_in(self.handed_on([written if self.first else written.new_empty(length)])[0])

    def handed_on(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return tensors as the first worker has them; others give ones of the same types and shapes."""
        if self.count == 1:
            return tensors
        copies = [tensor.detach().clone().contiguous() for tensor in tensors]
        with in_touch():
            for copy in copies:
                if copy.numel():
                    distributed.broadcast(_as_bytes(copy), 0)
        return copies

    def state_handed_on(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors by name as the first worker has them; others need not know which there are."""
        described = {name: (str(tensor.dtype).rpartition(".")[2], tensor.shape) for name, tensor in state.items()}
        found = self.told(described)
        mine = state if self.first else {n: torch.empty(s, dtype=getattr(torch, d)) for n, (d, s) in found.items()}
        return dict(zip(found, self.handed_on([tensor.cpu() for tensor in mine.values()]), strict=True))

    def gathered(self, columns: Tensor) -> Tensor:
        """Figures (c, n) of all workers side by side; n may differ."""
        if self.count == 1:
            return columns
        lengths = _stacked(torch.tensor(columns.shape[1]), self.count).tolist()
        return _joined(columns.T, lengths).T

    def values(self, value: Any) -> list[Any]:
        """Return a JSON value of each worker."""
        if self.count == 1:
            return [value]
        written = _bytes_of(json.dumps(value))
        lengths = _stacked(torch.tensor(len(written)), self.count).tolist()
        return [_value_in(text) for text in _joined(written, lengths).split(lengths)]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make an error within the block, in which no worker waits for another, one of all workers, told once.

        Raises
        ------
        InputError
            In the first worker, if any met one, with the sentence of the lowest rank that did; in others
            `SaidByAnother`.
        """
        if self.count == 1:
            yield
            return
        met = None
        try:
            yield
        except InputError as error:
            met = str(error)
        sentences = self.values(met)
        said = next((sentence for sentence in sentences if sentence is not None), None)
        if said is not None:
            raise InputError(said) if self.first else SaidByAnother(said)

    def agree(self, facts: Mapping[str, Any]) -> None:
        """Raise `InputError` unless all workers have the same facts, which are JSON values."""
        found = self.values(json.dumps(facts, sort_keys=True))
        with self.together():
            for rank, other in enumerate(found):
                differing = [name for name, fact in json.loads(other).items() if fact != json.loads(found[0])[name]]
                if differing:
                    raise InputError(
                        f"worker {rank} was given other {', '.join(differing)} than worker 0; start all with one "
                        f"command line, on the same data"
                    )


ALONE = Workers()


@dataclass(frozen=True)
class Share:
    """How a batch is dealt out in the step that is being taken: its rows, and which of them are this worker's."""

    workers: Workers
    rows: int
    part: slice

    def whole(self, rows: Tensor, stride: int) -> Tensor:
        """Every so manieth row of the batch, in its order, from this worker's (m, ...)."""
        count = self.workers.count
        starts = [self.rows * rank // count for rank in range(count + 1)]
        lengths = [len(range(-a % stride, b - a, stride)) for a, b in pairwise(starts)]
        return _joined(rows.detach()[-self.part.start % stride :: stride], lengths)


_SHARE: ContextVar[Share | None] = ContextVar("share", default=None)


def share() -> Share | None:
    """How the batch of this step is dealt out; None where all of its rows are here."""
    return _SHARE.get()


def whole(rows: Tensor, stride: int = 1) -> Tensor:
    """Every so manieth row of the whole batch (n, ...), without a gradient to those of other workers, from those here.

    In one process, and outside of a training step, these are all.
    """
    dealt = share()
    return rows[::stride] if dealt is None else dealt.whole(rows, stride)


def batch_rows(rows: Tensor) -> int:
    """Count the rows of the whole batch, of which those given are this worker's."""
    dealt = share()
    return len(rows) if dealt is None else dealt.rows


def each(figure: Tensor) -> Tensor:
    """Put a figure (...) of each worker's rows side by side, (workers, ...), without a gradient."""
    dealt = share()
    return figure.detach()[None] if dealt is None else _stacked(figure, dealt.workers.count)


def batch_mean(mean: Tensor) -> Tensor:
    """Return the mean over the whole batch, without a gradient, from that over the rows here."""
    dealt = share()
    if dealt is None:
        return mean.detach()
    return each(mean * ((dealt.part.stop - dealt.part.start) / dealt.rows)).sum(0)


def _stacked(figure: Tensor, count: int) -> Tensor:
    return _joined(figure[None], [1] * count)


def _joined(rows: Tensor, lengths: list[int]) -> Tensor:
    """Rows (m, ...) of all workers in their order, of which there are so many; as bytes, for which no type is foreign.

    Workers send blocks of equal size, the shorter ones filled up.
    """
    longest = max(lengths)
    block = rows.new_zeros(longest, *rows.shape[1:])
    block[: len(rows)] = rows.detach()
    found = [torch.empty_like(block) for _ in lengths]
    if block.numel():
        with in_touch():
            distributed.all_gather([_as_bytes(part) for part in found], _as_bytes(block))
    return torch.cat([part[:length] for part, length in zip(found, lengths, strict=True)])


def _as_bytes(tensor: Tensor) -> Tensor:
    return tensor.view(-1).view(torch.uint8)


def _bytes_of(text: str) -> Tensor:
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def _value_in(written: Tensor) -> Any:
    return json.loads(written.numpy().tobytes())


@contextmanager
def in_touch() -> Iterator[None]:
    """Say in one line that a worker was lost, which the libraries do in many."""
    try:
        yield
    except RuntimeError as error:
        said = " ".join(str(error).split())[:160]
        raise InputError(
            f"another worker ended, or cannot be reached ({said}); see what it said: with --checkpoint and torchrun "
            f"--max-restarts training goes on from the last checkpoint"
        ) from error
