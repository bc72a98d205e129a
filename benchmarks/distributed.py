"""Several workers under torchrun: the loss of one process, a worker killed, and a shard that cannot be read.

Two gloo workers on this machine, started by ``torchrun -m narrows train`` with the options of one process:

- curve: 200 steps on the embedded images, the figures of each step beside those of one process, with 64 hidden units.
  The width was chosen after the usual 512 had failed, whose curve is recorded as well: there Adam makes a difference of
  1e-4 in 100 steps of a gradient that is off by a rounding, 6e-8, in one process as well.
- kill: a worker is ended by SIGKILL in the middle; the engine starts both again with the same command line, they go on
  from the last checkpoint, and every tensor of the model file is compared with that of an undisturbed run.
- shards: one of four files is damaged; training refuses with one line that names it, and with --skip-bad-shards ends
  on the rows of the other three.

    python benchmarks/distributed.py

records all of it and fails where something is not as it must be.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from narrows.checkpoint import FILE
from record import record
from resume import compare

STEPS = 200
BATCH = 36  # 200 batches of the 7,200 training rows
EPOCHS = 6  # of the run that is killed
WORKERS = 2
TOLERANCE = 1e-4
WIDTH, USUAL_WIDTH = 64, 512
TRAIN = ["--preset", "variational", "--precision", "float32"]


NARROWS = ["-m", "narrows"]
CLOSELY = [__file__, "--closely"]  # narrows, its figures told after every step


def engine(words: list[str], program: list[str] = NARROWS, restarts: int = 0) -> list[str]:
    """The command line of one process, under torchrun."""
    options = ["--standalone", "--nproc-per-node", str(WORKERS), "--max-restarts", str(restarts)]
    return [sys.executable, "-m", "torch.distributed.run", *options, *program, *words]


def closely(words: list[str]) -> None:
    """Run narrows; an interval, after which figures are told, is of one step."""
    import narrows.train
    from narrows.cli import main

    narrows.train.INTERVAL_STEPS = 1
    main(words)


def train(data: str, model: Path, *more: str, width: int = WIDTH) -> list[str]:
    network = ("--set", "network=mlp", f"network.width={width}")
    return ["train", data, "-o", str(model), *TRAIN, *network, "--batch-size", str(BATCH), *more]


def ran(line: list[str], *, fails: bool = False) -> str:
    """Run a command line; return what it said on standard error."""
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if bool(done.returncode) != fails:
        raise SystemExit(done.stderr)
    return done.stderr


def narrows_lines(said: str) -> list[str]:
    """What workers themselves said, beside the engine's own words."""
    return [line for line in said.splitlines() if line.startswith("narrows:")]


def figures_of(log: Path) -> np.ndarray:
    """Nats, distortion and rate of each step, (steps, 3)."""
    entries = [json.loads(line)["training"] for line in log.read_text().splitlines()]
    return np.array([[entry[name] for name in ("nats", "distortion", "rate")] for entry in entries])[:STEPS]


def curve(folder: Path, width: int = WIDTH) -> dict[str, Any]:
    """The figures of 200 steps, by two workers and by one process."""
    found = {}
    for name in ("alone", "together"):
        log = folder / f"{name}.jsonl"
        words = train("fashion-sample", folder / f"{name}.safetensors", "--epochs", "1", "--log", str(log), width=width)
        ran([sys.executable, *CLOSELY, *words] if name == "alone" else engine(words, ["--", *CLOSELY]))
        found[name] = figures_of(log)
    relative = np.abs(found["together"] - found["alone"]) / np.abs(found["alone"])
    files = [folder / f"{name}.safetensors" for name in ("alone", "together")]
    return {
        "steps": len(relative),
        "nats_at_the_first_step": found["alone"][0, 0],
        "nats_at_the_last_step": found["alone"][-1, 0],
        "largest_relative_difference_nats": relative[:, 0].max(),
        "largest_relative_difference_rate": relative[:, 2].max(),
        "largest_difference_of_weights": largest_difference(*files),
    }


def curve_of_the_usual_width(folder: Path) -> dict[str, Any]:
    """The same with 512 hidden units."""
    return curve(folder, USUAL_WIDTH)


def largest_difference(one: Path, other: Path) -> float:
    from narrows.persist import read_tensors

    first, second = (read_tensors(path, what="model")[0] for path in (one, other))
    names = [name for name in first if name.startswith("model.") and first[name].is_floating_point()]
    return max(float((first[name] - second[name]).abs().max()) for name in names)


def children_of(process: int) -> list[int]:
    """Processes that a process started, by their ids."""
    told = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in told.split()]


def rank_of(process: int) -> str | None:
    words = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return next((word[5:].decode() for word in words if word.startswith(b"RANK=")), None)


def kill(folder: Path) -> dict[str, Any]:
    """One worker killed after the first checkpoint, and what the engine makes of it."""
    options = ["--epochs", str(EPOCHS), "--patience", "1000"]
    whole, killed = (folder / f"{name}.safetensors" for name in ("whole", "killed"))
    ran(engine(train("fashion-sample", whole, *options, "--checkpoint", str(folder / "whole"))))
    words = train("fashion-sample", killed, *options, "--checkpoint", str(folder / "killed"))
    began = time.perf_counter()
    process = subprocess.Popen(engine(words, restarts=1), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    written = folder / "killed" / FILE
    while not written.exists():
        if process.poll() is not None:
            raise SystemExit("the training ended before it was killed")
        time.sleep(0.01)
    (victim,) = [child for child in children_of(process.pid) if rank_of(child) == "1"]
    shutil.copy(written, folder / "at-the-kill.safetensors")
    os.kill(victim, signal.SIGKILL)
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(said)
    from narrows.persist import read_tensors

    numbers = read_tensors(folder / "at-the-kill.safetensors", what="checkpoint")[1]["numbers"]
    return {
        **compare(whole, killed),
        "killed_rank": 1,
        "checkpoint_step": numbers["step"],
        "steps": read_tensors(killed, what="model")[1]["record"]["steps"],
        "seconds": round(time.perf_counter() - began, 1),
        "said": [line.partition("(")[0].strip() for line in narrows_lines(said)],
    }


def shards(folder: Path) -> dict[str, Any]:
    """A damaged shard, refused and skipped, by two workers."""
    import pyarrow as pa
    from pyarrow import parquet

    random = np.random.default_rng(0)
    (folder / "four").mkdir()
    for place in range(4):
        columns = {column: random.normal(size=300) for column in "abcdef"}
        parquet.write_table(pa.table(columns), folder / "four" / f"part-{place}.parquet")
    damaged = folder / "four" / "part-2.parquet"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    refused = narrows_lines(ran(engine(train(str(folder / "four"), folder / "no.safetensors")), fails=True))
    skipped = folder / "skipped.safetensors"
    ran(engine(train(str(folder / "four"), skipped, "--epochs", "2", "--skip-bad-shards")))
    from narrows.persist import read_tensors

    return {
        "refused": [line.replace(str(folder), "...") for line in refused],
        "named": len(refused) == 1 and "part-2.parquet" in refused[0],
        "nothing_written": not (folder / "no.safetensors").exists(),
        "rows_without_it": read_tensors(skipped, what="model")[1]["record"]["data"]["rows"],
    }


def main() -> None:
    if sys.argv[1:2] == ["--closely"]:
        closely(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    began = time.perf_counter()
    figures = {}
    with tempfile.TemporaryDirectory() as path:
        for part in (curve, curve_of_the_usual_width, kill, shards):
            folder = Path(path) / part.__name__
            folder.mkdir()
            figures[part.__name__] = part(folder)
            print(part.__name__, json.dumps(figures[part.__name__], default=float, indent=2), flush=True)
    protocol = (
        f"two gloo workers on one machine, float32; curve: fashion-sample, {' '.join(TRAIN)}, mlp of width {WIDTH}, "
        f"batch {BATCH}, figures of each step; kill: {EPOCHS} epochs, rank 1 ended by SIGKILL after the first "
        f"checkpoint, torchrun --max-restarts 1; every tensor of the two model files compared byte for byte; shards: "
        f"one of four Parquet files cut short"
    )
    record("distributed", figures, seconds=time.perf_counter() - began, protocol=protocol)
    good = (
        figures["curve"]["largest_relative_difference_nats"] < TOLERANCE,
        figures["kill"]["identical"] and figures["kill"]["steps"] > figures["kill"]["checkpoint_step"] > 0,
        figures["shards"]["named"] and figures["shards"]["nothing_written"],
        figures["shards"]["rows_without_it"] == 900,
    )
    if not all(good):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
