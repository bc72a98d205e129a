"""A new user's walk: every command of the README, as printed and in its order, in a folder with files of one's own.

The files are what a person would bring: two photographs (those that scikit-learn ships), whole, noisy, and cut into
small images; flows and a table of chance, with categories and gaps; rows for a dictionary. What would run for ever (the
server, a stream that follows a file) is started, asked, and interrupted. A command that fails ends the walk.

    NARROWS_DATA=... python benchmarks/walk.py

records which commands ran and how long each took, about an hour and a half in all. ``--short`` gives each training a
few seconds and records nothing.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from record import ROOT, record

SHORT = "--minutes 0.1"
PAGE = "http://127.0.0.1:8000"
SIDE, CROPS = 32, 600
ROWS, NEW = 3000, 200
PATIENCE = 120.0  # seconds until what was started answers


def commands(text: str) -> list[str]:
    """Command lines of a document: those after a prompt, and indented ones of narrows; without their comments."""
    found = re.findall(r"^(?:\$ |    (?=narrows ))(.*)$", text, re.MULTILINE)
    return [re.sub(r"\s+# .*$", "", line) for line in found]


def bring_files(folder: Path) -> None:
    """Write what the commands read."""
    random, photographs = np.random.default_rng(0), load_sample_images().images
    for name, changed in (("photographs", 0.0), ("noisy", 25.0)):
        (folder / name).mkdir()
        for place, pixels in enumerate(photographs):
            noisy = pixels + changed * random.standard_normal(pixels.shape)
            Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8)).save(folder / name / f"{place}.png")
    for name in ("photos", "images"):
        (folder / name).mkdir()
        for place in range(CROPS):
            whole = photographs[place % 2]
            top, left = (int(random.integers(0, length - SIDE)) for length in whole.shape[:2])
            Image.fromarray(whole[top : top + SIDE, left : left + SIDE]).save(folder / name / f"{place:04}.png")
    for name, rows in (("flows.csv", ROWS), ("flows.log", NEW), ("new.csv", NEW)):
        (folder / name).write_text(flows(random, rows))
    (folder / "table.csv").write_text(table(random, ROWS))
    mixed = random.exponential(1.0, (20_000, 256)) * (random.random((20_000, 256)) < 4 / 256)
    np.save(folder / "rows.npy", (mixed @ random.standard_normal((256, 64))).astype(np.float32))


def flows(random: np.random.Generator, rows: int) -> str:
    """Flows as CSV, with the columns of the README's request: a service, and the bytes that it answers."""
    kinds, sizes = random.integers(0, 3, rows), random.standard_normal(rows)
    out = np.exp(np.array([5, 9, 7])[kinds] + 0.5 * sizes).astype(int)
    services = np.array(["dns", "http", "ssh"])[kinds]
    lines = (f"{service},{count}" for service, count in zip(services, out, strict=True))
    return "\n".join(["service,bytes_out", *lines]) + "\n"


def table(random: np.random.Generator, rows: int) -> str:
    """Columns that tell of each other, a tenth of their cells gone."""
    x = random.standard_normal((rows, 1)) @ np.array([[1.0, 2.0, -1.0]]) + 0.3 * random.standard_normal((rows, 3))
    cells = [[f"{cell:.3f}" for cell in row] + ["high" if row[0] > 0 else "low"] for row in x]
    gone = random.random((rows, 4)) < 0.1
    cells = np.where(gone, "", np.array(cells))
    return "\n".join(["a,b,c,level", *map(",".join, cells)]) + "\n"


@contextmanager
def started(line: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command that does not end by itself; interrupted at the end, as a person would."""
    process = subprocess.Popen(["bash", "-c", line], cwd=folder, start_new_session=True, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(PATIENCE)


def until(true: Any, what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not come within {PATIENCE:.0f} s")
        time.sleep(0.2)


def ran(line: str, folder: Path) -> None:
    """Run a command that ends; one that fails ends the walk."""
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{line}\nended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def page_is_there() -> bool:
    """Whether a browser would be given the explorer."""
    asked = urllib.request.Request(PAGE, headers={"Accept": "text/html"})
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return b"<title>narrows explorer" in answer.read()
    except OSError:
        return False


def followed(line: str, folder: Path) -> None:
    """A stream that follows a file: it has scored what there is, and is interrupted."""
    scores = folder / "scores.jsonl"
    with started(line, folder):
        until(lambda: scores.exists() and len(scores.read_bytes().splitlines()) == NEW, f"{line}: {NEW} scores")


def served(line: str, then: list[str], folder: Path) -> None:
    """The server gives its page, and answers the command that the README shows after it."""
    with started(line, folder):
        until(page_is_there, f"{line}: its page")
        for asked in then:
            ran(f"{asked} --fail-with-body --silent", folder)


def walk(folder: Path, short: bool) -> list[dict[str, Any]]:
    """Take all commands, in their order."""
    lines = commands((ROOT / "README.md").read_text(encoding="utf-8"))
    taken = []
    for place, line in enumerate(lines):
        if line.startswith("curl "):  # taken with the server before it
            continue
        given = shortened(line) if short else line
        print(given, file=sys.stderr, flush=True)
        began = time.perf_counter()
        if line.startswith("tail "):
            followed(given, folder)
        elif line.startswith("narrows serve "):
            served(given, list(itertools.takewhile(lambda one: one.startswith("curl "), lines[place + 1 :])), folder)
        else:
            ran(given, folder)
        taken.append({"command": line, "seconds": round(time.perf_counter() - began, 1)})
    return taken


def shortened(line: str) -> str:
    """A training of a few seconds; detectors have one length, and other commands their own."""
    if not line.startswith("narrows train ") or "detector" in line:
        return line
    return re.sub(r"--minutes \S+", SHORT, line) if "--minutes" in line else f"{line} {SHORT}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="a few seconds for each training; not recorded")
    options = parser.parse_args()
    os.environ["BROWSER"] = "true"  # --open has nobody to show the page to
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        bring_files(Path(name))
        taken = walk(Path(name), options.short)
    print(f"{len(taken)} commands ran")
    if not options.short:
        protocol = "every command line of README.md, in its order; curl with the server; seconds, wall"
        record("walk", {"ran": len(taken), "commands": taken}, seconds=time.perf_counter() - began, protocol=protocol)


if __name__ == "__main__":
    main()
