"""Score a stream line by line as it comes, learn from it, and go on where it was left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.atomic import check_target
from narrows.errors import InputError, at_least

if TYPE_CHECKING:
    from narrows.apps.flow import Source
    from narrows.detection.online import OnlineDetector

STANDARD_INPUT = 0
OF_STREAM = "the standard one"


@dataclass(frozen=True)
class Incoming:
    """Where lines come from, and how many are taken at once.

    Parameters
    ----------
    input : Path, optional
        A file to read; without it standard input.
    format : {"csv", "jsonl"}, optional
        Of the lines; without it the first letter tells.
    no_header : bool
        The first line of CSV holds data: its columns are those of the model in their order.
    batch : int
        Most lines that are scored together, and learnt from in one step.
    delay : float
        Seconds from the arrival of a line on standard input to its score, as long as a batch is computed in half of
        them; the other half is the time to wait for more lines.
    """

    input: Path | None = None
    format: str | None = None
    no_header: bool = False
    batch: int = 256
    delay: float = 0.1

    def check(self) -> None:
        """Raise `InputError` for a number that cannot be used."""
        at_least("--batch", self.batch, 1)
        at_least("--delay", self.delay, 0)

    @contextmanager
    def opened(self) -> Iterator[Source]:
        """Give the input; batches of a file are full, so that what they teach does not depend on time."""
        from narrows.apps.flow import Source

        header = not self.no_header
        if self.input is None:
            yield Source(STANDARD_INPUT, False, self.batch, self.delay / 2, self.format, header)
            return
        if not self.input.is_file():
            raise InputError(f"there is no file {self.input}; give --input a file, or send lines to standard input")
        with self.input.open("rb", buffering=0) as file:
            yield Source(file.fileno(), True, self.batch, None, self.format, header)


@dataclass(frozen=True)
class Keeping:
    """Where the state of the stream is kept.

    Parameters
    ----------
    state : Path, optional
        A file to keep it in, and to go on from if it is there. It is a detector file, too, for narrows detect.
    save_every : int
        Lines after which it is written again; it also is at the end, and on SIGTERM and SIGINT.
    """

    state: Path | None = None
    save_every: int = 10_000


@dataclass(frozen=True)
class Streamed:
    """What a stream came to.

    Parameters
    ----------
    file : str
        Where the scores are.
    lines, rows : int
        Lines read, and rows scored.
    alarms : int
        Of the rows.
    share : float or None
        Of alarms among the rows.
    errors : int
        Lines that were no rows.
    learnt : int
        Rows that the detector has learnt from.
    threshold : float
        Score above which a row is an alarm, in nats, as it stands at the end.
    """

    file: str
    lines: int
    rows: int
    alarms: int
    share: float | None
    errors: int
    learnt: int
    threshold: float


def stream(
    model: Path,
    output: Path | None = None,
    false_alarm_rate: float = 0.01,
    learn: bool = False,
    memory: int = 10_000,
    follow: float = 0.005,
    incoming: Incoming = Incoming(),
    keeping: Keeping = Keeping(),
) -> Streamed | None:
    """Score lines of CSV or JSON as they come, each with one line of JSON.

    Parameters
    ----------
    model : Path
        A detector file, which narrows train --preset detector wrote; to learn, one of --preset detector-fast.
    output : Path, optional
        A file for the scores; without it standard output.
    false_alarm_rate : float
        Share of normal rows that may be alarms: with 0.01, one in a hundred.
    learn : bool
        Learn from the rows that are no alarm, and let the threshold follow.
    memory : int
        With --learn: rows that all earlier ones together weigh at most in running means and deviations.
    follow : float
        With --learn: nats by which the threshold rises at an alarm; it falls by the rate times as many at every row.
    incoming : Incoming
        Where lines come from.
    keeping : Keeping
        Where the state is kept.
    """
    incoming.check()
    at_least("--save-every", keeping.save_every, 1)
    _check_targets(model, output, incoming.input, keeping.state)

    from narrows.apps.flow import Flow, State
    from narrows.detection.files import load_detector
    from narrows.detection.online import Learning, OnlineDetector

    learning = Learning(memory, follow)
    if not learn and learning != Learning():
        raise InputError("--memory and --follow say how to learn; give --learn as well, or leave them out")
    online = OnlineDetector(load_detector(model), false_alarm_rate, learning if learn else None)
    conditions = _conditions(model, output, incoming, online)
    state = State(keeping.state, keeping.save_every, conditions)
    with incoming.opened() as source:
        place = Flow(online, source, output, state).run()
    if output is None:
        return None
    return Streamed(
        file=str(output),
        lines=place.line,
        rows=place.rows,
        alarms=place.alarms,
        share=place.alarms / place.rows if place.rows else None,
        errors=place.errors,
        learnt=online.learnt,
        threshold=online.threshold,
    )


def _check_targets(model: Path, output: Path | None, source: Path | None, state: Path | None) -> None:
    read = [model, *([source] if source else [])]
    if output is not None:
        check_target(output, inputs=read)
    if state is not None:
        check_target(state, inputs=read)
        if output is not None and state.resolve() == output.resolve():
            raise InputError(f"{state} was given for --state and for --output; give them different names")


def _conditions(model: Path, output: Path | None, incoming: Incoming, online: OnlineDetector) -> dict[str, Any]:
    """What a state holds for, by the names that a person knows."""
    from narrows.detection.resuming import digest_of

    learning = online.learning
    return {
        "the model of SHA-256": digest_of(model),
        "--false-alarm-rate": online.rate,
        "--learn": learning is not None,
        "--memory": learning.memory if learning else None,
        "--follow": learning.step if learning else None,
        "--batch": incoming.batch,
        "--format": incoming.format,
        "--no-header": incoming.no_header,
        "--input": str(incoming.input or OF_STREAM),
        "--output": str(output or OF_STREAM),
    }
