"""The progress bar: a filter that draws on a terminal and is silent off it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from narrows.values import Progress

T = TypeVar("T")


def progress_bar(progress: Iterator[Progress]) -> Iterator[Progress]:
    """Draw how far training has come, its figures and the time left, on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield from progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("training"), BarColumn(), TextColumn("{task.percentage:>3.0f}% {task.fields[figures]}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("training", total=1.0, figures="")
        held_out = ""
        for now in progress:
            left = timedelta(seconds=round(now.seconds * (1 - now.share) / now.share if now.share else 0))
            if now.validation is not None:
                held_out = f", held out {now.validation.nats:.1f}"
            speed = now.examples / now.seconds if now.seconds else 0.0
            figures = f"epoch {now.epoch:.1f}, nats {now.training.nats:.1f}{held_out}, {speed:,.0f}/s, {left} left"
            bar.update(task, completed=now.share, figures=figures)
            yield now


def counted(doing: str, pieces: Iterable[T], total: int, size: Callable[[T], int]) -> Iterator[T]:
    """Pass pieces of work on, and draw how much of ``total`` is done, on standard error if that is a terminal."""
    if not sys.stderr.isatty():
        yield from pieces
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total)
        for piece in pieces:
            bar.update(task, advance=size(piece))
            yield piece


def waiting(doing: str) -> AbstractContextManager[Any]:
    """Say what is being done, on standard error if that is a terminal, until the block ends."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(doing)
