"""Dictionaries of sparse codes: known features found again, speed, memory, and the edges in photographs.

    python benchmarks/sparse.py --only flat-64 [--minutes 9] [--seeds 0 1 2]

``flat-64``, ``flat-128``, ``hierarchical-64``, ``hierarchical-128``: rows in which 512 known features are mixed (see
`sparse_world.World`), 3 of them on a row in 64 dimensions and 6 in 128. One line of ``narrows train`` by the clock on a
file of 400,000 rows, codes as wide as there are features, k the mean number that are on; all figures are of 10,000 rows
of other seeds. ``wide-128`` has four times as many codes as features: what counts there is that none is dead.
In 64 dimensions units hear more of each other, and the encoder takes six steps to part them instead of three. Under a
tight k children take on a part of their parents, so in a hierarchy k comes down over the whole training.
Settings were chosen on rows of further seeds.

``others-64``, ``others-128``, and the same with ``hierarchical-``: on the same rows, scikit-learn's
MiniBatchDictionaryLearning and FastICA, both signs of each component a unit of its own; and with codes by 200 steps of
FISTA under the penalty, of three, whose F1 is best on rows of a further seed: random atoms, and the features themselves
(the oracle).

``speed``: examples a second of ``narrows train --preset sparse-features`` (128 cells, 1,024 codes, k = 16), batches of
4,096 from a file that is not held in memory, and beside it the limit by the five products of matrices of a step alone.
``memory``: the most memory that training on a file of 1 GiB ever holds.

``photographs``: 12 x 12 patches of the Kodak photographs, whitened, and a dictionary drawn in
``docs/pictures/dictionary.png``; it needs NARROWS_DATA.

Each case is recorded as ``results/sparse_<case>.json`` unless minutes were given. It wants a quiet machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from sklearn.decomposition import FastICA, MiniBatchDictionaryLearning
from sklearn.exceptions import ConvergenceWarning

from record import record
from running import narrows
from sparse_photographs import photographs
from sparse_speed import memory, speed
from sparse_world import FEATURES, World, non_negative, scores

MINUTES = 9.0
ROWS, TESTED, CHOSEN_ON = 400_000, 10_000, 3_000
TEST_SEED, CHOICE_SEED = 10_001, 20_001
ACTIVE = {64: 3, 128: 6}
WORLDS = {
    f"{name}-{dim}": World(dim, active, name == "hierarchical")
    for dim, active in ACTIVE.items()
    for name in ("flat", "hierarchical")
}
TRAINING = ("--batch-size", "512", "--rate", "0.0015", "--patience", "100000", "--validation", "0.02")
ANNEAL = {False: 0.8, True: 1.0}  # share of the training over which k comes down: flat, hierarchical
STEPS = {64: 6, 128: 3}  # of the encoder
PENALTIES = (0.05, 0.1, 0.2)
OTHERS_ROWS = 100_000
OTHERS_ALPHA = 0.15


def write_rows(path: Path, shape: tuple[int, int], blocks: Iterable[np.ndarray]) -> None:
    """Write blocks of rows as an .npy file, one at a time."""
    mapped = open_memmap(path, "w+", np.float32, shape)
    done = 0
    for block in blocks:
        mapped[done : done + len(block)] = block
        done += len(block)
    mapped.flush()


def found(world: World, width: int, settings: tuple[str, ...], minutes: float, seed: int) -> dict[str, Any]:
    """Train on a world's rows, and say how well its features were found."""
    from narrows import load
    from narrows.inference import codes, reconstructed

    with tempfile.TemporaryDirectory() as folder:
        data, file = Path(folder) / "rows.npy", Path(folder) / "dictionary.safetensors"
        write_rows(data, (ROWS, world.dim), world.blocks(ROWS, 100))
        code = (f"latent.size={width}", f"latent.k={round(world.active)}")
        choices = (*code, f"latent.anneal={ANNEAL[world.hierarchical]}", f"network.steps={STEPS[world.dim]}", *settings)
        line = ("--preset", "dictionary", "--minutes", str(minutes), "--seed", str(seed), *TRAINING, "--set", *choices)
        trained = narrows("train", str(data), "-o", str(file), *line)
        model = load(file).model
    x, true = world.rows(TESTED, TEST_SEED)
    rows = torch.from_numpy(x)
    atoms = (model.network.atoms.detach() * model.transform.scale).numpy()
    figures = scores(world.features, true, atoms, codes(model, rows).numpy(), x, reconstructed(model, rows).numpy())
    told = {"true_l0": float((true > 0).sum(1).mean()), "seconds": trained["seconds"], "steps": trained["steps"]}
    return {**figures, **told, "training_line": f"narrows train rows.npy {' '.join(line)}"}


def others(world: World) -> dict[str, Any]:
    """The same figures of what a person would use instead, and of the limits."""
    x, true = world.rows(TESTED, TEST_SEED)
    some, known = world.rows(CHOSEN_ON, CHOICE_SEED)
    training = np.concatenate(list(world.blocks(OTHERS_ROWS, 100)))
    random = np.random.default_rng(7).standard_normal((FEATURES, world.dim)).astype(np.float32)
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    figures: dict[str, Any] = {}
    for name, atoms in (("oracle", world.features), ("random_atoms", random)):
        tried = [scores(world.features, known, atoms, z, some, z @ atoms)["f1"] for z in _penalised(some, atoms)]
        z = non_negative(x, atoms, PENALTIES[int(np.argmax(tried))])
        figures[name] = scores(world.features, true, atoms, z, x, z @ atoms)
    for name, learn in (("dictionary_learning", _dictionary_learning), ("fast_ica", _fast_ica)):
        began = time.perf_counter()
        atoms, code = learn(training)
        seconds = time.perf_counter() - began
        z = code(x)
        rebuilt = z @ atoms + (training.mean(0) if name == "fast_ica" else 0)
        figures[name] = {**scores(world.features, true, atoms, z, x, rebuilt), "seconds": seconds}
    return figures


def _penalised(x: np.ndarray, atoms: np.ndarray) -> list[np.ndarray]:
    return [non_negative(x, atoms, penalty) for penalty in PENALTIES]


Learned = tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]


def _dictionary_learning(x: np.ndarray) -> Learned:
    learner = MiniBatchDictionaryLearning(
        FEATURES, alpha=OTHERS_ALPHA, max_iter=1, batch_size=1024, positive_code=True, fit_algorithm="cd",
        transform_algorithm="lasso_cd", random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        learner.fit(x)
    return learner.components_, learner.transform


def _fast_ica(x: np.ndarray) -> Learned:
    learner = FastICA(x.shape[1], whiten="unit-variance", random_state=0, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        learner.fit(x)

    def code(rows: np.ndarray) -> np.ndarray:
        sources = learner.transform(rows)
        return np.maximum(np.concatenate([sources, -sources], 1), 0)

    return np.concatenate([learner.mixing_.T, -learner.mixing_.T]), code


MATRYOSHKA = ("latent=matryoshka", "objective.samples=3")
# A case takes minutes and a seed, and gives its figures.
CASES: dict[str, Callable[[float, int], dict[str, Any]]] = {
    **{name: partial(found, world, FEATURES, ()) for name, world in WORLDS.items()},
    **{
        f"{name}-matryoshka": partial(found, world, FEATURES, MATRYOSHKA)
        for name, world in WORLDS.items()
        if world.hierarchical
    },
    "wide-128": partial(found, WORLDS["flat-128"], 4 * FEATURES, ("latent.floor=0.002",)),
    **{f"others-{name}": lambda _minutes, _seed, world=world: others(world) for name, world in WORLDS.items()},
    "speed": lambda _minutes, _seed: speed(write_rows),
    "memory": lambda _minutes, _seed: memory(write_rows),
    "photographs": photographs,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of first weights and order of rows")
    parser.add_argument("--minutes", type=float, help="of training; other than the usual ones are not recorded")
    options = parser.parse_args()
    for name in options.only:
        for seed in options.seeds:
            began = time.perf_counter()
            figures = CASES[name](options.minutes or MINUTES, seed)
            for key, figure in figures.items():
                print(f"{name:24} {seed} {key:20} {figure}", flush=True)
            if options.minutes is None:
                seconds = time.perf_counter() - began
                record(f"sparse_{name}" + (f"_{seed}" if seed else ""), figures, seconds=seconds)


if __name__ == "__main__":
    main()
