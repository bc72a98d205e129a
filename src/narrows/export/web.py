"""One page that runs graphs in a browser: graphs, model.json and onnxruntime-web are in it, and nothing is fetched."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from narrows.export.runtime import Runtime

PAGE = "index.html"
SCRIPTS = ("rows.js", "run.js", "page.js")
SHOWN = ("score", "reconstruction", "denoise")  # the graphs that the page runs
PICTURES = ".png,.jpg,.jpeg,.webp,.bmp"


def page(said: Mapping[str, Any], folder: Path, runtime: Runtime) -> str:
    """Put a page together.

    Its policy lets a browser run the scripts and the style whose SHA-256 it names, and WebAssembly; fetch nothing.

    Parameters
    ----------
    said : mapping
        What ``model.json`` says.
    folder : Path
        Where the graphs lie.
    runtime : Runtime
        What runs them.
    """
    style, script = _file("page.css"), "\n".join(map(_file, SCRIPTS))
    blocks = [_block("wasm", runtime.program)]
    for name in SHOWN:
        if name in said["graphs"]:
            packed = (folder / said["graphs"][name]["file"]).read_bytes()
            blocks.append(_block(f"graph-{name}", packed, f' data-graph="{name}"'))
    words = {name: html.escape(text) for name, text in _words(said).items()}
    return Template(_file("page.html")).substitute(
        words,
        policy=_policy(style, runtime.script, script),
        style=style,
        version=html.escape(runtime.version),
        licence=html.escape(_file("licence.txt")),
        model=json.dumps(said, allow_nan=False).replace("<", "\\u003c"),
        blocks="\n".join(blocks),
        runtime=runtime.script,
        script=script,
    )


def _file(name: str) -> str:
    return (files("narrows.export") / "page" / name).read_text(encoding="utf-8")


def _block(name: str, held: bytes, further: str = "") -> str:
    """Bytes in a page: base64 of gzip, equal for equal bytes."""
    packed = base64.b64encode(gzip.compress(held, mtime=0)).decode()
    return f'<script type="application/octet-stream" id="{name}"{further}>{packed}</script>'


def _policy(style: str, *scripts: str) -> str:
    run = " ".join(map(_digest, scripts))
    return (
        f"default-src 'none'; script-src {run} 'wasm-unsafe-eval'; style-src {_digest(style)}; img-src data:; "
        f"base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _words(said: Mapping[str, Any]) -> dict[str, str]:
    """What the page says of this model."""
    alarm, detects, denoises = said["alarm"], said["alarm"] is not None, "denoise" in said["graphs"]
    image = len(said["data"]["shape"]) == 3
    what = "Anomaly detector" if detects else "Denoiser" if denoises else "Model"
    versions = ", ".join(f"{name} {version}" for name, version in said["versions"].items())
    return {
        "title": f"{what}: preset {said['preset']}",
        "brief": f"Data: {said['data']['is']}." + (_alarm(alarm) if detects else ""),
        "give": "Give an image" if image else "Give rows",
        "verb": "Score" if detects else "Take",
        "file": "An image as it is, which is not resized, or a NumPy array (.npy)."
        if image
        else "A CSV whose first line names the columns, or a NumPy array (.npy)."
        if said["columns"]
        else "A CSV of numbers, or a NumPy array (.npy).",
        "accept": f"{PICTURES},.npy" if image else ".csv,.txt,.npy",
        "made": f"Made by narrows export. Model file's SHA-256: {said['model_sha256']}. Versions: {versions}.",
    }


def _alarm(alarm: Mapping[str, Any]) -> str:
    promised = "" if alarm["promised"] else ", which is not promised: it learnt from rows that may hold anomalies"
    return (
        f" A score above {alarm['threshold']:.6g} nats is an anomaly: {alarm['false_alarm_rate']:.3g} of normal rows "
        f"are above it ({alarm['calibration_rows']:,} calibration rows){promised}."
    )
