"""Train each recipe once in peace, and once killed at five random moments and resumed; write both models.

    python tests/killed_run.py FOLDER SEED

Each training is a process of its own. It is killed (SIGKILL) a random time after a random number of its checkpoints, so
that kills fall into steps, validations and the writing of checkpoints alike.
"""

import math
import os
import random
import signal
import sys
import time
from pathlib import Path

from sklearn.datasets import load_digits

import narrows.train
from narrows import filters
from narrows.checkpoint import FILE
from narrows.data.schema import infer_schema
from narrows.fit import fit
from narrows.persist import save
from narrows.plan import Plan

KILLS = 5
EPOCHS = 6
INTERVAL_STEPS = 10
CHECKPOINTS = EPOCHS * 7  # of 68 batches an epoch
# Between them they hold every kind of state: running means, codebook use, running statistics, averages, momentum,
# both moments, noise for codes and corruption, a schedule that waits.
RECIPES = {
    "kl-sparse": (
        {"latent": "kl-sparse", "corruption": "gaussian", "corruption.sigma": 0.2},
        {"optimizer": "adam", "average": 0.99, "schedule": "plateau", "rate": 3e-3},
    ),
    "vq": (
        {"latent": "vq", "latent.entries": 16, "corruption": "mask", "likelihood": "gaussian"},
        {"optimizer": "sgd", "average": 0.9, "schedule": "cosine", "online": True},
    ),
}


def train(recipe: str, folder: Path, name: str, *, resume: bool) -> int:
    """Start a training in a process of its own; return the process."""
    process = os.fork()
    if process:
        return process
    filters.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    narrows.train.INTERVAL_STEPS = INTERVAL_STEPS
    settings, plan = RECIPES[recipe]
    rows = load_digits().data[:300].astype("uint8")
    common = {"epochs": EPOCHS, "batch_size": 4, "validation": 0.1, "patience": 1000, "precision": "float32"}
    plan = Plan(**common, **plan, checkpoint=folder / name, resume=resume)
    schema = infer_schema(rows, kind="levels")
    save(fit(rows, schema, "autoencoder", {"network.width": 16, **settings}, plan), folder / f"{name}.safetensors")
    os._exit(0)


def written(path: Path) -> tuple[int, int]:
    """What changes when a checkpoint takes the place of the one before."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return status.st_ino, status.st_mtime_ns


def kill_after(process: int, path: Path, checkpoints: int, seconds: float) -> None:
    """Kill so many seconds after so many checkpoints, or two checkpoints later where that is sooner."""
    last, seen, moment = written(path), 0, math.inf
    while seen < checkpoints + 2 and time.monotonic() < moment:
        now = written(path)
        seen, last = seen + (now != last), now
        if seen == checkpoints and moment == math.inf:
            moment = time.monotonic() + seconds
        if os.waitpid(process, os.WNOHANG)[0]:
            sys.exit("a training ended before it was killed")
        time.sleep(0.0005)
    os.kill(process, signal.SIGKILL)
    if not os.WIFSIGNALED(os.waitpid(process, 0)[1]):
        sys.exit("a training ended just as it was killed")


def main(folder: Path, seed: int) -> None:
    moments = random.Random(seed)
    for recipe in RECIPES:
        (folder / recipe).mkdir()
        began = time.time()
        os.waitpid(train(recipe, folder / recipe, "whole", resume=False), 0)
        pause = ((folder / recipe / "whole" / FILE).stat().st_mtime - began) / CHECKPOINTS
        for kill in range(KILLS):
            process = train(recipe, folder / recipe, "killed", resume=kill > 0)
            path, checkpoints, late = folder / recipe / "killed" / FILE, moments.randint(1, 3), moments.uniform(0, 1.5)
            kill_after(process, path, checkpoints, late * pause)
        os.waitpid(train(recipe, folder / recipe, "killed", resume=True), 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
