"""Millions of rows in shards, scored by two workers under Ray, one of which is killed, beside a single process.

Shards are made by chance: ten columns that hang together as those of network flows do (sizes and times of heavy tails,
counts, shares), one row in a thousand of another kind. A detector learns from other rows of the same law. Then

- alone: narrows detect MODEL shards -o alone
- ray: the same with --engine ray --workers 2, and a worker ended by SIGKILL when a quarter of the outputs is there
- again: three outputs removed, the same line once more

and every output is compared with that of the single process: rows, their order, scores, verdicts and reasons.

    python benchmarks/ray_shards.py

records all of it and fails where a row is missing, there twice, or different.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from distributed import children_of
from record import record
from running import narrows

ROWS, SHARDS, WORKERS = 10_000_000, 40, 2
GROUP = 2**16  # rows of a row group
TRAINING = 100_000
PRESET = "detector-fast"
TOLERANCE = 1e-6
FAULTS = ("rows_", "outputs_", "shards_", "verdicts_", "reasons_")
COLUMNS = ("seconds", "bytes_out", "bytes_in", "packets_out", "packets_in", "rate", "gap", "errors", "share", "port")


def flows(n: int, seed: int) -> pa.Table:
    """Rows of a law with heavy tails; one in a thousand breaks it."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, 4, n)
    seconds = np.exp(random.normal(kind - 1.0, 1.0, n))
    sent = np.exp(random.normal(5 + kind, 0.7, n)) * np.sqrt(seconds)
    back = sent * np.exp(random.normal(1.0 - kind, 0.4, n))
    odd = random.random(n) < 1e-3
    back[odd] = sent[odd] * np.exp(random.normal(6.0, 1.0, odd.sum()))
    out, into = (np.ceil(amount / random.uniform(400, 1400, n)) for amount in (sent, back))
    cells = [
        *(seconds, sent, back, out, into, (sent + back) / seconds, seconds / (out + into)),
        *(random.poisson(0.02 * out), out / (out + into), kind * 1000.0 + random.integers(0, 3, n)),
    ]
    return pa.table(dict(zip(COLUMNS, cells, strict=True)))


def make_shards(folder: Path, rows: int, shards: int) -> None:
    """Write the shards one by one, each of its own seed."""
    folder.mkdir()
    bounds = [rows * place // shards for place in range(shards + 1)]
    for place in range(shards):
        table = flows(bounds[place + 1] - bounds[place], 1000 + place)
        parquet.write_table(table, folder / f"part-{place:04d}.parquet", row_group_size=GROUP)


def started(*words: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "narrows", *words, "--json"]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, said = process.communicate()
    if process.returncode or said:
        raise SystemExit(said or f"status {process.returncode}")
    result: dict[str, Any] = json.loads(out)
    return result


def actors_under(process: int) -> list[int]:
    """Processes below one that are Ray's workers with a model in them."""
    found, new = [], [process]
    while new:
        new = [child for parent in new for child in _children(parent)]
        found += [one for one in new if _name(one).startswith("ray::") and "Worker" in _name(one)]
    return found


def _children(process: int) -> list[int]:
    try:
        return children_of(process)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def with_a_worker_killed(words: list[str], output: Path, at: int) -> dict[str, Any]:
    """Run a line under Ray, and kill a worker when so many outputs are there."""
    began = time.perf_counter()
    process = started(*words)
    while len(list(output.glob("part-*"))) < at:
        if process.poll() is not None:
            ended(process)
            raise SystemExit("the work was done before a worker was killed")
        time.sleep(0.02)
    there = len(list(output.glob("part-*")))
    victim = actors_under(process.pid)[0]
    os.kill(victim, signal.SIGKILL)
    told = ended(process)
    return {
        **{name: told[name] for name in ("shards", "made", "rows", "anomalies")},
        "outputs_at_the_kill": there,
        "seconds": round(time.perf_counter() - began, 1),
    }


def compared(shards: Path, alone: Path, under_ray: Path) -> dict[str, Any]:
    """Every output beside that of the single process, and beside its shard."""
    figures: dict[str, Any] = {"rows": 0, "rows_missing": 0, "rows_twice": 0, "identical_files": 0}
    figures |= {"largest_relative_difference": 0.0, "verdicts_that_differ": 0, "reasons_that_differ": 0}
    figures["outputs_without_a_shard"] = len(_names(under_ray) - _names(shards))
    figures["shards_without_an_output"] = len(_names(shards) - _names(under_ray))
    for name in sorted(_names(under_ray) & _names(shards)):
        one, other = (parquet.read_table(folder / name) for folder in (alone, under_ray))
        expected = parquet.read_metadata(shards / name).num_rows
        places, times = np.unique(other["row"].to_numpy(), return_counts=True)
        figures["rows"] += len(other)
        figures["rows_missing"] += expected - int((places < expected).sum())
        figures["rows_twice"] += int((times > 1).sum())
        figures["identical_files"] += (alone / name).read_bytes() == (under_ray / name).read_bytes()
        scores = [table["score"].to_numpy() for table in (one, other)]
        worst = np.abs(scores[0] - scores[1]) / np.maximum(np.abs(scores[0]), 1e-300)
        worst[scores[0] == scores[1]] = 0.0
        figures["largest_relative_difference"] = max(figures["largest_relative_difference"], float(worst.max()))
        figures["verdicts_that_differ"] += int((one["anomaly"].to_numpy() != other["anomaly"].to_numpy()).sum())
        reasons = zip(one["reason"].to_pylist(), other["reason"].to_pylist(), strict=True)
        figures["reasons_that_differ"] += sum(first != second for first, second in reasons)
    return figures


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith("_")}


def again(words: list[str], output: Path) -> dict[str, Any]:
    """Three outputs removed, and the same line: those three are made, and no other is touched."""
    files = sorted(output.glob("part-*"))
    for path in files[1:4]:
        path.unlink()
    times = {path: path.stat().st_mtime_ns for path in files[4:]}
    told = ended(started(*words))
    touched = sum(path.stat().st_mtime_ns != time for path, time in times.items())
    return {"made": told["made"], "found": told["found"], "outputs_touched_that_were_there": touched}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--shards", type=int, default=SHARDS)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder unless given")
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=options.folder) as path:
        folder = Path(path)
        shards, model, alone, under_ray = (str(folder / name) for name in ("shards", "d.safetensors", "alone", "ray"))
        make_shards(Path(shards), options.rows, options.shards)
        parquet.write_table(flows(TRAINING, 1), folder / "training.parquet")
        narrows("train", str(folder / "training.parquet"), "--preset", PRESET, "-o", model)
        start = time.perf_counter()
        told = narrows("detect", model, shards, "-o", alone)
        figures: dict[str, Any] = {
            "alone": {"rows": told["rows"], "anomalies": told["anomalies"]},
            "seconds_alone": round(time.perf_counter() - start, 1),
        }
        words = ["detect", model, shards, "-o", under_ray, "--engine", "ray", "--workers", str(WORKERS)]
        figures["ray"] = with_a_worker_killed(words, Path(under_ray), max(1, options.shards // 4))
        figures["compared"] = compared(Path(shards), Path(alone), Path(under_ray))
        figures["again"] = again(words, Path(under_ray))
        figures["compared_again"] = compared(Path(shards), Path(alone), Path(under_ray))
    print(json.dumps(figures, indent=2))
    protocol = (
        f"{options.rows} rows of {len(COLUMNS)} columns in {options.shards} Parquet shards made by chance; {PRESET} on "
        f"{TRAINING} other rows; narrows detect by one process, and under Ray with {WORKERS} workers on this machine, "
        f"one of them ended by SIGKILL; seconds from the start of the command to its end"
    )
    if not options.no_record:
        record("ray_shards", figures, seconds=time.perf_counter() - began, protocol=protocol)
    for name in ("compared", "compared_again"):
        found = figures[name]
        bad = [
            key
            for key in found
            if key.startswith(("rows_", "outputs_", "shards_", "verdicts_", "reasons_")) and found[key]
        ]
        if bad or found["rows"] != options.rows or found["largest_relative_difference"] > TOLERANCE:
            raise SystemExit(f"{name}: {bad or found}")


if __name__ == "__main__":
    main()
