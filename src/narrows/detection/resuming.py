"""How far a stream has come, kept in a detector file from which it goes on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from narrows.detection.files import WHAT, load_detector, save_detector
from narrows.detection.online import OnlineDetector
from narrows.errors import InputError
from narrows.persist import read_tensors
from narrows.tensors import under

KEY = "stream"


@dataclass(frozen=True)
class Place:
    """How far a stream has come.

    Parameters
    ----------
    line, read : int
        Lines and bytes of the input that are done with.
    written : int
        Bytes of the output that tell of them.
    rows, alarms, errors : int
        Rows scored, alarms among them, and lines that were no rows.
    head : str or None
        First line that is not blank, letter for byte; None before it has come.
    begins : str or None
        By which a file that is read is known again.
    """

    line: int = 0
    read: int = 0
    written: int = 0
    rows: int = 0
    alarms: int = 0
    errors: int = 0
    head: str | None = None
    begins: str | None = None


def save_stream(path: Path, online: OnlineDetector, place: Place, conditions: Mapping[str, Any]) -> None:
    """Write the detector as it now is, and where the stream stands: a detector file, whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    online : OnlineDetector
        At that place of the stream.
    place : Place
        How far it has come.
    conditions : mapping
        What must be the same when it goes on, as plain JSON values.
    """
    tensors, numbers = online.state()
    further = {f"{KEY}.{name}": tensor for name, tensor in tensors.items()}
    note = {"place": dataclasses.asdict(place), "numbers": numbers, "conditions": dict(conditions)}
    save_detector(online.fitted, path, further, {KEY: note})


def load_stream(path: Path, online: OnlineDetector, conditions: Mapping[str, Any]) -> Place:
    """Put an online detector back to where `save_stream` left it, and return the place of the stream.

    Raises
    ------
    InputError
        If the file is damaged, no state of a stream, or one under other conditions.
    """
    tensors, header = read_tensors(path, what=WHAT)
    if KEY not in header:
        raise InputError(f"{path} is a detector and no state of a stream; give --state another file")
    note = header[KEY]
    differing = [name for name, value in conditions.items() if note["conditions"].get(name) != value]
    if differing:
        name = differing[0]
        raise InputError(
            f"{path} is the state of a stream with {name} {note['conditions'].get(name)}, and now it is "
            f"{conditions[name]}; go on with the same, or give --state another file"
        )
    online.restore(load_detector(path), under(f"{KEY}.", tensors), note["numbers"])
    return Place(**note["place"])


def digest_of(path: Path) -> str:
    """SHA-256 of a file, its first 16 letters."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
