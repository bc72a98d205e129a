"""A dictionary of patches of photographs, and its picture."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from running import narrows

SIDE, PATCHES, ATOMS = 12, 200_000, 256
KEPT = 0.98  # of the variance: the rest is of the finest patterns, which are noise
PICTURE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "dictionary.png"
COLUMNS, SCALE = 32, 2


def photographs(minutes: float, seed: int) -> dict[str, Any]:
    """Learn a dictionary of whitened patches, and draw its atoms as they are in photographs, the most used first."""
    from narrows import load
    from narrows.inference import codes, reconstructed
    from narrows.tensors import tensor_of

    patches = _patches(Path(os.environ["NARROWS_DATA"]) / "natural" / "kodak", seed)
    white, back = _whitening(patches)
    rows = (patches @ white).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        data, file = Path(folder) / "patches.npy", Path(folder) / "dictionary.safetensors"
        np.save(data, rows)
        choices = (f"latent.size={ATOMS}", "latent.k=8", "network.steps=1")
        line = (
            "--preset",
            "dictionary",
            "--minutes",
            str(minutes),
            "--seed",
            str(seed),
            "--batch-size",
            "1024",
            "--rate",
            "0.003",
        )
        trained = narrows("train", str(data), "-o", str(file), *line, "--set", *choices)
        model = load(file).model
    some = tensor_of(rows[::20])
    z, rebuilt = codes(model, some), reconstructed(model, some).numpy()
    left = ((rows[::20] - rebuilt) ** 2).sum() / ((rows[::20] - rows.mean(0)) ** 2).sum()
    use = (z > 0).float().mean(0).numpy()
    atoms = (model.network.atoms.detach() * model.transform.scale).numpy() @ back
    _draw(atoms[np.argsort(-use)], PICTURE)
    return {
        "explained_variance": float(1 - left),
        "l0": float((z > 0).sum(1).float().mean()),
        "dead_share": float((use == 0).mean()),
        "numbers_after_whitening": rows.shape[1],
        "patches": len(rows),
        "seconds": trained["seconds"],
        "training_line": f"narrows train patches.npy {' '.join(line)} --set {' '.join(choices)}",
    }


def _patches(folder: Path, seed: int) -> np.ndarray:
    """Grey patches (n, 144) from places drawn at random in all photographs, each less its mean."""
    draws = np.random.default_rng(seed)
    files = sorted(folder.glob("*.png"))
    found = []
    for file in files:
        with Image.open(file) as image:
            grey = np.asarray(image.convert("L"), np.float32) / 255
        places = draws.integers(0, np.array(grey.shape) - SIDE + 1, (PATCHES // len(files), 2))
        windows = np.lib.stride_tricks.sliding_window_view(grey, (SIDE, SIDE))
        found.append(windows[places[:, 0], places[:, 1]].reshape(-1, SIDE * SIDE))
    patches = np.concatenate(found)
    return patches - patches.mean(1, keepdims=True)


def _whitening(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal components scaled to variance 1, (144, m), and the way back, (m, 144)."""
    values, vectors = np.linalg.eigh(np.cov(patches.T))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = int(np.searchsorted(np.cumsum(values) / values.sum(), KEPT)) + 1
    deviations = np.sqrt(values[:kept])
    return vectors[:, :kept] / deviations, (vectors[:, :kept] * deviations).T


def _draw(atoms: np.ndarray, path: Path) -> None:
    """Draw patches (n, 144) in a grid, each from -its largest to its largest number, grey being 0."""
    tiles = atoms / np.abs(atoms).max(1, keepdims=True)
    lines = -(-len(tiles) // COLUMNS)
    grid = np.ones((lines * (SIDE + 1) + 1, COLUMNS * (SIDE + 1) + 1), np.float32)
    for place, tile in enumerate(tiles):
        row, column = (at * (SIDE + 1) + 1 for at in divmod(place, COLUMNS))
        grid[row : row + SIDE, column : column + SIDE] = tile.reshape(SIDE, SIDE)
    pixels = np.rint((grid + 1) * 127.5).astype(np.uint8).repeat(SCALE, 0).repeat(SCALE, 1)
    Image.fromarray(pixels).save(path, optimize=True)
