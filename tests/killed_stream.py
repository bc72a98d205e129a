"""Stream a file once in peace, and once killed at random moments and resumed; both leave an output and a state.

    python tests/killed_stream.py FOLDER SEED KILLS WORDS...

FOLDER holds m.safetensors and data.csv; the words are further ones of ``narrows stream``. Each run is a process of its
own, killed (SIGKILL) a random time after its output has come to a random length.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import scipy.stats  # noqa: F401  what a run imports is imported once for all
import torch

from narrows.cli import run


def start(folder: Path, name: str, words: list[str]) -> int:
    """Start a run in a process of its own; return the process."""
    process = os.fork()
    if process:
        return process
    # Both runs are told the same names, which the state holds.
    (folder / name).mkdir(exist_ok=True)
    os.chdir(folder / name)
    paths = ["--input", "../data.csv", "-o", "out.jsonl", "--state", "state.safetensors"]
    os._exit(run(["stream", "../m.safetensors", *paths, *words]))


def ended(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kill_at(process: int, output: Path, size: int, late: float) -> bool:
    """Kill so many seconds after the output has come to a size; return whether the process was still there."""
    while not (output.exists() and output.stat().st_size >= size):
        if os.waitpid(process, os.WNOHANG)[0]:
            return False
        time.sleep(0.0005)
    time.sleep(late)
    os.kill(process, signal.SIGKILL)
    return ended(process) == -signal.SIGKILL


def main(folder: Path, seed: int, kills: int, words: list[str]) -> None:
    torch.set_num_threads(1)
    chance = random.Random(seed)
    if ended(start(folder, "whole", words)):
        sys.exit("the undisturbed run failed")
    size = (folder / "whole" / "out.jsonl").stat().st_size
    killed = 0
    for share in sorted(chance.uniform(0, 0.8) for _ in range(kills)):
        process = start(folder, "killed", words)
        killed += kill_at(process, folder / "killed" / "out.jsonl", int(share * size), chance.uniform(0, 0.02))
    if ended(start(folder, "killed", words)):
        sys.exit("the last run failed")
    print(f"{killed} killed")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
