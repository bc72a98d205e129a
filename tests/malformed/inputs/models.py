"""Files of models that were cut short, altered, made by someone else, or made to do harm."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from inputs.case import Case
from narrows.persist import read_tensors, write_tensors

# What the runner lays into the folder before the file is made.
DETECTOR, IMPUTER = "detector.safetensors", "imputer.safetensors"


def changed(change: Callable[[bytes], bytes], name: str = DETECTOR) -> Callable[[Path], Path]:
    """A sound file whose bytes were changed."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))
        return path

    return make


def signed(
    change: Callable[[dict[str, torch.Tensor], dict[str, Any]], None], what: str = "detector"
) -> Callable[[Path], Path]:
    """A sound file whose tensors and header were changed, with a fingerprint that fits."""

    def make(folder: Path) -> Path:
        path = folder / f"{'detector' if what == 'detector' else 'imputer'}.safetensors"
        tensors, header = read_tensors(path, what=what)
        change(tensors, header)
        header["record"] = header.get("record", {})
        write_tensors(path, tensors, header)
        return path

    return make


def header_of(change: Callable[[dict[str, Any]], None], what: str = "detector") -> Callable[[Path], Path]:
    return signed(lambda _tensors, header: change(header), what)


def flipped(place: float) -> Callable[[bytes], bytes]:
    """One bit turned over, at this share of the length."""

    def change(content: bytes) -> bytes:
        at = int(place * len(content))
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return change


def foreign(metadata: dict[str, str] | None) -> Callable[[Path], Path]:
    """A safetensors file of someone else."""

    def make(folder: Path) -> Path:
        save_file({"weight": torch.ones(3)}, folder / "m.safetensors", metadata=metadata)
        return folder / "m.safetensors"

    return make


def unsigned(folder: Path) -> Path:
    """The header changed, and its fingerprint left as it was."""
    path = folder / DETECTOR
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    head = json.loads(content[8 : 8 + size])
    own = json.loads(head["__metadata__"]["narrows"])
    own["record"]["contaminated"] = True
    save_file(load_file(path), path, metadata={"narrows": json.dumps(own)})
    return path


def swapped(name: str) -> Callable[[Path], Path]:
    """One tensor of half its rows."""

    def change(tensors: dict[str, torch.Tensor], _header: dict[str, Any]) -> None:
        found = next(key for key in tensors if key.endswith(name))
        tensors[found] = tensors[found][: len(tensors[found]) // 2].contiguous()

    return signed(change)


def without(name: str) -> Callable[[Path], Path]:
    """One tensor left out."""

    def change(tensors: dict[str, torch.Tensor], _header: dict[str, Any]) -> None:
        del tensors[next(key for key in tensors if key.endswith(name))]

    return signed(change)


def retyped(tensors: dict[str, torch.Tensor], _header: dict[str, Any]) -> None:
    tensors["detector.calibration"] = tensors["detector.calibration"].float()


def detector(name: str, make: Callable[[Path], Path], refused: str) -> Case:
    return Case(f"detector: {name}", make, refused, verb="detector")


def imputer(name: str, make: Callable[[Path], Path], refused: str) -> Case:
    return Case(f"model: {name}", make, refused, verb="imputer")


def report(name: str, make: Callable[[Path], Path], refused: str, *options: str) -> Case:
    return Case(f"report: {name}", make, refused, verb="report", options=options)


def export(name: str, make: Callable[[Path], Path], refused: str, *options: str) -> Case:
    return Case(f"export: {name}", make, refused, verb="export", options=options)


def full(folder: Path) -> Path:
    """A folder with a file in it."""
    (folder / "graphs").mkdir()
    (folder / "graphs" / "notes.txt").touch()
    return folder / "graphs"


def _more(header: dict[str, Any]) -> None:
    header["schema"]["columns"].append({"name": "z", "kind": "numeric", "categories": []})


NONE = "is not a narrows detector file, or was cut short"
ALTERED = "was altered after it was written"
CANNOT, HOLDS = "describes a detector that this version cannot build", "does not hold the detector that it describes"

CASES = (
    detector("no such file", lambda folder: folder / "none.safetensors", "there is no file"),
    detector("a folder", lambda folder: folder, "is a folder"),
    detector("an empty file", changed(lambda content: b""), NONE),
    detector("text", changed(lambda content: b"hello"), NONE),
    detector("a pickle", changed(lambda content: b"\x80\x04cos\nsystem\n(S'true'\ntR."), NONE),
    detector("a zip file, as torch.save writes", changed(lambda content: b"PK\3\4" + content), NONE),
    *(
        detector(
            f"cut to {share:.0%}", changed(lambda content, share=share: content[: int(share * len(content))]), NONE
        )
        for share in (0.01, 0.5, 0.99)
    ),
    detector("its last byte missing", changed(lambda content: content[:-1]), NONE),
    detector("a byte too many", changed(lambda content: content + b"\0"), NONE),
    detector("a header of 2^63 bytes declared", changed(lambda content: struct.pack("<Q", 2**63) + content[8:]), NONE),
    detector("a bit of a tensor flipped", changed(flipped(0.9)), ALTERED),
    detector("its first tensor's bit flipped", changed(flipped(0.6)), ALTERED),
    detector("its header changed", unsigned, ALTERED),
    detector("safetensors of someone else", foreign(None), NONE),
    detector("safetensors with other metadata", foreign({"format": "pt"}), NONE),
    detector("metadata that is no JSON", foreign({"narrows": "{"}), NONE),
    detector("metadata nested a hundred thousand deep", foreign({"narrows": "[" * 100_000}), NONE),
    detector("metadata that is a number", foreign({"narrows": "7"}), "is not a narrows detector file"),
    detector("metadata with NaN", foreign({"narrows": '{"what": NaN}'}), NONE),
    detector("another model of ours", lambda folder: folder / IMPUTER, "is not a narrows detector file"),
    detector("a later format", header_of(lambda header: header.update(format=99)), "upgrade to read it"),
    detector("no schema", header_of(lambda header: header.pop("schema")), CANNOT),
    detector(
        "an unknown view", header_of(lambda header: header["views"][0].update(kind="evil")), "unknown view 'evil'"
    ),
    detector(
        "a view with an unknown setting",
        header_of(lambda header: header["views"][0].update(evil=1)),
        "unknown parameter of view local-linear 'evil'",
    ),
    detector(
        "a view of a billion neighbours", header_of(lambda header: header["views"][0].update(k=10**9)), "detector"
    ),
    detector("views that are no list", header_of(lambda header: header.update(views=7)), CANNOT),
    detector("no views", header_of(lambda header: header.update(views=[])), "detector"),
    detector("a column more than it was trained on", header_of(_more), HOLDS),
    detector(
        "a schema of 2^40 cells",
        header_of(
            lambda header: header.update(schema={**header["schema"], "shape": [2**40], "columns": None, "names": None})
        ),
        "its header has 1099511627776 cells and its tensors 5",
    ),
    detector(
        "an unknown kind of column",
        header_of(lambda header: header["schema"]["columns"][0].update(kind="evil")),
        CANNOT,
    ),
    detector("a record without its figures", header_of(lambda header: header.update(record={})), CANNOT),
    detector("a tensor missing", without("inverse"), HOLDS),
    detector("a tensor of another type", signed(retyped), HOLDS),
    *(
        detector(f"too few {name} rows", swapped(name), CANNOT if name == "typical.low" else HOLDS)
        for name in ("inverse", "search.rows", "range-2048-1.scale.low", "knots", "typical.low", "moments.mean")
    ),
    imputer("a detector", lambda folder: folder / DETECTOR, "is not a narrows model file"),
    imputer(
        "cut short", changed(lambda content: content[:-1], IMPUTER), "is not a narrows model file, or was cut short"
    ),
    imputer("a bit flipped", changed(flipped(0.9), IMPUTER), ALTERED),
    imputer(
        "a schema of 2^40 cells",
        header_of(
            lambda header: header.update(schema={**header["schema"], "shape": [2**40], "columns": None, "names": None}),
            "model",
        ),
        "model",
    ),
    imputer(
        "an unknown part",
        header_of(lambda header: header["spec"]["latent"].update(kind="evil"), "model"),
        "cannot build",
    ),
    imputer(
        "a network of 2^40 units",
        header_of(lambda header: header["spec"]["network"].update(width=2**40), "model"),
        "model",
    ),
    report("no such file", lambda folder: folder / "none.safetensors", "there is no file"),
    report("a folder", lambda folder: folder, "is a folder"),
    report("a detector cut short", changed(lambda content: content[:-1]), "is not a narrows model file"),
    report("a detector with a bit flipped", changed(flipped(0.9)), ALTERED),
    report("a model with a bit flipped", changed(flipped(0.9), IMPUTER), ALTERED),
    report("a page that is no .html", lambda folder: folder / IMPUTER, "a report is .html", "-o", "x.txt"),
    report("no rate of false alarms", lambda folder: folder / DETECTOR, "must be above 0", "--false-alarm-rate", "0"),
    report("a rate too fine", lambda folder: folder / DETECTOR, "calibration rows", "--false-alarm-rate", "1e-5"),
    report("a colour that there is not", lambda folder: folder / DETECTOR, "--colour hue", "--colour", "hue"),
    report("a seed below 0", lambda folder: folder / DETECTOR, "seed was given as -1", "--seed", "-1"),
    export("no such file", lambda folder: folder / "none.safetensors", "there is no file"),
    export("a folder", lambda folder: folder, "is a folder"),
    export("text", changed(lambda content: b"hello"), "is not a narrows model file"),
    export("a detector with a bit flipped", changed(flipped(0.9)), ALTERED),
    export("a model with a bit flipped", changed(flipped(0.9), IMPUTER), ALTERED),
    export("an unknown format", lambda folder: folder / IMPUTER, "value of --format 'tflite'", "--format", "tflite"),
    export("a rate too fine", lambda folder: folder / DETECTOR, "calibration rows", "--false-alarm-rate", "1e-5"),
    export("a seed below 0", lambda folder: folder / DETECTOR, "seed was given as -1", "--seed", "-1"),
    Case("export: into a folder that is not empty", full, "is there already", verb="export into"),
)
