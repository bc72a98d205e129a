"""Train each recipe in one process and by three workers, then do to workers what goes wrong; write what came of it.

    python tests/three_workers.py FOLDER

Workers are forked, with what torchrun would tell them in their environment, so that libraries are imported once.
"""

import importlib
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pyarrow import parquet
from sklearn.datasets import load_digits
from torch import nn

import narrows.train
from narrows import filters
from narrows.cli import run
from narrows.data import filed
from narrows.data.schema import infer_schema
from narrows.errors import InputError
from narrows.fit import fit
from narrows.launch import joined
from narrows.model import Model
from narrows.noise import DealtNoise
from narrows.plan import Plan
from narrows.presets import choose
from narrows.train import Run
from narrows.values import Clock
from narrows.workers import ALONE, Workers

COUNT = 3
KILLED_AT = 40  # steps, of 72
SECONDS = 600  # after which a worker that hangs is given up
DIGITS = load_digits()
IMAGES = DIGITS.images[:83].astype("uint8")
ROWS = np.random.default_rng(0).normal(size=(80, 5)).astype("float32") @ np.diag([1, 2, 3, 4, 5]).astype("float32")
SMALL = {"network": "mlp", "network.width": 8, "network.depth": 1}
# Between them they hold every part that asks of its batch as a whole, and every way in which batches come.
RECIPES = {
    "plain": ("autoencoder", {**SMALL, "corruption": "gaussian"}, {}),
    "salt": ("autoencoder", {**SMALL, "corruption": "salt-and-pepper"}, {}),
    "poisson": ("denoising", {**SMALL, "corruption": "poisson"}, {"images": True}),
    "recorrupted": (
        "autoencoder",
        {**SMALL, "corruption": "recorrupted", "corruption.sigma": None, "likelihood": "gaussian"},
        {"images": True},
    ),
    "variational": ("variational", {**SMALL, "latent.size": 3}, {"average": 0.9, "schedule": "plateau"}),
    "one at a time": ("variational", {**SMALL, "latent.size": 3}, {"batch_size": 1, "epochs": 1}),
    "full": ("variational", {**SMALL, "latent.size": 3}, {"batch_size": "full", "epochs": 20, "validation": 0.0}),
    "online": ("variational", {**SMALL, "latent.size": 3}, {"online": True, "optimizer": "sgd", "rate": 0.01}),
    "vamp": ("vamp", {**SMALL, "latent.size": 3, "latent.prior.components": 4}, {"rate": "auto"}),
    "iwae": ("iwae", {**SMALL, "latent.size": 3}, {}),
    "constrained": ("variational", {**SMALL, "latent.size": 3, "objective": "constrained"}, {}),
    "kl-sparse": ("autoencoder", {**SMALL, "latent": "kl-sparse"}, {}),
    "batch-top-k": (
        "autoencoder",
        {**SMALL, "latent": "batch-top-k", "latent.dead_after": 40, "latent.floor": 0.3},
        {},
    ),
    "jump-relu": ("autoencoder", {**SMALL, "latent": "jump-relu", "latent.dead_after": 40}, {}),
    "vq": ("vq", {**SMALL, "latent.entries": 24, "latent.vectors": 3}, {}),
    "score": (
        "discrete",
        {**SMALL, "latent.size": 4, "gradient": "score", "gradient.baseline": "learned", "objective.samples": 2},
        {"optimizer": "sgd", "rate": 0.01},
    ),
    "local": ("compressor", {"likelihood.width": 8, "likelihood.depth": 1, "likelihood.reach": 1}, {"images": True}),
    "labels": ("conditional", {**SMALL, "latent.size": 6}, {"images": True, "labels": True}),
}


def fork(work: Callable[[], int], said: Path, **environment: str) -> int:
    """Do some work in a process of its own, whose words go to a file; return the process."""
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        os.environ.update(environment)
        for stream, place in ((1, os.devnull), (2, said)):
            os.dup2(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        signal.alarm(SECONDS)
        status = work()
    finally:
        sys.stderr.flush()
        os._exit(status)


def workers(work: Callable[[], int], folder: Path, again: int = 0) -> list[int]:
    """Start three workers; return their processes."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "TORCHELASTIC_RUN_ID": "test",
        "TORCHELASTIC_RESTART_COUNT": str(again),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(COUNT),
        "LOCAL_WORLD_SIZE": str(COUNT),
    }
    return [fork(work, folder / f"said{rank}", **common, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(COUNT)]


def ended(processes: list[int]) -> list[int]:
    """Exit status of each; minus the signal that ended it."""
    return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]


def curves(folder: Path, group: Workers) -> None:
    """Train every recipe; the first worker writes the figures of each step, and the weights."""
    for name, (preset, settings, changes) in RECIPES.items():
        changes = dict(changes)
        images, labelled = changes.pop("images", False), changes.pop("labels", False)
        values = IMAGES.reshape(len(IMAGES), 1, 8, 8) if images else ROWS
        schema = infer_schema(IMAGES if images else ROWS, kind="levels" if images else None)
        labels = DIGITS.target[: len(IMAGES)] % 3 if labelled else None
        plan = Plan(**{"batch_size": 10, "epochs": 2, "rate": 3e-3, "precision": "float32", "patience": 99, **changes})
        told: list[float] = []

        def watch(progress, told=told):
            for now in progress:
                told.append(now.training.nats)
                yield now

        fitted = fit(values, schema, preset, settings, plan, watch, labels=labels, workers=group)
        if group.first:
            np.savez(
                folder / f"{name}.npz",
                curve=told,
                held_out=[entry["validation"]["nats"] for entry in fitted.record["history"] if entry["validation"]],
                weights=torch.cat([tensor.flatten().double() for tensor in fitted.model.state_dict().values()]),
            )


def train_together(folder: Path) -> int:
    with joined("cpu") as group:
        curves(folder, group)
    return 0


class Loss(nn.Module):
    """The loss as one forward call, which is what DistributedDataParallel wants."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, rows: torch.Tensor, noise: DealtNoise) -> torch.Tensor:
        return self.model.loss(rows, noise, Clock())[0]


def small_model() -> Model:
    schema = infer_schema(ROWS)
    model = Model(choose("variational", schema, {**SMALL, "latent.size": 3}), schema).train()
    model.adapt(torch.from_numpy(ROWS))
    return model


def oracle(folder: Path) -> int:
    """The gradient of one batch, by us, by torch's DistributedDataParallel, and of the whole batch; and agreement."""
    rows = torch.from_numpy(ROWS[:12])
    with joined("cpu") as group:
        ours, theirs, whole = (Loss(small_model()) for _ in range(3))
        with group.step(len(rows)) as weight:
            (ours(group.mine(rows), DealtNoise(0)) * weight).backward()
            wrapped = nn.parallel.DistributedDataParallel(theirs)
            wrapped(group.mine(rows), DealtNoise(0)).backward()
        # Its end must not be that of the group: it would wait for the group's thread, which may wait for Python.
        del wrapped
        group.add_up(ours.parameters())
        whole(rows, DealtNoise(0)).backward()
        found = [torch.cat([p.grad.flatten() for p in loss.parameters()]) for loss in (ours, theirs, whole)]
        met = "nothing"
        try:
            with group.together():
                if group.rank == 1:
                    raise InputError("the second worker met it")
        except InputError as error:
            met = f"{type(error).__name__}: {error}"
        other = "nothing"
        try:
            group.agree({"seed": 0, "data": group.rank == 2})
        except InputError as error:
            other = str(error)
        columns = group.gathered(torch.full((2, group.rank), float(group.rank)))
        state = group.state_handed_on({"a": torch.tensor(True), "b": torch.zeros(0, 2)} if group.first else {})
        facts = {
            "met": met,
            "other": other,
            "told": group.told([group.rank, "é"]),
            "columns": columns.tolist(),
            "state": {name: [str(tensor.dtype), tensor.tolist()] for name, tensor in state.items()},
        }
        (folder / f"facts{group.rank}.json").write_text(json.dumps(facts))
        np.savez(folder / f"gradients{group.rank}.npz", *[gradient.numpy() for gradient in found])
    return 0


def words(folder: Path, name: str, *more: str) -> list[str]:
    return [
        "train", str(folder / "rows.npy"), "-o", str(folder / f"{name}.safetensors"), "--checkpoint",
        str(folder / name), "--preset", "variational", "--set", "network.width=8", "latent.size=3", "--epochs", "4",
        "--batch-size", "4", "--precision", "float32", "--patience", "1000", *more,
    ]  # fmt: skip


def doomed(line: list[str], rank: int = 1) -> int:
    """Run a command line; one worker ends as if it had been killed, in a step between two checkpoints."""
    update = Run.update

    def last(self: Run, raw: torch.Tensor) -> object:
        if self.step == KILLED_AT and self.workers.rank == rank:
            os.kill(os.getpid(), signal.SIGKILL)
        return update(self, raw)

    Run.update = last
    return run(line)


def killed(folder: Path) -> dict[str, object]:
    """Kill one of three workers, start them again without a word more, and let three others train in peace."""
    np.save(folder / "rows.npy", ROWS)
    told = {"whole": ended(workers(lambda: run(words(folder, "whole")), folder / "in peace"))}
    told["killed"] = ended(workers(lambda: doomed(words(folder, "killed")), folder / "killing"))
    told["after the kill"] = sorted(path.name for path in folder.glob("killed.safetensors"))
    shutil.copytree(folder / "killed", folder / "fewer")
    told["again"] = ended(workers(lambda: run(words(folder, "killed")), folder / "again", again=1))
    return told


def unpacked(folder: Path) -> dict[str, object]:
    """Train on a table as if it were too large for memory, in one process and by three, one of whom writes its rows."""
    classes = np.arange(len(ROWS)) % 2
    parquet.write_table(
        pa.table({**{f"c{place}": ROWS[:, place] for place in range(5)}, "y": classes}), folder / "x.parquet"
    )
    scratch = folder / "scratch"
    scratch.mkdir()
    filed.SMALLEST_BYTES = 1

    def line(name: str) -> list[str]:
        rest = words(folder, name)[2:]
        return ["train", str(folder / "x.parquet"), *rest, "--preset", "conditional", "--label", "y"]

    def train(name: str) -> int:
        os.environ["TMPDIR"] = str(scratch)
        return run(line(name))

    alone = ended([fork(lambda: train("unpacked alone"), folder / "said alone")])
    return {"unpacked": [*alone, *ended(workers(lambda: train("unpacked"), folder / "unpacking"))]}


def other_numbers(folder: Path) -> dict[str, object]:
    """One process goes on from what three workers left, and three from what one did."""
    told: dict[str, object] = {}
    told["fewer"] = ended([fork(lambda: run(words(folder, "fewer", "--resume")), folder / "fewer said")])
    told["stopped"] = ended([fork(lambda: doomed(words(folder, "more"), rank=0), folder / "stopped said")])
    told["more"] = ended(workers(lambda: run(words(folder, "more", "--resume")), folder / "more said"))
    return told


def refused(folder: Path) -> dict[str, object]:
    """What workers are not for, and what is bad for all of them."""
    rows, out = str(folder / "rows.npy"), str(folder / "no.safetensors")
    lines = {
        "pairs": ["train", rows, "-o", out, "--preset", "map"],
        "missing": ["train", str(folder / "none.npy"), "-o", out],
        "detector": ["train", rows, "-o", out, "--preset", "detector"],
        "verb": ["presets"],
        "optimizer": ["train", rows, "-o", out, "--optimizer", "sgd", "--momentum", "2"],
    }
    return {name: ended(workers(lambda line=line: run(line), folder / name)) for name, line in lines.items()}


def main(folder: Path) -> None:
    # Once for all the processes; the compiler is what DistributedDataParallel imports.
    for module in ("narrows.apps.train", "narrows.detection.presets", "torch._dynamo"):
        importlib.import_module(module)
    narrows.train.INTERVAL_STEPS = 1
    filters.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    together, alone = folder / "together", folder / "alone"
    alone.mkdir()
    processes = workers(lambda: train_together(together), together)
    curves(alone, ALONE)
    told = {"curves": ended(processes)}
    told["oracle"] = ended(workers(lambda: oracle(folder / "oracle"), folder / "oracle"))
    narrows.train.INTERVAL_STEPS = 6
    told |= killed(folder)
    told |= other_numbers(folder)
    told |= refused(folder)
    told |= unpacked(folder)
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
