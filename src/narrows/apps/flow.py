"""Lines in, scored lines out: the loop of a stream, its output and its state."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.apps.output import Output, note
from narrows.apps.stopping import Stopped, Stopping
from narrows.data.lines import LineReader, Lines
from narrows.data.rows import BLANK, MARK, RowParser, Rows, parser_of
from narrows.data.wording import listed
from narrows.detection.drift import Change
from narrows.detection.online import OnlineDetector, Scored
from narrows.detection.resuming import Place, load_stream, save_stream
from narrows.errors import InputError
from narrows.tensors import tensor_of

BEGINNING = 4096


@dataclass(frozen=True)
class Source:
    """An input and how it is read.

    Parameters
    ----------
    descriptor : int
        Open.
    is_file : bool
        Whether it is a file of its own, of which every place can be found again.
    batch : int
        Most lines that are taken at once.
    wait : float or None
        Seconds after which those that have come are enough; see `narrows.data.lines.LineReader.batch`.
    form : str or None
        Format of the lines; see `narrows.data.rows.parser_of`.
    header : bool
        Whether the first line of CSV holds names.
    """

    descriptor: int
    is_file: bool
    batch: int
    wait: float | None
    form: str | None
    header: bool


@dataclass(frozen=True)
class State:
    """Where the state of a stream is kept, and when.

    Parameters
    ----------
    path : Path or None
        The file; None for a stream without a state.
    every : int
        Lines between two writings.
    conditions : mapping
        What must be the same when the stream goes on.
    """

    path: Path | None
    every: int
    conditions: Mapping[str, Any]


class Flow:
    """A detector between an input and an output.

    Each batch is scored, then written, and only then learnt from and counted; so what is kept when the program is
    stopped tells of what has been written, and a row's line does not wait for what is learnt from it.

    Parameters
    ----------
    online : OnlineDetector
        At the start of the stream.
    source : Source
        The input.
    output : Path or None
        A file, or standard output.
    state : State
        From which to go on, where there is one.
    """

    def __init__(self, online: OnlineDetector, source: Source, output: Path | None, state: State) -> None:
        self._online = online
        self._source = source
        self._path = output
        self._state = state
        self._place = Place()
        self._kept = 0
        self._parser: RowParser | None = None
        self._output: Output | None = None
        self._stopping = Stopping()

    def run(self) -> Place:
        """Take the input to its end.

        Raises
        ------
        InputError
            If the state, the output or the first line cannot be used.
        SystemExit
            After SIGINT or SIGTERM, once the state is kept.
        """
        source = self._source
        try:
            with self._stopping.listening():
                self._resume()
                reader = LineReader(source.descriptor, self._place.line, self._place.read)
                while (lines := reader.batch(source.batch, source.wait)) is not None:
                    self._take(lines)
                self._keep(self._written())
        except Stopped as reason:
            self._keep(self._output)
            note(f"{reason} after line {self._place.line}")
            raise SystemExit(reason.status) from None
        except BrokenPipeError:
            self._keep(self._output)
            raise
        finally:
            if self._output is not None:
                self._output.close()
        if self._place.errors:
            note(f"{self._place.errors} of {self._place.line} lines were no rows")
        if not self._place.rows:
            note("0 rows")
        return self._place

    def _resume(self) -> None:
        """Go on from the state, if there is one."""
        path, source = self._state.path, self._source
        if path is None or not path.exists():
            return
        place = load_stream(path, self._online, self._state.conditions)
        if source.is_file:
            _check_same(source.descriptor, place)
            os.lseek(source.descriptor, place.read, os.SEEK_SET)
        elif place.line:
            note(f"goes on after line {place.line}; send from line {place.line + 1} on")
        if place.head is not None:
            self._parser = self._parser_of(place.head.encode("latin-1"))
        self._output = Output(self._path, place.written, self._stopping)
        self._place, self._kept = place, place.line

    def _keep(self, output: Output | None) -> None:
        """Write the state, if it is wanted and there is anything to keep."""
        if self._state.path is None or output is None:
            return
        if self._source.is_file:
            self._place = dataclasses.replace(self._place, begins=_beginning(self._source.descriptor, self._place.read))
        output.settle()
        save_stream(self._state.path, self._online, self._place, self._state.conditions)
        self._kept = self._place.line

    def _written(self) -> Output:
        """Open the output, once what is read has been found to be good."""
        if self._output is None:
            self._output = Output(self._path, self._place.written, self._stopping)
        return self._output

    def _parser_of(self, head: bytes) -> RowParser:
        return parser_of(self._online.detector.schema, head, form=self._source.form, header=self._source.header)

    def _take(self, lines: Lines) -> None:
        """Score, write, learn, count."""
        texts = lines.texts if self._parser is not None else self._begun(lines.texts)
        if self._parser is None:
            self._place = dataclasses.replace(self._place, line=lines.last, read=lines.end)
            return
        found = self._parser.parse(texts)
        rows = tensor_of(found.values)
        scored = self._online.score(rows)
        marked = scored.alarms.nonzero().flatten()
        reasons = self._online.fitted.reasons(rows[marked])
        output = self._written()
        told = _told(lines, found, scored, reasons)
        with self._stopping.held():
            output.write(told)
            changes = self._online.follow(rows, scored)
            place = self._place
            self._place = dataclasses.replace(
                place,
                line=lines.last,
                read=lines.end,
                written=output.written,
                rows=place.rows + len(rows),
                alarms=place.alarms + len(marked),
                errors=place.errors + len(found.errors),
            )
            for row, change in changes:
                self._report(lines.first + found.places[row], change, output)
            if lines.last - self._kept >= self._state.every:
                self._keep(output)

    def _report(self, line: int, change: Change, output: Output) -> None:
        """Tell of a change of the world, once."""
        note(f"line {line}: {_said(change)}")
        output.write(json.dumps({"line": line, "drift": dataclasses.asdict(change)}) + "\n")
        self._place = dataclasses.replace(self._place, written=output.written)

    def _begun(self, texts: Sequence[bytes | None]) -> Sequence[bytes | None]:
        """Make the parser from the first line that is not blank; return the lines without the names that it holds."""
        at = next((place for place, text in enumerate(texts) if text not in BLANK), None)
        if at is None:
            return texts
        head = texts[at]
        if head is None:
            raise InputError("the first line of the stream is longer than 1 MiB; send one row a line")
        head = head.removeprefix(MARK)
        self._parser = self._parser_of(head)
        if self._parser.further:
            note(f"further columns are passed over: {listed(self._parser.further)}")
        self._place = dataclasses.replace(self._place, head=head.decode("latin-1"))
        return [*texts[:at], b"" if self._parser.skips_head else head, *texts[at + 1 :]]


def _told(lines: Lines, found: Rows, scored: Scored, reasons: Sequence[str]) -> str:
    """One line of JSON for each line that is not blank; numbers as Python writes them, which lose nothing."""
    why = iter(reasons)
    told = {place: json.dumps({"line": lines.first + place, "error": said}) for place, said in found.errors.items()}
    columns = (found.places, scored.scores.tolist(), scored.p.tolist(), scored.alarms.tolist())
    for place, score, p, alarm in zip(*columns, strict=True):
        begins = f'{{"line": {lines.first + place}, "score": {score!r}, "p": {p!r}, "alarm": '
        told[place] = f'{begins}true, "why": {json.dumps(next(why))}}}' if alarm else f"{begins}false}}"
    return "".join(f"{told[place]}\n" for place in sorted(told))


def _said(change: Change) -> str:
    return (
        f"the world has changed: the scores of the last {change.rows} rows are distributed otherwise than before "
        f"(Kolmogorov-Smirnov {change.statistic:.3f}, p {change.p:.1e})"
    )


def _beginning(descriptor: int, size: int) -> str:
    """SHA-256 of the first bytes of a file, by which it is known again."""
    return hashlib.sha256(os.pread(descriptor, min(size, BEGINNING), 0)).hexdigest()


def _check_same(descriptor: int, place: Place) -> None:
    """Raise `InputError` unless a file is the one that a state tells of, or has grown from it by whole lines."""
    size = os.fstat(descriptor).st_size
    if size < place.read or _beginning(descriptor, place.read) != place.begins:
        raise InputError("the input is not the file that the state tells of; bring it back, or begin with a new state")
    if place.read < size and os.pread(descriptor, 1, place.read - 1) not in (b"", b"\n"):
        raise InputError(
            f"line {place.line} of the input was not finished when it was read, and has grown since; begin with a new "
            f"state"
        )
