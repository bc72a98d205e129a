"""A training killed (SIGKILL) at five random moments and resumed ends as if left in peace, byte for byte.

Both are ``narrows train`` on the embedded images. The moments are drawn over the time that the undisturbed training
took; each kill ends the process wherever it is, in a step, a validation or the writing of a checkpoint.

    python benchmarks/resume.py

records the moments, what each kill left, and whether all weights are equal; it fails if they are not. With other
``--epochs`` or another ``--seed`` it prints and does not record.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from narrows.checkpoint import FILE
from narrows.persist import read_tensors
from record import record

DATA = "fashion-sample"
OPTIONS = ["--preset", "variational", "--set", "network=mlp"]
EPOCHS = 60
KILLS = 5
SEED = 0


def command(folder: Path, name: str, epochs: int, *words: str) -> list[str]:
    paths = ["-o", str(folder / f"{name}.safetensors"), "--checkpoint", str(folder / name)]
    return [sys.executable, "-m", "narrows", "train", DATA, *paths, *OPTIONS, "--epochs", str(epochs), "--json", *words]


def whole(words: list[str]) -> tuple[float, float]:
    """Train to the end; return the seconds that the process took, and those of them that were training."""
    began = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - began, json.loads(done.stdout)["seconds"]


def killed(words: list[str], seconds: float) -> float:
    """Train, and kill after so many seconds; return how many they were."""
    began = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        lived = time.perf_counter() - began
        if process.returncode != -signal.SIGKILL:
            raise SystemExit("the training ended just as it was to be killed; take another --seed") from None
        return lived
    raise SystemExit(f"the training ended before it was killed; take another --seed or more --epochs\n{said}")


def left(folder: Path) -> dict[str, Any]:
    """What a kill left: where the checkpoint stands, and whether the next one was being written."""
    if not (folder / FILE).exists():
        return {"checkpoint_step": 0, "checkpoint_epoch": 0, "checkpoint_row": 0, "in_a_write": False}
    numbers = read_tensors(folder / FILE, what="checkpoint")[1]["numbers"]
    return {
        "checkpoint_step": numbers["step"],
        "checkpoint_epoch": numbers["epoch"],
        "checkpoint_row": numbers["position"],
        "in_a_write": any(path.name != FILE for path in folder.iterdir()),
    }


def compare(one: Path, other: Path) -> dict[str, Any]:
    """Every tensor of two model files, byte for byte."""
    first, second = (read_tensors(path, what="model")[0] for path in (one, other))
    pairs = {
        name: (tensor.numpy().tobytes(), second[name].numpy().tobytes())
        for name, tensor in first.items()
        if name in second
    }
    differing = [name for name, (a, b) in pairs.items() if a != b or first[name].dtype != second[name].dtype]
    return {
        "identical": not differing and first.keys() == second.keys(),
        "tensors": len(pairs),
        "bytes": sum(len(a) for a, _ in pairs.values()),
        "differing": differing,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=SEED, help="of the moments")
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        process_seconds, training_seconds = whole(command(folder, "whole", options.epochs))
        # Over the first three fifths, lest a run on a machine that has since become less busy ends before its kill.
        chance = random.Random(options.seed)
        moments = sorted(chance.uniform(0, 0.6 * training_seconds) for _ in range(KILLS))
        start = process_seconds - training_seconds
        kills = []
        for before, moment in zip([0.0, *moments], moments, strict=False):
            lived = killed(command(folder, "killed", options.epochs, "--resume"), start + moment - before)
            kills.append(
                {"moment_seconds": round(moment, 3), "lived_seconds": round(lived, 3), **left(folder / "killed")}
            )
            print(kills[-1], file=sys.stderr, flush=True)
        last_seconds, _ = whole(command(folder, "killed", options.epochs, "--resume"))
        equality = compare(folder / "whole.safetensors", folder / "killed.safetensors")
        figures = {
            **equality,
            "kills": kills,
            "undisturbed_seconds": round(process_seconds, 3),
            "undisturbed_training_seconds": round(training_seconds, 3),
            "killed_seconds": round(sum(kill["lived_seconds"] for kill in kills) + last_seconds, 3),
        }
    if (options.epochs, options.seed) == (EPOCHS, SEED):
        protocol = (
            f"narrows train {DATA} {' '.join(OPTIONS)} --epochs {EPOCHS} --checkpoint, checkpoints every 5 seconds; "
            f"five SIGKILLs at moments drawn evenly over three fifths of the undisturbed training, each followed "
            f"by --resume; every tensor of the two model files compared byte for byte"
        )
        record("resume", figures, seconds=time.perf_counter() - began, protocol=protocol)
    print(json.dumps(figures, indent=2))
    if not equality["identical"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
